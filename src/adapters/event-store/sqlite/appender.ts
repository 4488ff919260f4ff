import type Database from 'better-sqlite3';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../../application/ports/clock.js';
import {
  NO_STREAM,
  type AppendResult,
  type EventStoreError,
  type StreamAppend,
} from '../../../application/ports/event-store.js';
import { toCommitError, toEventStoreError } from './errors.js';
import { checksumOf, uuidToBytes, uuidToScratch } from './event-codec.js';

/** One call of `append`: the results that are still null are to be decided. */
export interface PendingAppends {
  readonly appends: readonly StreamAppend[];
  readonly results: (AppendResult | null)[];
}

/** A stream in the cache; changed in place. */
interface StreamEntry {
  readonly id: number;
  revision: number;
}

/** The blob a probe writes: large enough not to fit into a page that happens to have room. */
const PROBE_BYTES = 64 * 1024;

/** The write side of the events file. Synchronous: a transaction never spans a turn of the event loop. */
export class SqliteAppender {
  /** Right as long as one process owns the file, which its lock sees to; emptied by every failed transaction. */
  private readonly entries: LRUCache<string, StreamEntry>;
  private nextPosition = 0;
  private nextStreamId = 0;
  /** The two above may be too large: the transaction that they were counted in was rolled back. */
  private mustRemember = false;

  private readonly begin: Database.Statement<[]>;
  private readonly commit: Database.Statement<[]>;
  private readonly findStream: Database.Statement<[string], [number, number | null]>;
  private readonly insertStream: Database.Statement<[number, string]>;
  private readonly insertEvent: Database.Statement<
    [number, number, number, Buffer, string, number, number, Buffer, Buffer]
  >;
  private readonly idsFrom: Database.Statement<[number, number, number], [number, Buffer]>;

  constructor(
    private readonly db: Database.Database,
    private readonly path: string,
    private readonly clock: Clock,
    streamCacheCount: number,
  ) {
    this.entries = new LRUCache({ max: streamCacheCount });
    this.begin = db.prepare<[]>('BEGIN IMMEDIATE');
    this.commit = db.prepare<[]>('COMMIT');
    this.findStream = db
      .prepare<[string], [number, number | null]>(
        'SELECT id, (SELECT max(revision) FROM events WHERE stream_id = streams.id) FROM streams WHERE name = ?',
      )
      .raw();
    this.insertStream = db.prepare('INSERT INTO streams (id, name) VALUES (?, ?)');
    this.insertEvent = db.prepare(
      `INSERT INTO events (position, stream_id, revision, event_id, type, recorded_at, checksum, data, metadata)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.idsFrom = db
      .prepare<[number, number, number], [number, Buffer]>(
        `SELECT revision, event_id FROM events
         WHERE stream_id = ? AND revision >= ? ORDER BY revision LIMIT ?`,
      )
      .raw();
    this.remember();
  }

  /** The position of the last event, 0 where there is none. */
  get lastPosition(): number {
    return this.nextPosition - 1;
  }

  /** The revision at which a stream stands, {@link NO_STREAM} where it does not exist; null: the file cannot be read. */
  revisionOf(stream: string): number | null {
    try {
      // Asked for each get: which of the streams was used last is told by the appends.
      const entry = this.entries.peek(stream) ?? this.entryOf(stream);
      return entry?.revision ?? NO_STREAM;
    } catch {
      // Whoever reads the stream is told what is wrong.
      return null;
    }
  }

  /**
   * Decides and records all that is pending in one transaction, and fills in its results. Where the transaction
   * fails, all of them are `failed`, the conflicts too: what they conflicted with may be what was rolled back.
   * Returns the error then, else null.
   */
  write(group: readonly PendingAppends[]): EventStoreError | null {
    const decided: [results: (AppendResult | null)[], index: number][] = [];
    let committing = false;
    try {
      this.begin.run();
      if (this.mustRemember) this.remember();
      const recordedAt = this.clock();
      for (const { appends, results } of group) {
        for (let index = 0; index < appends.length; index++) {
          const append = appends[index];
          if (append === undefined || results[index] !== null) continue;
          decided.push([results, index]);
          results[index] = this.appendOne(append, recordedAt);
        }
      }
      committing = true;
      this.commit.run();
      return null;
    } catch (thrown) {
      const error = committing ? toCommitError(thrown, this.path) : toEventStoreError(thrown, this.path);
      this.rollBack();
      for (const { appends, results } of group) {
        for (let index = 0; index < appends.length; index++) results[index] ??= { kind: 'failed', error };
      }
      for (const [results, index] of decided) results[index] = { kind: 'failed', error };
      return error;
    }
  }

  /** Throws unless the file takes a write that needs room, on disk. */
  probe(): void {
    try {
      this.db.prepare('INSERT OR REPLACE INTO probe (id, filler) VALUES (1, zeroblob(?))').run(PROBE_BYTES);
      this.db.prepare('DELETE FROM probe').run();
    } catch (thrown) {
      this.rollBack();
      throw toEventStoreError(thrown, this.path);
    }
  }

  private appendOne({ stream, expectedRevision, events }: StreamAppend, recordedAt: number): AppendResult {
    let entry = this.entryOf(stream);
    const current = entry?.revision ?? NO_STREAM;
    if (expectedRevision !== current) {
      return entry !== undefined && this.isRepeat(entry, expectedRevision, events)
        ? { kind: 'appended', revision: expectedRevision + events.length }
        : { kind: 'conflict', revision: current };
    }
    if (entry === undefined) {
      entry = { id: this.nextStreamId++, revision: NO_STREAM };
      this.insertStream.run(entry.id, stream);
      this.entries.set(stream, entry);
    }
    let revision = current;
    for (const { id, type, data, metadata } of events) {
      const position = this.nextPosition++;
      revision++;
      const idBytes = uuidToScratch(id);
      const checksum = checksumOf(position, entry.id, revision, idBytes, type, recordedAt, data, metadata);
      this.insertEvent.run(position, entry.id, revision, idBytes, type, recordedAt, checksum, data, metadata);
    }
    entry.revision = revision;
    return { kind: 'appended', revision };
  }

  private entryOf(stream: string): StreamEntry | undefined {
    const cached = this.entries.get(stream);
    if (cached !== undefined) return cached;
    const row = this.findStream.get(stream);
    if (row === undefined) return undefined;
    const entry = { id: row[0], revision: row[1] ?? NO_STREAM };
    this.entries.set(stream, entry);
    return entry;
  }

  private isRepeat(entry: StreamEntry, expectedRevision: number, events: StreamAppend['events']): boolean {
    if (expectedRevision + events.length > entry.revision) return false;
    const first = expectedRevision + 1;
    const rows = this.idsFrom.all(entry.id, first, events.length);
    return (
      rows.length === events.length &&
      events.every(({ id }, index) => {
        const row = rows[index];
        return row !== undefined && row[0] === first + index && row[1].equals(uuidToBytes(id));
      })
    );
  }

  private rollBack(): void {
    this.entries.clear();
    this.mustRemember = true;
    try {
      // SQLite has rolled back by itself after some errors, and then refuses to do it again.
      if (this.db.inTransaction) this.db.exec('ROLLBACK');
      this.remember();
    } catch {
      // What made the transaction fail is the error to tell. The next one begins with this again: no number is left out.
    }
  }

  private remember(): void {
    this.nextPosition = this.nextOf('SELECT max(position) FROM events');
    this.nextStreamId = this.nextOf('SELECT max(id) FROM streams');
    this.mustRemember = false;
  }

  private nextOf(query: string): number {
    return Number(this.db.prepare(query).pluck().get() ?? 0) + 1;
  }
}
