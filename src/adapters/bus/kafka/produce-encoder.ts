import { unbundle } from './bundles.js';
import { ROOM_BYTES, withRoom } from './encoder.js';
import { Slabs } from './slabs.js';
import {
  produceDefinition,
  type EncodedRequest,
  type ProduceAnswer,
  type ProduceArguments,
} from './kafkajs-internals.js';
import { BATCH_HEADER_BYTES, writeBatchHeader } from './record-batch-encoder.js';
import { bodySize, varIntSize, writeRecord } from './record-encoder.js';

/*
 * kafkajs 2.2.4 builds a produce request from the inside out, and copies all of it at each of its six levels. This
 * writes the request (versions 3 to 7, which are laid out alike) into one buffer of its size.
 */

const FIRST_VERSION = 3;
const LAST_VERSION = 7;
const slabs = new Slabs();
let isInstalled = false;

/** Makes kafkajs encode produce requests this way. May be called any number of times. */
export function installProduceEncoder(): void {
  if (isInstalled) return;
  isInstalled = true;
  const original = produceDefinition.protocol;
  produceDefinition.protocol = ({ version }) => {
    const make = original({ version });
    return (asked) => {
      const options = unbundle(asked);
      const api = make(options);
      if (version < FIRST_VERSION || version > LAST_VERSION) return api;
      // The service neither compresses nor uses transactions; whoever else uses kafkajs in this process may.
      if ((options.compression ?? 0) !== 0 || options.transactionalId || isIdempotent(options)) return api;
      let slab: Buffer | undefined;
      const encode = async (): Promise<EncodedRequest> =>
        encodeProduce(options, Date.now(), (bytes) => (slab = slabs.take(bytes)));
      const decode = async (raw: Buffer): Promise<unknown> => {
        // Who was answered has read the request.
        if (slab !== undefined) slabs.giveBack(slab);
        slab = undefined;
        const answer = (await api.response.decode(raw)) as ProduceAnswer;
        checkAnswer(options, answer);
        return answer;
      };
      return { request: { ...api.request, encode }, response: { ...api.response, decode } };
    };
  };
}

function isIdempotent({ producerId }: ProduceArguments): boolean {
  if (producerId === undefined || producerId === null) return false;
  return (typeof producerId === 'object' ? producerId.value : BigInt(producerId)) !== -1n;
}

/**
 * Throws where the answer is not about what was sent: the numbers of partitions have no checksum, neither on the way
 * there nor on the way back, and what stands in a wrong partition is not acknowledged.
 */
function checkAnswer({ topicData }: ProduceArguments, { topics }: ProduceAnswer): void {
  const answered = new Set(
    topics.flatMap(({ topicName, partitions }) =>
      partitions.map(({ partition }) => `${partition}|${topicName}`),
    ),
  );
  for (const { topic, partitions } of topicData) {
    for (const { partition } of partitions) {
      if (!answered.has(`${partition}|${topic}`)) throw new UnansweredError(topic, partition);
    }
  }
}

/** kafkajs sends again what failed in this way. */
class UnansweredError extends Error {
  readonly retriable = true;

  constructor(topic: string, partition: number) {
    super(`the answer says nothing of ${topic}[${partition}]`);
    this.name = 'UnansweredError';
  }
}

/**
 * The request's body, as kafkajs encodes it.
 *
 * @param now the time of messages that have none
 * @param take gives a buffer of so many bytes or more
 */
export function encodeProduce(
  { acks, timeout, topicData }: ProduceArguments,
  now = Date.now(),
  take: (bytes: number) => Buffer = (bytes) => Buffer.allocUnsafeSlow(bytes),
): EncodedRequest {
  const sizes: number[] = [];
  let total = 2 + 2 + 4 + 4;
  for (const { topic, partitions } of topicData) {
    total += 2 + Buffer.byteLength(topic) + 4;
    for (const { messages } of partitions) {
      total += 4 + 4 + BATCH_HEADER_BYTES;
      const first = firstTimestamp(messages, now);
      messages.forEach((message, index) => {
        const size = bodySize(message, index, timeOf(message, now) - first);
        sizes.push(size);
        total += varIntSize(size) + size;
      });
    }
  }
  const buf = take(ROOM_BYTES + total);
  let at = buf.writeInt16BE(-1, ROOM_BYTES);
  at = buf.writeInt16BE(acks, at);
  at = buf.writeInt32BE(timeout, at);
  at = buf.writeInt32BE(topicData.length, at);
  let next = 0;
  for (const { topic, partitions } of topicData) {
    at = buf.writeInt16BE(Buffer.byteLength(topic), at);
    at += buf.write(topic, at);
    at = buf.writeInt32BE(partitions.length, at);
    for (const { partition, messages } of partitions) {
      at = buf.writeInt32BE(partition, at);
      const batchAt = at + 4;
      const first = firstTimestamp(messages, now);
      let end = batchAt + BATCH_HEADER_BYTES;
      let last = first;
      for (let index = 0; index < messages.length; index++) {
        const message = messages[index] as Message;
        const timestamp = timeOf(message, now);
        last = Math.max(last, timestamp);
        end = writeRecord(buf, end, message, index, timestamp - first, sizes[next++] as number);
      }
      buf.writeInt32BE(end - batchAt, at);
      writeBatchHeader(buf, batchAt, end - batchAt, {
        count: messages.length,
        firstTimestamp: first,
        maxTimestamp: last,
      });
      at = end;
    }
  }
  return withRoom(buf, at);
}

type Message = ProduceArguments['topicData'][number]['partitions'][number]['messages'][number];

function timeOf({ timestamp }: Message, now: number): number {
  return timestamp === undefined || timestamp === null ? now : Number(timestamp);
}

/** The earliest, so that no delta is negative. */
function firstTimestamp(messages: readonly Message[], now: number): number {
  let first = Infinity;
  for (const message of messages) first = Math.min(first, timeOf(message, now));
  return first === Infinity ? now : first;
}
