import { setTimeout as pause } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import { type Contender } from './contenders.js';
import { type KafkaBench } from './kafka-bench.js';
import { type Command } from './workload.js';

const TICK_MS = 5;
const MAX_WAIT_MS = 60_000;
const TOKEN = '"clientToken":"t-';

/**
 * Sends commands evenly, whatever becomes of them.
 *
 * @returns when each was due, milliseconds since the epoch
 */
export async function sendPaced(
  { producer }: KafkaBench,
  topic: string,
  commands: readonly Command[],
  perSecond: number,
): Promise<Float64Array> {
  const dueAt = new Float64Array(commands.length);
  const sends: Promise<unknown>[] = [];
  const begun = Date.now();
  let sent = 0;
  while (sent < commands.length) {
    const due = Math.min(commands.length, Math.floor(((Date.now() - begun) * perSecond) / 1000));
    for (let index = sent; index < due; index++) dueAt[index] = begun + (index * 1000) / perSecond;
    if (due > sent) sends.push(producer.send({ topic, messages: commands.slice(sent, due), acks: -1 }));
    sent = due;
    await pause(TICK_MS);
  }
  await Promise.all(sends);
  return dueAt;
}

/** Reads accepted messages after a round, so that it takes nothing from who is measured meanwhile. */
export interface AcceptedReader {
  /** Passes over all that there is. */
  skip(): Promise<void>;
  /**
   * When the broker took the accepted messages of the commands `t-0` … `t-{count − 1}`, milliseconds since the epoch, by
   * the commands' order. Rejects where they do not come within a minute.
   */
  read(count: number): Promise<number[]>;
  close(): Promise<void>;
}

/** Has the broker write its own time into a contender's accepted messages from now on, and reads them. */
export async function openAcceptedReader(
  { admin, kafka }: KafkaBench,
  { prefix }: Contender,
): Promise<AcceptedReader> {
  const topic = `${prefix}.update.accepted`;
  await admin.alterConfigs({
    validateOnly: false,
    resources: [
      {
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name: topic,
        configEntries: [{ name: 'message.timestamp.type', value: 'LogAppendTime' }],
      },
    ],
  });
  const consumer = kafka.consumer({ groupId: `${prefix}-reader` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  /** Of the messages that have been read: the command's number, and the time. */
  let read: [number, number][] = [];
  let passed = 0;
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const { value, timestamp } of batch.messages) {
        const text = value?.toString('latin1') ?? '';
        read.push([parseInt(text.slice(text.lastIndexOf(TOKEN) + TOKEN.length), 10), Number(timestamp)]);
      }
      passed += batch.messages.length;
    },
  });
  consumer.pause([{ topic }]);

  const until = async (total: number): Promise<void> => {
    consumer.resume([{ topic }]);
    const deadline = Date.now() + MAX_WAIT_MS;
    while (passed < total) {
      if (Date.now() > deadline) throw new Error(`${topic} has ${passed} messages, not ${total}`);
      await pause(50);
    }
    consumer.pause([{ topic }]);
  };
  let expected = 0;
  return {
    async skip() {
      for (const { high } of await admin.fetchTopicOffsets(topic)) expected += Number(high);
      await until(expected);
      read = [];
    },
    async read(count) {
      expected += count;
      await until(expected);
      const times = new Array<number>(count).fill(NaN);
      for (const [index, at] of read) times[index] = at;
      read = [];
      if (times.some(Number.isNaN)) throw new Error(`${topic} lacks the answer to a command`);
      return times;
    },
    close: () => consumer.disconnect(),
  };
}
