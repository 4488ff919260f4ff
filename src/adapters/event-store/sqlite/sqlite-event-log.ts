import type Database from 'better-sqlite3';
import {
  type EventLog,
  type LogEntry,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
  type SubscribeOptions,
  type SubscriptionItem,
} from '../../../application/ports/event-store.js';
import { closedError } from '../errors.js';
import { LogSignal } from '../subscription.js';
import { openToRead } from './database.js';
import { toEventStoreError } from './errors.js';
import { SqliteLog } from './log.js';

export interface OpenSqliteEventLogOptions {
  /** The folder of `events.db`, which must be there. */
  readonly dataDir: string;
  /** Where whoever has the store that owns the folder says each time that the log has grown. Default: it is looked for. */
  readonly grown?: LogSignal;
  /** How often it is looked whether the log has grown, in milliseconds. Default 20. */
  readonly pollMs?: number;
  /** What SQLite keeps of the file in memory, in bytes. Default 8 MiB. */
  readonly cacheBytes?: number;
}

const DEFAULT_POLL_MS = 20;
const DEFAULT_CACHE_BYTES = 8 * 1024 * 1024;

/**
 * Opens the events of a folder for reading alone, beside the one event store that owns the folder: in the same process
 * or in another one. It takes no lock that the owner would wait for.
 *
 * Throws {@link EventStoreError}, its message one line that begins with `DATA_DIR:` — `unavailable`: there is no such
 * file, or it cannot be read; `corrupt`; `invalid`: as of the event store itself.
 */
export function openSqliteEventLog(options: OpenSqliteEventLogOptions): EventLog {
  return openToRead(options.dataDir, (db, path) => {
    db.pragma(`cache_size = -${Math.ceil((options.cacheBytes ?? DEFAULT_CACHE_BYTES) / 1024)}`);
    return new SqliteEventLog(db, path, options);
  });
}

class SqliteEventLog implements EventLog {
  private readonly signal: LogSignal;
  private readonly log: SqliteLog;
  private readonly last: Database.Statement<[], number>;
  private closed = false;

  constructor(
    private readonly db: Database.Database,
    private readonly path: string,
    { grown, pollMs = DEFAULT_POLL_MS }: OpenSqliteEventLogOptions,
  ) {
    this.last = db.prepare<[], number>('SELECT ifnull(max(position), 0) FROM events').pluck();
    this.signal = grown ?? new PolledSignal(() => this.version(), pollMs);
    this.log = new SqliteLog({
      db,
      path,
      lastPosition: () => this.lastPosition(),
      signal: this.signal,
      isClosed: () => this.closed,
    });
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

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.signal.notify();
    this.db.close();
  }

  private lastPosition(): number {
    if (this.closed) throw closedError();
    try {
      return this.last.get() ?? 0;
    } catch (error) {
      throw toEventStoreError(error, this.path);
    }
  }

  /** Another one after each transaction of another connection. */
  private version(): unknown {
    return this.closed ? null : this.db.pragma('data_version', { simple: true });
  }
}

/** Looks for itself whether the log has grown, for as long as somebody listens. */
class PolledSignal extends LogSignal {
  private timer: NodeJS.Timeout | null = null;
  private seen: unknown = null;

  constructor(
    private readonly version: () => unknown,
    private readonly pollMs: number,
  ) {
    super();
  }

  override listen(listener: () => void): () => void {
    const unlisten = super.listen(listener);
    this.timer ??= setInterval(() => this.look(), this.pollMs);
    return () => {
      unlisten();
      if (this.listenerCount > 0 || this.timer === null) return;
      clearInterval(this.timer);
      this.timer = null;
    };
  }

  private look(): void {
    let version: unknown;
    try {
      version = this.version();
    } catch {
      // The read that follows says what is wrong.
      return this.notify();
    }
    if (version === this.seen) return;
    this.seen = version;
    this.notify();
  }
}
