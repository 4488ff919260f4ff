/**
 * The event store port: append-only streams of immutable events, one stream a device.
 *
 * Revisions count the events of one stream from 0; {@link NO_STREAM} (−1) is the revision of a stream that has
 * no event yet. Positions order the whole log: strictly increasing, with gaps allowed; only their order has a
 * meaning, never their distance.
 */

/** The expected revision of a stream that must not exist yet. */
export const NO_STREAM = -1;

/** An event as it is handed in. `data` and `metadata` are UTF-8 JSON, kept byte for byte. */
export interface NewEvent {
  /** UUID in its canonical lower-case text form. Unique within its stream; repeats are recognised by it. */
  readonly id: string;
  readonly type: string;
  readonly data: Buffer;
  readonly metadata: Buffer;
}

/** An event as it was recorded. */
export interface RecordedEvent extends NewEvent {
  readonly stream: string;
  readonly revision: number;
  readonly position: bigint;
  /** When the store recorded it, milliseconds since the epoch. */
  readonly recordedAt: number;
}

/** All events of one append stand in the store together or not at all, and side by side in the log. */
export interface StreamAppend {
  readonly stream: string;
  /** The revision the stream must have now: exact, or {@link NO_STREAM}. */
  readonly expectedRevision: number;
  /** At least one event. */
  readonly events: readonly NewEvent[];
}

export type AppendResult =
  /** Durable. `revision` is that of the append's last event. Also the answer to a repeat: see {@link EventStore.append}. */
  | { readonly kind: 'appended'; readonly revision: number }
  /** Nothing was recorded: the stream stands at `revision` (−1: it does not exist). */
  | { readonly kind: 'conflict'; readonly revision: number }
  /** Nothing is known to be recorded for this stream; `error.canRetry` tells whether the same append may be sent again. */
  | { readonly kind: 'failed'; readonly error: EventStoreError };

/** The closed list of what can go wrong in a store, apart from a conflict, which is a value. */
export type EventStoreErrorCode =
  /** The store cannot be reached, is read-only, or its disk is full. Nothing was recorded. Can be retried. */
  | 'unavailable'
  /** The append may or may not have taken place. Retry with the same ids and expected revision. */
  | 'outcome-unknown'
  /** The append is over the store's size limit. Never retried. */
  | 'too-large'
  /** The stream was deleted for good. Never retried. */
  | 'stream-deleted'
  /** What the store holds fails its own check; nothing of it is served. Never retried. */
  | 'corrupt'
  /** The adapter was closed. Never retried. */
  | 'closed'
  /** Wrong use: an empty append, a bad id. Never retried. */
  | 'invalid';

/** Where an event stands that cannot be read. */
export interface DamagedPlace {
  /** Null: that is lost too. */
  readonly stream: string | null;
  readonly position: bigint;
}

export class EventStoreError extends Error {
  /** With `corrupt`, in a read of the whole log: the event that ended it, where one could go on after it. */
  readonly damaged: DamagedPlace | undefined;

  constructor(
    readonly code: EventStoreErrorCode,
    message: string,
    options?: { cause?: unknown; damaged?: DamagedPlace },
  ) {
    super(message, options);
    this.name = 'EventStoreError';
    this.damaged = options?.damaged;
  }

  /** True where the same call can succeed later. */
  get canRetry(): boolean {
    return this.code === 'unavailable' || this.code === 'outcome-unknown';
  }
}

export interface ReadStreamOptions {
  /** Default `forwards`. */
  readonly direction?: 'forwards' | 'backwards';
  /** The first revision read, inclusive. Default: 0 forwards, the last one backwards. */
  readonly from?: number;
  /** The most events read. Default: all. */
  readonly maxCount?: number;
}

export interface ReadAllOptions {
  /** Default `forwards`. */
  readonly direction?: 'forwards' | 'backwards';
  /** Exclusive in both directions: forwards the events after it, backwards those before it. Default: the log's start or end. */
  readonly after?: bigint;
  readonly maxCount?: number;
}

export interface SubscribeOptions {
  /** Events after this position; `start`: all; `end`: only those recorded from now on. */
  readonly after: bigint | 'start' | 'end';
  /** Ends the subscription without an error. */
  readonly signal?: AbortSignal;
}

/**
 * What a subscription yields: events in the log's order, and `caught-up` each time it has reached the end of the log
 * and goes live. An adapter may say `caught-up` again after live events, whenever it has drained the log; the first
 * one is promised, the repeats are not.
 */
export type SubscriptionItem =
  { readonly kind: 'event'; readonly event: RecordedEvent } | { readonly kind: 'caught-up' };

/** An event as those who fold many of them need it. Data and metadata are the same JSON as {@link RecordedEvent}'s. */
export interface LogEntry {
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
  readonly recordedAt: number;
  readonly position: bigint;
  readonly data: string;
  readonly metadata: string;
}

/** What a store shows to those who only read it: the projector, for one, may have a connection of its own. */
export interface EventLog {
  /** Reads one stream. A missing stream yields nothing. Throws {@link EventStoreError} `unavailable`, `corrupt`, `closed`, `stream-deleted`. */
  readStream(stream: string, options?: ReadStreamOptions): AsyncIterable<RecordedEvent>;

  /** Reads the whole log. Throws as {@link readStream}. */
  readAll(options?: ReadAllOptions): AsyncIterable<RecordedEvent>;

  /**
   * The same events as {@link readAll} reads forwards, page by page: where a store has it, it costs half as much. A
   * page is bounded in events and bytes, and is not empty. Throws as {@link readAll}, after the events that come before.
   */
  readPages?(after?: bigint): AsyncIterable<readonly LogEntry[]>;

  /**
   * Catches up from a position, then goes on live, without a gap or a repeat between the two. Back-pressure is
   * the consumer's: nothing is read that it has not asked for. Throws as {@link readStream}.
   */
  subscribe(options: SubscribeOptions): AsyncIterable<SubscriptionItem>;

  /**
   * Ends open reads (with `closed`, so that none looks complete) and subscriptions (without an error), and releases
   * the log. Later calls fail with `closed`. Idempotent.
   */
  close(): Promise<void>;
}

export interface EventStore extends EventLog {
  /**
   * Appends to many streams in one call; the result at index i belongs to the append at index i.
   *
   * Each stream succeeds or conflicts by itself. One stream may be named only once in a call: otherwise every append
   * that names it is `failed` with `invalid`. The buffers must not be changed before the promise settles.
   * Once `appended` is returned the events are on disk.
   *
   * Repeats: an append whose events already stand, with the same ids, at exactly `expectedRevision + 1 …` is
   * `appended` again with the revision of its last event, and records nothing.
   *
   * Never rejects: a store that is not there at all, or closed, gives `failed` for every append.
   */
  append(appends: readonly StreamAppend[]): Promise<AppendResult[]>;

  /**
   * The revision at which the stream stands now, {@link NO_STREAM} where it does not exist: never less than what any
   * writer was told `appended`. Null: it cannot be told at once, or the store is closed; a read tells. Never throws.
   *
   * Absent where other processes may append at the same time, since only the store itself can tell there.
   */
  knownRevision?(stream: string): number | null;

  /** Null when the store takes appends now; otherwise why not, in one line. */
  health(): Promise<string | null>;

  /** Finishes the appends already called, then as {@link EventLog.close}. */
  close(): Promise<void>;
}
