import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers';

const IMAGE = 'eventstore/eventstore:24.10';
const PORT = 2113;

export type EventStoreSource =
  | { kind: 'available'; connectionString: string; from: string; stop(): Promise<void> }
  | { kind: 'absent'; reason: string };

/** The real EventStoreDB that the suites share: the one of EVENTSTORE_CONNECTION_STRING, else a container. Never rejects. */
export async function obtainEventStore(): Promise<EventStoreSource> {
  const given = process.env.EVENTSTORE_CONNECTION_STRING;
  if (given) {
    const from = 'EVENTSTORE_CONNECTION_STRING';
    return { kind: 'available', connectionString: given, from, stop: async () => undefined };
  }
  try {
    await getContainerRuntimeClient();
  } catch {
    return {
      kind: 'absent',
      reason: 'EVENTSTORE_CONNECTION_STRING is not set and Docker is not reachable',
    };
  }
  try {
    return await startContainer();
  } catch (error) {
    return { kind: 'absent', reason: `Docker is there but EventStoreDB did not start: ${String(error)}` };
  }
}

async function startContainer(): Promise<EventStoreSource> {
  const container = await new GenericContainer(IMAGE)
    .withEnvironment({
      EVENTSTORE_CLUSTER_SIZE: '1',
      EVENTSTORE_INSECURE: 'true',
      EVENTSTORE_MEM_DB: 'true',
      EVENTSTORE_RUN_PROJECTIONS: 'None',
    })
    .withExposedPorts(PORT)
    .withWaitStrategy(Wait.forHttp('/health/live', PORT).forStatusCode(204))
    .withStartupTimeout(120_000)
    .start();
  return {
    kind: 'available',
    connectionString: `esdb://${container.getHost()}:${container.getMappedPort(PORT)}?tls=false`,
    from: `the container ${IMAGE}`,
    stop: async () => {
      await container.stop();
    },
  };
}
