import { statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import type { Clock } from '../../../application/ports/clock.js';
import type {
  AppendResult,
  EventStore,
  EventStoreError,
  ReadAllOptions,
  ReadStreamOptions,
  RecordedEvent,
  StreamAppend,
  SubscribeOptions,
  SubscriptionItem,
} from '../../../application/ports/event-store.js';
import { checkAppends, checkCount, DEFAULT_MAX_APPEND_BYTES } from '../append-rules.js';
import { closedError } from '../errors.js';
import { LogSignal, subscribeToLog } from '../subscription.js';
import { SqliteAppender, type PendingAppends } from './appender.js';
import { openDatabase, type OpenDatabase } from './database.js';
import { toEventStoreError } from './errors.js';
import { corruptEvent, toRecordedEvent, type EventRow } from './event-codec.js';
import { SqliteReader, type LogRow } from './reader.js';

export interface SqliteEventStoreOptions {
  /** Gives `recordedAt`. Default: `Date.now`. */
  readonly clock?: Clock;
  /** The limit of one append, in bytes. Default 16 MiB. */
  readonly maxAppendBytes?: number;
  /** How many streams' revisions are kept in memory, some 150 bytes each. Default 65 536. */
  readonly streamCacheCount?: number;
}

export interface OpenSqliteEventStoreOptions extends SqliteEventStoreOptions {
  /** The folder of the files `events.db` and `lock.db`; made where it is missing. One process at a time may use it. */
  readonly dataDir: string;
  /** What SQLite keeps of the file in memory, in bytes. Default 32 MiB. */
  readonly cacheBytes?: number;
}

const DEFAULT_CACHE_BYTES = 32 * 1024 * 1024;
const DEFAULT_STREAM_CACHE_COUNT = 65_536;

/**
 * Opens the event store of a folder. Throws {@link EventStoreError}, its message one line that begins with
 * `DATA_DIR:` — `unavailable`: the folder cannot be made or written, or another process uses it; `corrupt`: its file
 * is no database or damaged; `invalid`: it is another program's database or of a newer version.
 */
export function openSqliteEventStore(options: OpenSqliteEventStoreOptions): SqliteEventStore {
  const opened = openDatabase(options.dataDir, options.cacheBytes ?? DEFAULT_CACHE_BYTES);
  try {
    return new SqliteEventStore(opened, options);
  } catch (error) {
    opened.db.close();
    opened.lock.release();
    throw toEventStoreError(error, opened.path);
  }
}

interface PendingCall extends PendingAppends {
  readonly resolve: (results: AppendResult[]) => void;
}

/** The event store in one SQLite file. All appends of one turn of the event loop share a transaction and its sync. */
export class SqliteEventStore implements EventStore {
  private readonly db: Database.Database;
  private readonly appender: SqliteAppender;
  private readonly reader: SqliteReader;
  private readonly maxAppendBytes: number;
  private readonly fileNumber: number;
  private readonly signal = new LogSignal();
  private pending: PendingCall[] = [];
  private lastFailure: EventStoreError | null = null;
  private closed = false;

  constructor(
    private readonly opened: OpenDatabase,
    options: SqliteEventStoreOptions = {},
  ) {
    const { clock = Date.now, streamCacheCount = DEFAULT_STREAM_CACHE_COUNT } = options;
    this.db = opened.db;
    this.appender = new SqliteAppender(opened.db, opened.path, clock, streamCacheCount);
    this.reader = new SqliteReader(opened.db);
    this.maxAppendBytes = options.maxAppendBytes ?? DEFAULT_MAX_APPEND_BYTES;
    this.fileNumber = statSync(opened.path).ino;
  }

  append(appends: readonly StreamAppend[]): Promise<AppendResult[]> {
    if (this.closed) {
      return Promise.resolve(appends.map(() => ({ kind: 'failed', error: closedError() })));
    }
    const results = checkAppends(appends, this.maxAppendBytes);
    if (results.every((result) => result !== null)) return Promise.resolve(results);
    return new Promise((resolve) => {
      if (this.pending.length === 0) setImmediate(() => this.flush());
      this.pending.push({ appends, results, resolve });
    });
  }

  private flush(): void {
    const group = this.pending;
    if (group.length === 0) return;
    this.pending = [];
    const positionBefore = this.appender.lastPosition;
    this.lastFailure = this.appender.write(group);
    for (const { results, resolve } of group) resolve(results.filter((result) => result !== null));
    if (this.appender.lastPosition > positionBefore) this.signal.notify();
  }

  async *readStream(stream: string, options: ReadStreamOptions = {}): AsyncGenerator<RecordedEvent> {
    this.throwIfClosed();
    checkCount('from', options.from);
    checkCount('maxCount', options.maxCount);
    const backwards = options.direction === 'backwards';
    const streamId = this.read(() => this.reader.findStreamId(stream));
    if (streamId === undefined) return;
    const step = backwards ? -1 : 1;
    let next = Math.min(options.from ?? (backwards ? Infinity : 0), Number.MAX_SAFE_INTEGER);
    let left = options.maxCount ?? Infinity;
    // Backwards the last revision is not known before the first row.
    let expected = backwards ? null : next;
    while (left > 0 && next >= 0) {
      const page = this.read(() => this.reader.streamPage(streamId, backwards, next, left));
      for (const row of page) {
        const revision = row[2];
        if (revision !== (expected ?? revision)) throw corruptEvent(stream, expected ?? revision);
        yield toRecordedEvent(row, stream);
        this.throwIfClosed();
        next = expected = revision + step;
      }
      if (page.length === 0) {
        if (backwards && expected !== null) throw corruptEvent(stream, expected);
        return;
      }
      left -= page.length;
      // Without a turn of the event loop a long read would starve everything else in the process.
      await nextTurn();
      this.throwIfClosed();
    }
  }

  async *readAll(options: ReadAllOptions = {}): AsyncGenerator<RecordedEvent> {
    this.throwIfClosed();
    checkCount('maxCount', options.maxCount);
    const backwards = options.direction === 'backwards';
    const { after } = options;
    const last = this.appender.lastPosition;
    // Forwards up to what stands now, so that the read ends even while others append.
    const bound = backwards ? 0 : last;
    let beyond = after === undefined ? (backwards ? last + 1 : 0) : Number(after);
    let left = options.maxCount ?? Infinity;
    while (left > 0) {
      const page = this.read(() => this.reader.logPage(backwards, beyond, bound, left));
      for (const row of page) {
        yield eventOf(row);
        this.throwIfClosed();
        beyond = row[0];
      }
      if (page.length === 0) return;
      left -= page.length;
      await nextTurn();
      this.throwIfClosed();
    }
  }

  subscribe({ after, signal }: SubscribeOptions): AsyncIterable<SubscriptionItem> {
    const position = after === 'start' ? 0 : after === 'end' ? this.appender.lastPosition : Number(after);
    return subscribeToLog<number, LogRow>(
      {
        pageAfter: (beyond) =>
          this.read(() => this.reader.logPage(false, beyond, Number.MAX_SAFE_INTEGER, Infinity)),
        positionOf: (row) => row[0],
        itemOf: (row) => ({ kind: 'event', event: eventOf(row) }),
        signal: this.signal,
        isClosed: () => this.closed,
      },
      position,
      signal,
    );
  }

  async health(): Promise<string | null> {
    if (this.closed) return closedError().message;
    const { path } = this.opened;
    try {
      // A deleted file takes appends until its last descriptor is closed, and then they are gone.
      if (statSync(path, { throwIfNoEntry: false })?.ino !== this.fileNumber) {
        return `DATA_DIR: ${path} was deleted or replaced`;
      }
      if (this.lastFailure === null) return null;
      // Asked of the disk only after a failure: with nobody appending, nothing else would find out that it is over.
      this.appender.probe();
      this.lastFailure = null;
      return null;
    } catch (error) {
      return toEventStoreError(error, path).message;
    }
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.flush();
    this.closed = true;
    this.signal.notify();
    try {
      this.db.close();
    } finally {
      this.opened.lock.release();
    }
  }

  private read<T>(query: () => T): T {
    try {
      return query();
    } catch (error) {
      throw toEventStoreError(error, this.opened.path);
    }
  }

  private throwIfClosed(): void {
    if (this.closed) throw closedError();
  }
}

function eventOf(row: LogRow): RecordedEvent {
  const event: EventRow = [row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8]];
  return toRecordedEvent(event, row[9]);
}
