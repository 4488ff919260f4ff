import { statSync } from 'node:fs';
import type Database from 'better-sqlite3';
import type { Clock } from '../../../application/ports/clock.js';
import type {
  AppendResult,
  EventStore,
  EventStoreError,
  LogEntry,
  ReadAllOptions,
  ReadStreamOptions,
  RecordedEvent,
  StreamAppend,
  SubscribeOptions,
  SubscriptionItem,
} from '../../../application/ports/event-store.js';
import { checkAppends, DEFAULT_MAX_APPEND_BYTES } from '../append-rules.js';
import { closedError } from '../errors.js';
import { LogSignal } from '../subscription.js';
import { SqliteAppender, type PendingAppends } from './appender.js';
import { openDatabase, type OpenDatabase } from './database.js';
import { toEventStoreError } from './errors.js';
import { SqliteLog } from './log.js';

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
  /** Up to which size the file is checked as a whole at the start; of a larger one, the end of the log is. Default 32 MiB. */
  readonly wholeCheckMaxBytes?: number;
}

const DEFAULT_CACHE_BYTES = 32 * 1024 * 1024;
const DEFAULT_STREAM_CACHE_COUNT = 65_536;

/**
 * Opens the event store of a folder. Throws {@link EventStoreError}, its message one line that begins with
 * `DATA_DIR:` — `unavailable`: the folder cannot be made or written, or another process uses it; `corrupt`: its file
 * is no database or damaged; `invalid`: it is another program's database or of a newer version.
 */
export function openSqliteEventStore(options: OpenSqliteEventStoreOptions): SqliteEventStore {
  const { dataDir, cacheBytes = DEFAULT_CACHE_BYTES, wholeCheckMaxBytes } = options;
  const opened = openDatabase(dataDir, { cacheBytes, wholeCheckMaxBytes });
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
  private readonly log: SqliteLog;
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
    this.log = new SqliteLog({
      db: opened.db,
      path: opened.path,
      lastPosition: () => this.appender.lastPosition,
      signal: this.signal,
      isClosed: () => this.closed,
    });
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

  readStream(stream: string, options?: ReadStreamOptions): AsyncIterable<RecordedEvent> {
    return this.log.readStream(stream, options);
  }

  readAll(options?: ReadAllOptions): AsyncIterable<RecordedEvent> {
    return this.log.readAll(options);
  }

  readPages(after?: bigint): AsyncIterable<readonly LogEntry[]> {
    return this.log.readPages(after);
  }

  subscribe(options: SubscribeOptions): AsyncIterable<SubscriptionItem> {
    return this.log.subscribe(options);
  }

  /** The position of the last event, 0 where there is none. */
  get lastPosition(): bigint {
    return BigInt(this.appender.lastPosition);
  }

  /** Calls `listener` after each commit that made the log grow, until the returned function is called. Must not throw. */
  onGrowth(listener: () => void): () => void {
    return this.signal.listen(listener);
  }

  /** Known here alone, and at once: the folder's lock keeps every other writer out. */
  knownRevision(stream: string): number | null {
    return this.closed ? null : this.appender.revisionOf(stream);
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
}
