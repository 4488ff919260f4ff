import { GenericContainer, getContainerRuntimeClient } from 'testcontainers';
import { setTimeout as sleep } from 'node:timers/promises';
import { answers, startPostgresServer, whyNoPostgres } from './postgres-server.js';

const IMAGE = 'postgres:17';
const PORT = 5432;
const START_LIMIT_MS = 120_000;

export type PostgresSource =
  | { kind: 'available'; url: string; from: string; stop(): Promise<void> }
  | { kind: 'absent'; reason: string };

/**
 * The PostgreSQL that the suites share: the one of DATABASE_URL, else a container, else one started with the programs
 * of Debian's package. What is there but does not start is named in the reason. Never rejects.
 */
export async function obtainPostgres(): Promise<PostgresSource> {
  const given = process.env.DATABASE_URL;
  if (given) return { kind: 'available', url: given, from: 'DATABASE_URL', stop: async () => undefined };
  const failures: string[] = [];
  try {
    await getContainerRuntimeClient();
    try {
      return await startContainer();
    } catch (error) {
      failures.push(`Docker is there but PostgreSQL's container did not start: ${String(error)}`);
    }
  } catch {
    failures.push('DATABASE_URL is not set and Docker is not reachable');
  }
  const missing = whyNoPostgres();
  if (missing !== undefined) return { kind: 'absent', reason: [...failures, missing].join('; ') };
  try {
    const server = await startPostgresServer();
    return {
      kind: 'available',
      url: server.url,
      from: 'the programs of this machine',
      stop: () => server.stop(),
    };
  } catch (error) {
    return { kind: 'absent', reason: [...failures, String(error)].join('; ') };
  }
}

async function startContainer(): Promise<PostgresSource> {
  const container = await new GenericContainer(IMAGE)
    .withEnvironment({ POSTGRES_USER: 'owner', POSTGRES_PASSWORD: 'secret', POSTGRES_DB: 'postgres' })
    .withExposedPorts(PORT)
    .withStartupTimeout(START_LIMIT_MS)
    .start();
  const url = `postgresql://owner:secret@${container.getHost()}:${container.getMappedPort(PORT)}/postgres`;
  const stop = async (): Promise<void> => {
    await container.stop();
  };
  // The image's first start listens, stops and starts again.
  const deadline = Date.now() + START_LIMIT_MS;
  while (!(await answers(url))) {
    if (Date.now() > deadline) {
      await stop();
      throw new Error('nobody could log in');
    }
    await sleep(200);
  }
  return { kind: 'available', url, from: `the container ${IMAGE}`, stop };
}
