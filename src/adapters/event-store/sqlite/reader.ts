import type Database from 'better-sqlite3';
import { EVENT_COLUMNS, type EventRow, TEXT_COLUMNS, type TextRow } from './event-codec.js';

/** A page ends at whichever comes first, so that neither many small nor a few large events fill the memory. */
const PAGE_COUNT = 256;
const PAGE_BYTES = 1024 * 1024;

/** A row of the log: that of the event and the name of its stream, null where that is lost. */
export type LogRow = readonly [...row: EventRow, stream: string | null];

type StreamQuery = Database.Statement<[streamId: number, from: number, limit: number], EventRow>;
type LogQuery = Database.Statement<[beyond: number, bound: number, limit: number], LogRow>;

/**
 * The read side of the events file, page by page. Each page is found by the place where the last one ended, so no
 * statement stays open between two pages and nothing keeps the log file from being copied back.
 */
export class SqliteReader {
  private readonly streamIdOf: Database.Statement<[string], number>;
  private readonly streamForwards: StreamQuery;
  private readonly streamBackwards: StreamQuery;
  private readonly logForwards: LogQuery;
  private readonly logBackwards: LogQuery;
  private readonly logText: Database.Statement<[beyond: number, bound: number, limit: number], TextRow>;
  private readonly streamNameOf: Database.Statement<[number], string>;
  /** Of the last page of text, on average. */
  private rowBytes = PAGE_BYTES / PAGE_COUNT;

  constructor(db: Database.Database) {
    this.streamIdOf = db.prepare<[string], number>('SELECT id FROM streams WHERE name = ?').pluck();
    this.streamNameOf = db.prepare<[number], string>('SELECT name FROM streams WHERE id = ?').pluck();
    this.logText = db
      .prepare<[number, number, number], TextRow>(
        `SELECT ${TEXT_COLUMNS} FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?`,
      )
      .raw();
    const stream = (where: string): StreamQuery =>
      db
        .prepare<[number, number, number], EventRow>(
          `SELECT ${EVENT_COLUMNS} FROM events e WHERE e.stream_id = ? AND ${where} LIMIT ?`,
        )
        .raw();
    this.streamForwards = stream('e.revision >= ? ORDER BY e.revision');
    this.streamBackwards = stream('e.revision <= ? ORDER BY e.revision DESC');
    // LEFT JOIN: an event whose stream is lost must be seen as damage, not be left out.
    const log = (where: string): LogQuery =>
      db
        .prepare<[number, number, number], LogRow>(
          `SELECT ${EVENT_COLUMNS}, s.name FROM events e LEFT JOIN streams s ON s.id = e.stream_id
           WHERE ${where} LIMIT ?`,
        )
        .raw();
    this.logForwards = log('e.position > ? AND e.position <= ? ORDER BY e.position');
    this.logBackwards = log('e.position < ? AND e.position >= ? ORDER BY e.position DESC');
  }

  findStreamName(streamId: number): string | undefined {
    return this.streamNameOf.get(streamId);
  }

  findStreamId(stream: string): number | undefined {
    return this.streamIdOf.get(stream);
  }

  /** The next events of a stream, from a revision on, inclusive. */
  streamPage(streamId: number, backwards: boolean, from: number, maxCount: number): EventRow[] {
    const query = backwards ? this.streamBackwards : this.streamForwards;
    return take(query.iterate(streamId, from, Math.min(maxCount, PAGE_COUNT)));
  }

  /** The next events of the log beyond a position, exclusive, up to a bound, inclusive. */
  logPage(backwards: boolean, beyond: number, bound: number, maxCount: number): LogRow[] {
    const query = backwards ? this.logBackwards : this.logForwards;
    return take(query.iterate(beyond, bound, Math.min(maxCount, PAGE_COUNT)));
  }

  /** As {@link logPage} forwards, as text. All at once, so that a page is bounded by the size of the rows before it. */
  textPage(beyond: number, bound: number): TextRow[] {
    const count = Math.max(1, Math.min(PAGE_COUNT, Math.floor(PAGE_BYTES / this.rowBytes)));
    const page = this.logText.all(beyond, bound, count);
    let bytes = 0;
    for (const row of page) bytes += row[6] + row[7];
    if (page.length > 0) this.rowBytes = Math.max(1, bytes / page.length);
    return page;
  }
}

function take<Row extends EventRow | LogRow>(rows: IterableIterator<Row>): Row[] {
  const page: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    page.push(row);
    // Not there where the row is damaged.
    bytes += (row[7] as Buffer | null)?.length ?? 0;
    bytes += (row[8] as Buffer | null)?.length ?? 0;
    if (bytes >= PAGE_BYTES) break;
  }
  return page;
}
