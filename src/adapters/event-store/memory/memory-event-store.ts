import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../../application/ports/clock.js';
import {
  NO_STREAM,
  type AppendResult,
  type EventStore,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
  type StreamAppend,
  type SubscribeOptions,
  type SubscriptionItem,
} from '../../../application/ports/event-store.js';
import { checkAppends, checkCount, DEFAULT_MAX_APPEND_BYTES } from '../append-rules.js';
import { closedError, invalid } from '../errors.js';
import { LogSignal, subscribeToLog } from '../subscription.js';

const PAGE_COUNT = 256;

/** What outlives a {@link MemoryEventStore}: hand it to the next one to play a restart. */
export class MemoryStorage {
  readonly streams = new Map<string, RecordedEvent[]>();
  readonly log: RecordedEvent[] = [];
  /** Where the next event goes. As in a log file, a position is an offset: nobody may rely on 0, 1, 2. */
  nextPosition = 1000n;
}

export interface MemoryEventStoreOptions {
  /** Default: a new, empty one. */
  readonly storage?: MemoryStorage;
  /** Default: `Date.now`. */
  readonly clock?: Clock;
  /** The limit of one append, in bytes. Default 16 MiB. */
  readonly maxAppendBytes?: number;
}

/**
 * The event store in memory, for tests and simulations. Deterministic: no timer and no randomness, and an append is
 * decided at the call.
 */
export class MemoryEventStore implements EventStore {
  private readonly storage: MemoryStorage;
  private readonly clock: Clock;
  private readonly maxAppendBytes: number;
  private readonly signal = new LogSignal();
  private closed = false;

  constructor(options: MemoryEventStoreOptions = {}) {
    this.storage = options.storage ?? new MemoryStorage();
    this.clock = options.clock ?? Date.now;
    this.maxAppendBytes = options.maxAppendBytes ?? DEFAULT_MAX_APPEND_BYTES;
  }

  async append(appends: readonly StreamAppend[]): Promise<AppendResult[]> {
    if (this.closed) return appends.map(() => ({ kind: 'failed', error: closedError() }));
    const checked = checkAppends(appends, this.maxAppendBytes);
    const lengthBefore = this.storage.log.length;
    const results = appends.map((append, index) => checked[index] ?? this.appendOne(append));
    if (this.storage.log.length > lengthBefore) this.signal.notify();
    return results;
  }

  private appendOne({ stream, expectedRevision, events }: StreamAppend): AppendResult {
    const recorded = this.storage.streams.get(stream) ?? [];
    const current = recorded.length - 1;
    if (expectedRevision !== current) {
      const isRepeat = events.every(
        (event, index) => recorded[expectedRevision + 1 + index]?.id === event.id,
      );
      return isRepeat
        ? { kind: 'appended', revision: expectedRevision + events.length }
        : { kind: 'conflict', revision: current };
    }
    const recordedAt = this.clock();
    for (const event of events) {
      const { id, type } = event;
      const copy = { data: Buffer.from(event.data), metadata: Buffer.from(event.metadata) };
      const position = this.storage.nextPosition;
      const kept = { id, type, ...copy, stream, revision: recorded.length, position, recordedAt };
      recorded.push(kept);
      this.storage.log.push(kept);
      this.storage.nextPosition += BigInt(event.data.length + event.metadata.length + 100);
    }
    this.storage.streams.set(stream, recorded);
    return { kind: 'appended', revision: current + events.length };
  }

  knownRevision(stream: string): number | null {
    return this.closed ? null : (this.storage.streams.get(stream)?.length ?? 0) + NO_STREAM;
  }

  async *readStream(stream: string, options: ReadStreamOptions = {}): AsyncGenerator<RecordedEvent> {
    this.throwIfClosed();
    checkCount('from', options.from);
    const events = this.storage.streams.get(stream) ?? [];
    const last = events.length + NO_STREAM;
    yield* options.direction === 'backwards'
      ? this.read(events, Math.min(options.from ?? last, last), -1, options.maxCount)
      : this.read(events, options.from ?? 0, 1, options.maxCount);
  }

  async *readAll(options: ReadAllOptions = {}): AsyncGenerator<RecordedEvent> {
    this.throwIfClosed();
    const { log } = this.storage;
    const { after } = options;
    yield* options.direction === 'backwards'
      ? this.read(
          log,
          (after === undefined ? log.length : firstIndexFrom(log, after)) - 1,
          -1,
          options.maxCount,
        )
      : this.read(log, after === undefined ? 0 : firstIndexFrom(log, after + 1n), 1, options.maxCount);
  }

  subscribe({ after, signal }: SubscribeOptions): AsyncIterable<SubscriptionItem> {
    const { log } = this.storage;
    const next = after === 'start' ? 0 : after === 'end' ? log.length : firstIndexFrom(log, after + 1n);
    return subscribeToLog<number, number>(
      {
        // A subscription's place is the index of its next event, a row is an index.
        pageAfter: (from) =>
          Array.from({ length: Math.min(PAGE_COUNT, log.length - from) }, (_, index) => from + index),
        positionOf: (index) => index + 1,
        itemOf: (index) => ({ kind: 'event', event: copyOf(log[index]) }),
        signal: this.signal,
        isClosed: () => this.closed,
      },
      next,
      signal,
    );
  }

  async health(): Promise<string | null> {
    return this.closed ? closedError().message : null;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.signal.notify();
  }

  /** What stood at the start of the read, so that it ends even while others append. */
  private async *read(
    events: readonly RecordedEvent[],
    from: number,
    step: 1 | -1,
    maxCount = Infinity,
  ): AsyncGenerator<RecordedEvent> {
    checkCount('maxCount', maxCount);
    const end = events.length;
    for (let index = from, count = 0; index >= 0 && index < end && count < maxCount; index += step, count++) {
      this.throwIfClosed();
      yield copyOf(events[index]);
      if (count % PAGE_COUNT === PAGE_COUNT - 1) await nextTurn();
    }
  }

  private throwIfClosed(): void {
    if (this.closed) throw closedError();
  }
}

/** The index of the first event at or after a position. */
export function firstIndexFrom(log: readonly RecordedEvent[], position: bigint): number {
  let low = 0;
  let high = log.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((log[middle]?.position ?? 0n) < position) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A reader may change what it was given; the log must not change with it. */
export function copyOf(event: RecordedEvent | undefined): RecordedEvent {
  if (event === undefined) throw invalid('no event stands there');
  return { ...event, data: Buffer.from(event.data), metadata: Buffer.from(event.metadata) };
}
