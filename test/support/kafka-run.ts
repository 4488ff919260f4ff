import kafkajs, { type Kafka } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { deviceOf } from '../../src/replica/stored.js';
import { type Changes } from './replica-model.js';
import { type SeenEvent, type SeenOutput, type SentCommand } from './promise-checker.js';

const { Kafka: KafkaClient, logLevel, Partitioners } = kafkajs;

export function kafkaClient(brokers: string): Kafka {
  return new KafkaClient({ clientId: 'test', brokers: brokers.split(','), logLevel: logLevel.NOTHING });
}

export interface PreparedCommand extends SentCommand {
  readonly value: string;
}

export interface Preparation {
  readonly count: number;
  readonly devices: number;
  /** The number of the first one; numbers make the tokens. Default 0. */
  readonly from?: number;
  readonly mayBeLost?: boolean;
  /** Makes each that has a value so much longer. Default 0. */
  readonly paddingBytes?: number;
}

/** A prime, and with the devices' number not in step: each device gets updates of every kind. */
const KINDS = 53;

/**
 * Updates of `devices` devices in turn; some are refused, for what they ask or for what they are, or have no device.
 * Some remove a section, and some change nothing.
 */
export function prepareCommands(preparation: Preparation): PreparedCommand[] {
  const { count, devices, from = 0, mayBeLost, paddingBytes = 0 } = preparation;
  const padding = paddingBytes > 0 ? { padding: 'x'.repeat(paddingBytes) } : {};
  return Array.from({ length: count }, (_, i): PreparedCommand => {
    const n = from + i;
    const kind = (n + 5 * Math.floor(n / devices)) % KINDS;
    const section = n % 7 === 0 ? 'desired' : 'reported';
    let state: Changes = { [section]: { n, mode: n % 3 === 0 ? 'a' : 'b', ...padding } };
    if (kind === 5) state = { desired: null };
    if (kind === 11) state = { reported: {} };
    const body = { state, clientToken: `c-${n}` };
    const common = {
      token: body.clientToken,
      deviceId: `device-${n % devices}`,
      state,
      ...(mayBeLost !== undefined && { mayBeLost }),
    };
    const rejected = { ...common, expected: 'rejected' } as const;
    if (kind === 17) return { ...rejected, value: JSON.stringify({ ...body, version: 9_999_999 }) };
    if (kind === 33) return { ...rejected, value: JSON.stringify({ ...body, state: 7 }) };
    const value = JSON.stringify(body);
    if (kind === 41) return { ...common, expected: 'dead-letter', deviceId: `no/device/${n % 10}`, value };
    return { ...common, expected: 'accepted', value };
  });
}

/** Produces in order, as fast as the broker takes it, in requests of 500. */
export async function produceAll(
  kafka: Kafka,
  topic: string,
  commands: readonly PreparedCommand[],
): Promise<void> {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  try {
    for (let i = 0; i < commands.length; i += 500) {
      const messages = commands.slice(i, i + 500).map(({ deviceId, value }) => ({ key: deviceId, value }));
      await producer.send({ topic, messages, acks: -1 });
    }
  } finally {
    await producer.disconnect();
  }
}

/** Messages that stand in these topics. */
export async function countMessages(kafka: Kafka, topics: readonly string[]): Promise<number> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    let sum = 0;
    for (const topic of topics) {
      for (const { high, low } of await admin.fetchTopicOffsets(topic)) sum += Number(high) - Number(low);
    }
    return sum;
  } finally {
    await admin.disconnect();
  }
}

/** What the group has not yet committed of a topic; infinite where the broker cannot say so at the moment. */
export async function lagOf(kafka: Kafka, groupId: string, topic: string): Promise<number> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const ends = new Map(
      (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]),
    );
    const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] });
    for (const { partition, offset } of committed?.partitions ?? []) {
      ends.set(partition, (ends.get(partition) ?? 0) - Math.max(0, Number(offset)));
    }
    return [...ends.values()].reduce((sum, lag) => sum + lag, 0);
  } catch (error) {
    if ((error as { retriable?: boolean }).retriable !== true) throw error;
    return Infinity;
  } finally {
    await admin.disconnect();
  }
}

/** What the group has committed of a topic, by partition; empty where the broker cannot say so at the moment. */
export async function committedOffsets(
  kafka: Kafka,
  groupId: string,
  topic: string,
): Promise<Map<number, number>> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] });
    return new Map(
      (committed?.partitions ?? []).map(({ partition, offset }) => [partition, Math.max(0, Number(offset))]),
    );
  } catch (error) {
    if ((error as { retriable?: boolean }).retriable !== true) throw error;
    return new Map();
  } finally {
    await admin.disconnect();
  }
}

export async function until(what: string, limitMs: number, reached: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await reached())) {
    if (Date.now() > end) throw new Error(`Waited ${limitMs} ms in vain for: ${what}`);
    await sleep(50);
  }
}

/** All outputs of these topics from the beginning, each partition in its order. */
export async function readOutputs(kafka: Kafka, prefix: string): Promise<SeenOutput[]> {
  const topics = new Map<string, SeenOutput['channel']>([
    [`${prefix}.update.accepted`, 'accepted'],
    [`${prefix}.update.rejected`, 'rejected'],
    [`${prefix}.update.delta`, 'delta'],
    [`${prefix}.dead-letter`, 'dead-letter'],
  ]);
  const expected = await countMessages(kafka, [...topics.keys()]);
  const consumer = kafka.consumer({ groupId: `${prefix}-reader-${Date.now()}` });
  const outputs: SeenOutput[] = [];
  await consumer.connect();
  try {
    await consumer.subscribe({ topics: [...topics.keys()], fromBeginning: true });
    await consumer.run({
      eachBatch: async ({ batch: { topic, messages } }) => {
        const channel = topics.get(topic);
        if (channel === undefined) return;
        for (const { key, value } of messages) {
          outputs.push({ deviceId: String(key), channel, value: String(value) });
        }
      },
    });
    await until('all outputs to be read', 120_000, async () => outputs.length >= expected);
  } finally {
    await consumer.disconnect();
  }
  return outputs;
}

/** All events of the store, in the log's order; closes it. */
export async function readEvents(store: EventStore): Promise<SeenEvent[]> {
  const events: SeenEvent[] = [];
  try {
    for await (const { stream, data } of store.readAll()) {
      const { version, clientToken } = JSON.parse(data.toString()) as {
        version: number;
        clientToken?: string;
      };
      events.push({ deviceId: deviceOf(stream) ?? stream, version, token: clientToken });
    }
  } finally {
    await store.close();
  }
  return events;
}
