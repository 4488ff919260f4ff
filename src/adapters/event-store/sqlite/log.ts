import { setImmediate as nextTurn } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import type {
  ReadAllOptions,
  ReadStreamOptions,
  RecordedEvent,
  SubscribeOptions,
  SubscriptionItem,
} from '../../../application/ports/event-store.js';
import { checkCount } from '../append-rules.js';
import { closedError } from '../errors.js';
import { type LogSignal, subscribeToLog } from '../subscription.js';
import { toEventStoreError } from './errors.js';
import { corruptEvent, toRecordedEvent, type EventRow } from './event-codec.js';
import { SqliteReader, type LogRow } from './reader.js';

/** A connection to the events file, and what its owner knows of the log. */
export interface LogSource {
  readonly db: Database.Database;
  readonly path: string;
  /** The position of the last event, 0 where there is none. */
  readonly lastPosition: () => number;
  /** Told when the log has grown or was closed. */
  readonly signal: LogSignal;
  readonly isClosed: () => boolean;
}

/** The reads of the events file, by whatever connection. */
export class SqliteLog {
  private readonly reader: SqliteReader;

  constructor(private readonly source: LogSource) {
    this.reader = new SqliteReader(source.db);
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
    const last = this.source.lastPosition();
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
    const position = after === 'start' ? 0 : after === 'end' ? this.source.lastPosition() : Number(after);
    return subscribeToLog<number, LogRow>(
      {
        pageAfter: (beyond) =>
          this.read(() => this.reader.logPage(false, beyond, Number.MAX_SAFE_INTEGER, Infinity)),
        positionOf: (row) => row[0],
        itemOf: (row) => ({ kind: 'event', event: eventOf(row) }),
        signal: this.source.signal,
        isClosed: this.source.isClosed,
      },
      position,
      signal,
    );
  }

  private read<T>(query: () => T): T {
    try {
      return query();
    } catch (error) {
      throw toEventStoreError(error, this.source.path);
    }
  }

  private throwIfClosed(): void {
    if (this.source.isClosed()) throw closedError();
  }
}

function eventOf(row: LogRow): RecordedEvent {
  const event: EventRow = [row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8]];
  return toRecordedEvent(event, row[9]);
}
