import { KafkaContainer } from '@testcontainers/kafka';
import { getContainerRuntimeClient } from 'testcontainers';
import { startKafkaBroker } from './kafka-broker.js';
import { whyNoStarter } from './kafka/artifacts.js';

const IMAGE = 'confluentinc/cp-kafka:8.0.0';
/** The port of the image's listener for clients outside its network. */
const CLIENT_PORT = 9093;

export type KafkaSource =
  | { kind: 'available'; brokers: string; from: string; stop(): Promise<void> }
  | { kind: 'absent'; reason: string };

/**
 * The broker that the suites share: the one of KAFKA_BROKERS, else a container, else one started with Java and
 * Maven. What is there but does not start is named in the reason. Never rejects.
 */
export async function obtainKafka(): Promise<KafkaSource> {
  const given = process.env.KAFKA_BROKERS;
  if (given) return { kind: 'available', brokers: given, from: 'KAFKA_BROKERS', stop: async () => undefined };
  const failures: string[] = [];
  if (await dockerAnswers()) {
    try {
      return await startContainer();
    } catch (error) {
      failures.push(`Docker is there but the broker's container did not start: ${String(error)}`);
    }
  } else {
    failures.push('KAFKA_BROKERS is not set and Docker is not reachable');
  }
  const missing = whyNoStarter();
  if (missing !== undefined) return { kind: 'absent', reason: [...failures, missing].join('; ') };
  try {
    const broker = await startKafkaBroker();
    return {
      kind: 'available',
      brokers: broker.brokers,
      from: 'Java and Maven',
      stop: () => broker.stop(),
    };
  } catch (error) {
    return { kind: 'absent', reason: [...failures, String(error)].join('; ') };
  }
}

async function dockerAnswers(): Promise<boolean> {
  return getContainerRuntimeClient().then(
    () => true,
    () => false,
  );
}

async function startContainer(): Promise<KafkaSource> {
  const container = await new KafkaContainer(IMAGE)
    .withKraft()
    .withEnvironment({
      KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
      KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
      KAFKA_NUM_PARTITIONS: '4',
    })
    .start();
  return {
    kind: 'available',
    brokers: `${container.getHost()}:${container.getMappedPort(CLIENT_PORT)}`,
    from: `the container ${IMAGE}`,
    stop: async () => {
      await container.stop();
    },
  };
}
