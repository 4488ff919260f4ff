import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import kafkajs, { type Admin, type Kafka, type Producer } from 'kafkajs';
import { startKafkaBroker } from '../../test/support/kafka-broker.js';
import { type Command } from './workload.js';
import { OTHER_CORE, pin } from './machine.js';

export const PARTITIONS = 12;

/** A broker and what talks to it, on the other core than the measured programs. */
export interface KafkaBench {
  readonly brokers: string;
  readonly kafka: Kafka;
  readonly admin: Admin;
  readonly producer: Producer;
  /** A temporary folder of its own, for whoever needs one. */
  readonly newFolder: () => string;
}

/** The broker of `KAFKA_BROKERS`, or a new one; everything is ended and removed afterwards. */
export async function withKafka<T>(work: (bench: KafkaBench) => Promise<T>): Promise<T> {
  const given = process.env['KAFKA_BROKERS'];
  const broker = given === undefined ? await startKafkaBroker({ optimized: true }) : null;
  const brokers = given ?? broker?.brokers ?? '';
  // Pinned once it runs: the JVM chooses its garbage collector by the cores that it sees at its start.
  if (broker !== null) pin(broker.pid, OTHER_CORE);
  pin(process.pid, OTHER_CORE);
  const { Kafka, logLevel, Partitioners } = kafkajs;
  const kafka = new Kafka({ clientId: 'bench', brokers: brokers.split(','), logLevel: logLevel.ERROR });
  const admin = kafka.admin();
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  const root = mkdtempSync(join(tmpdir(), 'bench-'));
  const newFolder = (): string => mkdtempSync(join(root, 'data-'));
  try {
    await Promise.all([admin.connect(), producer.connect()]);
    return await work({ brokers, kafka, admin, producer, newFolder });
  } finally {
    await Promise.all([admin.disconnect(), producer.disconnect()]);
    await broker?.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

/** In requests of a thousand. */
export async function produceAll(
  { producer }: KafkaBench,
  topic: string,
  commands: readonly Command[],
): Promise<void> {
  for (let i = 0; i < commands.length; i += 1000)
    await producer.send({ topic, messages: commands.slice(i, i + 1000), acks: -1 });
}

/** Messages that have been written to these topics, whether they are still kept or not. */
export async function countOf(admin: Admin, topics: readonly string[]): Promise<number> {
  let sum = 0;
  for (const topic of topics) {
    for (const { high } of await admin.fetchTopicOffsets(topic)) sum += Number(high);
  }
  return sum;
}

/** Of the broker's disk, for each partition of these topics; more than gathers in an overload. */
const KEPT_BYTES = 512 * 1024 * 1024;

/** Bounds a contender's topics, or the disk would be full before a long run is over. */
export async function boundTopics(admin: Admin, prefix: string): Promise<void> {
  const names = ['update', 'update.accepted', 'update.delta'];
  await admin.alterConfigs({
    validateOnly: false,
    resources: names.map((name) => ({
      type: kafkajs.ConfigResourceTypes.TOPIC,
      name: `${prefix}.${name}`,
      configEntries: [
        { name: 'retention.bytes', value: String(KEPT_BYTES) },
        { name: 'segment.bytes', value: String(KEPT_BYTES / 8) },
      ],
    })),
  });
}
