import { hash } from 'node:crypto';
import { firstOf, lastOf, shareOf } from './copy-events.js';
import { type EventStore, type RecordedEvent } from './ports/event-store.js';

/** One stream that is not the same on both sides. */
export interface StreamDifference {
  readonly stream: string;
  readonly sourceCount: number;
  readonly targetCount: number;
}

export interface Comparison {
  readonly sourceCount: number;
  readonly targetCount: number;
  /** Streams that differ, at the most {@link MAX_DIFFERENCES} of them. Empty: the two are the same. */
  readonly differences: readonly StreamDifference[];
}

export interface CompareOptions {
  /** Events of the source after this position do not count. Null: none counts. Default: all count. */
  readonly lastPosition?: bigint | null;
  /** Called now and then: events of both sides that were read, and how much that is, from 0 to 1, by estimate. */
  readonly onProgress?: (progress: { readonly events: number; readonly share: number }) => void;
}

export const MAX_DIFFERENCES = 10;

const GROUP_BITS = 16;
/** 32-bit words: the count, and a sum of hashes of 128 bits. */
const WORDS = 5;
const PROGRESS_COUNT = 1000;

/**
 * Compares two stores, stream by stream: counts, and hashes over revisions, ids, types, data and metadata. Positions and
 * the times of recording are each store's own, and so is the order between streams.
 *
 * Streams are summed up in a fixed number of groups, and looked at one by one only in a group that differs, so that the
 * memory this takes does not grow with the number of streams. Throws `EventStoreError`.
 */
export async function compareEvents(
  source: EventStore,
  target: EventStore,
  options: CompareOptions = {},
): Promise<Comparison> {
  const { lastPosition } = options;
  const ofSource = (): AsyncIterable<RecordedEvent> => upTo(source, lastPosition);
  const ofTarget = (): AsyncIterable<RecordedEvent> => upTo(target, undefined);
  const [first, last] = [await firstOf(source), await lastOf(source)];
  const one = await sumUp(ofSource(), (events, position) => {
    const share = shareOf(first?.position ?? 0n, position, last?.position ?? 0n) / 2;
    options.onProgress?.({ events, share });
  });
  const other = await sumUp(ofTarget(), (events) => {
    const share = Math.min(1, 0.5 + events / Math.max(1, 2 * one.count));
    options.onProgress?.({ events: one.count + events, share });
  });
  const group = firstDifference(one.sums, other.sums);
  const differences = group === null ? [] : await differencesIn(group, ofSource(), ofTarget());
  return { sourceCount: one.count, targetCount: other.count, differences };
}

async function* upTo(store: EventStore, last: bigint | null | undefined): AsyncGenerator<RecordedEvent> {
  if (last === null) return;
  for await (const event of store.readAll()) {
    if (last !== undefined && event.position > last) return;
    yield event;
  }
}

async function sumUp(
  events: AsyncIterable<RecordedEvent>,
  tell: (count: number, position: bigint) => void,
): Promise<{ sums: Uint32Array; count: number }> {
  const sums = new Uint32Array(WORDS << GROUP_BITS);
  let count = 0;
  for await (const event of events) {
    add(sums, WORDS * groupOf(event.stream), event);
    if (++count % PROGRESS_COUNT === 0) tell(count, event.position);
  }
  return { sums, count };
}

/** The hash covers the revision, so that a sum, in which the order of streams does not count, tells of the order too. */
function add(sums: Uint32Array, at: number, event: RecordedEvent): void {
  const digest = digestOf(event);
  sums[at] = (sums[at] ?? 0) + 1;
  for (let word = 1; word < WORDS; word++) {
    sums[at + word] = (sums[at + word] ?? 0) + digest.readUInt32LE(4 * (word - 1));
  }
}

function digestOf({ stream, revision, id, type, data, metadata }: RecordedEvent): Buffer {
  const head = JSON.stringify([stream, revision, id, type, data.length, metadata.length]);
  return Buffer.from(hash('sha256', Buffer.concat([Buffer.from(head), data, metadata]), 'hex'), 'hex');
}

function groupOf(stream: string): number {
  return Number.parseInt(hash('sha1', stream, 'hex').slice(0, 4), 16);
}

function firstDifference(one: Uint32Array, other: Uint32Array): number | null {
  const at = one.findIndex((word, index) => word !== other[index]);
  return at === -1 ? null : Math.floor(at / WORDS);
}

async function differencesIn(
  group: number,
  source: AsyncIterable<RecordedEvent>,
  target: AsyncIterable<RecordedEvent>,
): Promise<StreamDifference[]> {
  const one = await sumUpStreams(group, source);
  const other = await sumUpStreams(group, target);
  const none = new Uint32Array(WORDS);
  const differences: StreamDifference[] = [];
  for (const stream of new Set([...one.keys(), ...other.keys()])) {
    const a = one.get(stream) ?? none;
    const b = other.get(stream) ?? none;
    if (firstDifference(a, b) === null) continue;
    differences.push({ stream, sourceCount: a[0] ?? 0, targetCount: b[0] ?? 0 });
    if (differences.length === MAX_DIFFERENCES) break;
  }
  return differences;
}

async function sumUpStreams(
  group: number,
  events: AsyncIterable<RecordedEvent>,
): Promise<Map<string, Uint32Array>> {
  const streams = new Map<string, Uint32Array>();
  for await (const event of events) {
    if (groupOf(event.stream) !== group) continue;
    const sums = streams.get(event.stream) ?? new Uint32Array(WORDS);
    streams.set(event.stream, sums);
    add(sums, 0, event);
  }
  return streams;
}
