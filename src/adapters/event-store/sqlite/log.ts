import { setImmediate as nextTurn } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import type {
  LogEntry,
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
import { corruptEvent, readText, toRecordedEvent, type EventRow, type TextRow } from './event-codec.js';
import { SqliteReader, type LogRow } from './reader.js';

/** Streams whose names are kept: some 100 bytes each. */
const MAX_NAMES_COUNT = 50_000;

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
  private readonly names = new Map<number, string>();

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

  async *readPages(after = 0n): AsyncGenerator<readonly LogEntry[]> {
    this.throwIfClosed();
    const bound = this.source.lastPosition();
    let beyond = Number(after);
    for (;;) {
      const rows = this.read(() => this.reader.textPage(beyond, bound));
      const last = rows.at(-1);
      if (last === undefined) return;
      const page: LogEntry[] = [];
      try {
        for (const row of rows) page.push(this.entryOf(row));
      } catch (error) {
        if (page.length > 0) yield page;
        throw error;
      }
      yield page;
      this.throwIfClosed();
      beyond = last[0];
      await nextTurn();
      this.throwIfClosed();
    }
  }

  private entryOf(row: TextRow): LogEntry {
    const [position, streamId, revision, type, recordedAt] = row;
    const stream = this.nameOf(streamId);
    const texts = readText(row);
    if (stream !== undefined && texts !== null) {
      const [data, metadata] = texts;
      return { stream, revision, type, recordedAt, position: BigInt(position), data, metadata };
    }
    // What is wrong with it, and what bytes that are no UTF-8 are taken for, is the same as in any other read.
    const [exact] = this.read(() => this.reader.logPage(false, position - 1, position, 1));
    if (exact === undefined) throw corruptEvent(stream ?? `number ${streamId}`, revision);
    const event = eventOf(exact);
    return { ...event, data: event.data.toString(), metadata: event.metadata.toString() };
  }

  /** A stream never gets another name. */
  private nameOf(streamId: number): string | undefined {
    const known = this.names.get(streamId);
    if (known !== undefined) return known;
    const name = this.read(() => this.reader.findStreamName(streamId));
    if (this.names.size >= MAX_NAMES_COUNT) this.names.clear();
    if (name !== undefined) this.names.set(streamId, name);
    return name;
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
