import {
  MemoryEventStore,
  type MemoryStorage,
} from '../../src/adapters/event-store/memory/memory-event-store.js';
import {
  EventStoreError,
  type AppendResult,
  type EventStore,
  type EventStoreErrorCode,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
  type StreamAppend,
  type SubscribeOptions,
  type SubscriptionItem,
} from '../../src/application/ports/event-store.js';

/**
 * What befalls one append. What a fault calls recorded is in the memory store, and nothing else is; a crash never
 * answers, as a process that is gone never does.
 */
export type AppendFault =
  /** Refused with this code; nothing is recorded. */
  | { readonly kind: 'refused'; readonly code: EventStoreErrorCode }
  /** `outcome-unknown`, and it was recorded. */
  | { readonly kind: 'unknown-recorded' }
  /** `outcome-unknown`, and it was not. */
  | { readonly kind: 'unknown-lost' }
  | { readonly kind: 'crash-before' }
  | { readonly kind: 'crash-after' }
  /** Recorded only once the promise resolves. */
  | { readonly kind: 'slow'; readonly until: Promise<unknown> }
  /** What another writer does in the moment before. */
  | { readonly kind: 'after'; readonly first: () => Promise<unknown> };

/** A memory event store of which single calls can be made to fail. Without a fault it is the memory store. */
export class FaultyEventStore implements EventStore {
  /** Taken by the next appends, in order; null lets one through. */
  readonly appendFaults: (AppendFault | null)[] = [];
  /** Taken by the next reads of a stream, in order; null lets one through. */
  readonly readFaults: (EventStoreErrorCode | null)[] = [];
  /** Reads of these streams fail so for as long as they stand here. */
  readonly unreadable = new Map<string, EventStoreErrorCode>();
  /** Appends to these streams fail so for as long as they stand here. */
  readonly unwritable = new Map<string, EventStoreErrorCode>();
  /** Called at each read of a stream, before it. */
  beforeRead: (stream: string) => Promise<void> = async () => undefined;
  /** Called at each read of the whole log, before it. */
  beforeReadAll: () => Promise<void> = async () => undefined;
  reads = 0;
  appends = 0;
  private readonly inner: MemoryEventStore;
  private markCrashed = (): void => undefined;
  /** Resolves when an append has crashed. */
  readonly crashed = new Promise<void>((resolve) => {
    this.markCrashed = resolve;
  });

  constructor(storage: MemoryStorage, maxAppendBytes?: number) {
    this.inner = new MemoryEventStore({
      storage,
      ...(maxAppendBytes === undefined ? {} : { maxAppendBytes }),
    });
  }

  async append(appends: readonly StreamAppend[]): Promise<AppendResult[]> {
    this.appends++;
    const fault = this.appendFaults.shift();
    if (fault === undefined || fault === null) return this.pass(appends);
    switch (fault.kind) {
      case 'refused':
        return failed(appends, fault.code);
      case 'unknown-recorded':
        await this.pass(appends);
        return failed(appends, 'outcome-unknown');
      case 'unknown-lost':
        return failed(appends, 'outcome-unknown');
      case 'crash-before':
        return this.crash();
      case 'crash-after':
        await this.pass(appends);
        return this.crash();
      case 'slow':
        await fault.until;
        return this.pass(appends);
      case 'after':
        await fault.first();
        return this.pass(appends);
    }
  }

  /** Hands the appends of writable streams on, in one call. */
  private async pass(appends: readonly StreamAppend[]): Promise<AppendResult[]> {
    const passed = appends.filter(({ stream }) => !this.unwritable.has(stream));
    const results = await this.inner.append(passed);
    return appends.map((append) => {
      const code = this.unwritable.get(append.stream);
      const result = results[passed.indexOf(append)];
      return code !== undefined || result === undefined ? failure(code ?? 'unavailable') : result;
    });
  }

  private crash(): Promise<never> {
    this.markCrashed();
    return new Promise(() => undefined);
  }

  async *readStream(stream: string, options?: ReadStreamOptions): AsyncGenerator<RecordedEvent> {
    this.reads++;
    await this.beforeRead(stream);
    const code = this.unreadable.get(stream) ?? this.readFaults.shift();
    if (code) throw new EventStoreError(code, 'as the test asked');
    yield* this.inner.readStream(stream, options);
  }

  knownRevision(stream: string): number | null {
    return this.unreadable.has(stream) ? null : this.inner.knownRevision(stream);
  }

  async *readAll(options?: ReadAllOptions): AsyncGenerator<RecordedEvent> {
    await this.beforeReadAll();
    yield* this.inner.readAll(options);
  }

  subscribe(options: SubscribeOptions): AsyncIterable<SubscriptionItem> {
    return this.inner.subscribe(options);
  }

  health(): Promise<string | null> {
    return this.inner.health();
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}

function failure(code: EventStoreErrorCode): AppendResult {
  return { kind: 'failed', error: new EventStoreError(code, 'as the test asked') };
}

function failed(appends: readonly StreamAppend[], code: EventStoreErrorCode): AppendResult[] {
  return appends.map(() => failure(code));
}
