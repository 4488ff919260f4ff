import type { Message } from 'kafkajs';
import type { RecordParts } from './kafkajs-internals.js';
import { lengthOf, partsBytes } from './record-encoder.js';

/** A message with where it goes. */
export interface Addressed {
  readonly topic: string;
  /** The partition it goes to; null: kafkajs chooses, and what goes there at once is bounded as if it were one. */
  readonly partition: number | null;
  readonly message: Message;
  /** What {@link recordBytes} says of the message. */
  readonly bytes: number;
}

/** The most that a record has beside its key, value and headers: lengths, deltas, attributes. */
const RECORD_OVERHEAD_BYTES = 32;

/** Notes the message's size in it, so that who sends it need not count again. It is not to be changed afterwards. */
export function measured(message: Message & { partsBytes?: number; valueBytes?: number }): Message {
  message.valueBytes = lengthOf(message.value);
  message.partsBytes = partsBytes(message);
  return message;
}

/** The bytes of a record, never less than it has. */
export function recordBytes(message: Message): number {
  const parts = message as RecordParts;
  return RECORD_OVERHEAD_BYTES + (parts.partsBytes ?? partsBytes(parts));
}

export function sizeOf(part: Buffer | string | null | undefined): number {
  return Math.max(0, lengthOf(part));
}

export interface RequestLimits {
  /** The most bytes for one partition in one request. */
  readonly partitionBytes: number;
  /** The most bytes of one request. */
  readonly totalBytes: number;
}

/**
 * Cuts messages into consecutive requests within the limits. Sent one after the other they keep the order of every
 * partition. kafkajs sends all messages for a partition as one record batch, which a broker refuses when too large.
 */
export function splitIntoRequests<T extends Addressed>(messages: readonly T[], limits: RequestLimits): T[][] {
  const all = messages.reduce((sum, { bytes }) => sum + bytes, 0);
  // Nearly always: there is no need to look at each partition.
  if (messages.length > 0 && all <= Math.min(limits.partitionBytes, limits.totalBytes))
    return [[...messages]];
  const requests: T[][] = [];
  let request: T[] = [];
  let total = 0;
  let perPartition = new Map<string, number>();
  for (const each of messages) {
    const { bytes } = each;
    const place = `${each.partition}|${each.topic}`;
    let placeBytes = (perPartition.get(place) ?? 0) + bytes;
    if (request.length > 0 && (placeBytes > limits.partitionBytes || total + bytes > limits.totalBytes)) {
      requests.push(request);
      request = [];
      total = 0;
      perPartition = new Map();
      placeBytes = bytes;
    }
    request.push(each);
    total += bytes;
    perPartition.set(place, placeBytes);
  }
  if (request.length > 0) requests.push(request);
  return requests;
}
