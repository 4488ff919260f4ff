import { checkAppends, checkCount } from '../../../src/adapters/event-store/append-rules.js';
import {
  MemoryEventStore,
  MemoryStorage,
  copyOf,
  firstIndexFrom,
} from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { type Clock } from '../../../src/application/ports/clock.js';
import {
  type AppendResult,
  EventStoreError,
  type EventStore,
  NO_STREAM,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
  type StreamAppend,
  type SubscribeOptions,
  type SubscriptionItem,
} from '../../../src/application/ports/event-store.js';
import { type Scheduler } from '../kernel/scheduler.js';
import { type Line, type Server } from './line.js';

/** Told of events at the moment in which they are durable. */
export interface StoreWatcher {
  recorded(events: readonly RecordedEvent[]): void;
}

/** What all instances share: the events on disk, and who waits for more of them. */
export class EventStorage {
  readonly kept = new MemoryStorage();
  /** Called once when the log has grown. */
  readonly waiters = new Set<() => void>();
  private readonly memory: MemoryEventStore;

  constructor(
    readonly server: Server,
    clock: Clock,
    private readonly watcher: StoreWatcher,
    maxAppendBytes?: number,
  ) {
    this.memory = new MemoryEventStore({
      storage: this.kept,
      clock,
      ...(maxAppendBytes === undefined ? {} : { maxAppendBytes }),
    });
  }

  /** Decided and durable at the call. */
  append(appends: readonly StreamAppend[]): Promise<AppendResult[]> {
    const { log } = this.kept;
    const before = log.length;
    const results = this.memory.append(appends);
    if (log.length > before) {
      this.watcher.recorded(log.slice(before));
      const waiting = [...this.waiters];
      this.waiters.clear();
      for (const wake of waiting) wake();
    }
    return results;
  }
}

export interface StoreOptions {
  /** A store of this process: an append is one transaction, and the store tells at once where a stream stands. */
  readonly isEmbedded: boolean;
  readonly pageCount: number;
}

/**
 * One instance's store: EventStoreDB, of which each append may fail, be lost or come late by itself, or SQLite in the
 * process. What is recorded, and what is a repeat or a conflict, is decided by the memory store.
 */
export class SimulatedEventStore implements EventStore {
  private isClosed = false;
  private readonly closing = new AbortController();
  readonly knownRevision?: (stream: string) => number | null;

  constructor(
    private readonly storage: EventStorage,
    private readonly line: Line,
    private readonly scheduler: Scheduler,
    private readonly options: StoreOptions,
  ) {
    if (options.isEmbedded) {
      this.knownRevision = (stream) =>
        this.isClosed ? null : (storage.kept.streams.get(stream)?.length ?? 0) + NO_STREAM;
    }
  }

  async append(appends: readonly StreamAppend[]): Promise<AppendResult[]> {
    if (this.isClosed) return appends.map(() => ({ kind: 'failed', error: closed() }));
    // The caller may not change it meanwhile, but a fault in it must not change what was sent.
    const sent = appends.map((append) => ({ ...append, events: [...append.events] }));
    if (this.options.isEmbedded) {
      const label = `append ${sent.map(labelOf).join(' ')}`;
      return this.line
        .call(label, () => this.storage.append(sent))
        .catch((error: EventStoreError) => sent.map(() => ({ kind: 'failed' as const, error })));
    }
    const checked = checkAppends(sent, Infinity);
    return Promise.all(
      sent.map(async (append, index): Promise<AppendResult> => {
        const refused = checked[index];
        if (refused !== undefined && refused !== null) return refused;
        return this.line
          .call(
            `append ${labelOf(append)}`,
            async () => (await this.storage.append([append]))[0] as AppendResult,
          )
          .catch((error: EventStoreError) => ({ kind: 'failed' as const, error }));
      }),
    );
  }

  async *readStream(stream: string, options: ReadStreamOptions = {}): AsyncGenerator<RecordedEvent> {
    const { direction = 'forwards', maxCount = Infinity } = options;
    checkCount('from', options.from);
    checkCount('maxCount', maxCount);
    const events = (): readonly RecordedEvent[] => this.storage.kept.streams.get(stream) ?? [];
    const isForwards = direction === 'forwards';
    let at = isForwards ? (options.from ?? 0) : Math.min(options.from ?? Infinity, Number.MAX_SAFE_INTEGER);
    for (let left = maxCount; left > 0;) {
      const count = Math.min(left, this.options.pageCount);
      const page = await this.call(`read ${stream} ${isForwards ? 'from' : 'before'} ${at}`, () =>
        isForwards ? events().slice(at, at + count) : backwards(events(), at + 1, count),
      );
      yield* this.whileOpen(page);
      const last = page.at(-1);
      if (last === undefined || page.length < count) return;
      at = last.revision + (isForwards ? 1 : -1);
      left -= page.length;
      if (at < 0) return;
    }
  }

  async *readAll(options: ReadAllOptions = {}): AsyncGenerator<RecordedEvent> {
    const { direction = 'forwards', maxCount = Infinity } = options;
    checkCount('maxCount', maxCount);
    const isForwards = direction === 'forwards';
    let after = options.after;
    for (let left = maxCount; left > 0;) {
      const count = Math.min(left, this.options.pageCount);
      const page = await this.call('read the log', () => {
        const { log } = this.storage.kept;
        if (isForwards)
          return log.slice(...(after === undefined ? [0, count] : rangeAfter(log, after, count)));
        const end = after === undefined ? log.length : firstIndexFrom(log, after);
        return backwards(log, end, count);
      });
      yield* this.whileOpen(page);
      const last = page.at(-1);
      if (last === undefined || page.length < count) return;
      after = last.position;
      left -= page.length;
    }
  }

  subscribe(options: SubscribeOptions): AsyncIterable<SubscriptionItem> {
    return {
      [Symbol.asyncIterator]: () => {
        const leaving = new AbortController();
        const { signal = leaving.signal } = options;
        const either = AbortSignal.any([signal, leaving.signal, this.closing.signal]);
        const items = this.follow(options.after, either);
        return {
          next: () => items.next(),
          // A generator answers return() only after the next() that is under way, which may wait for ever.
          return: () => {
            leaving.abort();
            return items.return(undefined);
          },
        };
      },
    };
  }

  private async *follow(
    after: SubscribeOptions['after'],
    over: AbortSignal,
  ): AsyncGenerator<SubscriptionItem, undefined> {
    if (this.isClosed) throw closed();
    const { log } = this.storage.kept;
    let next = after === 'start' ? 0 : after === 'end' ? log.length : firstIndexFrom(log, after + 1n);
    while (!over.aborted) {
      const page = await this.line.call('read on', () => log.slice(next, next + this.options.pageCount));
      for (const event of page) {
        if (over.aborted) return;
        next++;
        yield { kind: 'event', event: copyOf(event) };
      }
      if (page.length > 0) continue;
      if (over.aborted) return;
      yield { kind: 'caught-up' };
      if (next === log.length) await this.more(over);
    }
  }

  /** Resolves when there may be more, or nobody wants it any more. */
  private more(over: AbortSignal): Promise<void> {
    if (over.aborted) return Promise.resolve();
    const actor = this.scheduler.current;
    return new Promise((resolve) => {
      const end = (): void => {
        this.storage.waiters.delete(wake);
        over.removeEventListener('abort', end);
        resolve();
      };
      const wake = (): void => void this.scheduler.after(1, actor, '', end);
      this.storage.waiters.add(wake);
      over.addEventListener('abort', end);
    });
  }

  /** Ends with an error where the store is closed amid them, so that a read does not look complete. */
  private *whileOpen(page: readonly RecordedEvent[]): Generator<RecordedEvent> {
    for (const event of page) {
      yield copyOf(event);
      if (this.isClosed) throw closed();
    }
  }

  private async call<T>(label: string, effect: () => T): Promise<T> {
    if (this.isClosed) throw closed();
    const result = await this.line.call(label, effect);
    if (this.isClosed) throw closed();
    return result;
  }

  async health(): Promise<string | null> {
    return this.isClosed ? closed().message : null;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.closing.abort();
  }
}

export function storeErrorOf(outcome: 'refused' | 'unknown', label: string): EventStoreError {
  const isOpen = outcome === 'unknown' && label.startsWith('append');
  return new EventStoreError(isOpen ? 'outcome-unknown' : 'unavailable', `simulated: ${label}`);
}

function closed(): EventStoreError {
  return new EventStoreError('closed', 'simulated: closed');
}

function labelOf({ stream, expectedRevision, events }: StreamAppend): string {
  return `${stream}@${expectedRevision}+${events.map(({ id }) => id.slice(0, 6)).join('+')}`;
}

function rangeAfter(log: readonly RecordedEvent[], after: bigint, count: number): [number, number] {
  const first = firstIndexFrom(log, after + 1n);
  return [first, first + count];
}

/** The last `count` before `end`, the last one first. */
function backwards(events: readonly RecordedEvent[], end: number, count: number): RecordedEvent[] {
  return events
    .slice(Math.max(0, Math.min(end, events.length) - count), Math.min(end, events.length))
    .reverse();
}
