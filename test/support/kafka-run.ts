import kafkajs, { type Kafka } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { deviceOf } from '../../src/replica/stored.js';
import { type SeenEvent, type SeenOutput, type SentCommand } from './promise-checker.js';

const { Kafka: KafkaClient, logLevel, Partitioners } = kafkajs;

export function kafkaClient(brokers: string): Kafka {
  return new KafkaClient({ clientId: 'test', brokers: brokers.split(','), logLevel: logLevel.NOTHING });
}

export interface PreparedCommand extends SentCommand {
  readonly value: string;
}

/** Updates of `devices` devices in turn; one in 50 is refused, for what it asks or for what it is. */
export function prepareCommands(count: number, devices: number, from: number): PreparedCommand[] {
  return Array.from({ length: count }, (_, i) => {
    const n = from + i;
    const token = `c-${n}`;
    const deviceId = `device-${n % devices}`;
    const section = n % 7 === 0 ? 'desired' : 'reported';
    const body = { state: { [section]: { n, mode: n % 3 === 0 ? 'a' : 'b' } }, clientToken: token };
    if (n % 50 === 17)
      return {
        token,
        deviceId,
        expected: 'rejected',
        value: JSON.stringify({ ...body, version: 9_999_999 }),
      };
    if (n % 50 === 33)
      return { token, deviceId, expected: 'rejected', value: JSON.stringify({ ...body, state: 7 }) };
    return { token, deviceId, expected: 'accepted', value: JSON.stringify(body) };
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

/** What the group has not yet committed of a topic. */
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
  const channels = ['accepted', 'rejected', 'delta'] as const;
  const topics = new Map(channels.map((channel) => [`${prefix}.update.${channel}`, channel]));
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

/** All events of a stopped service's store, in the log's order. */
export async function readEvents(dataDir: string): Promise<SeenEvent[]> {
  const store = openSqliteEventStore({ dataDir });
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
