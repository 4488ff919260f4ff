import { statSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { EventStoreError } from '../../../application/ports/event-store.js';

/*
 * What is wrong with an event shows when it is read: it has a checksum. What is wrong with the tables' own order does
 * not: an index that has lost an entry, or a stream's name that has become another one, makes a history look shorter,
 * or like that of another device, and nothing fails. So it is looked for when the file is opened.
 */

/**
 * Files up to this size are checked as a whole, in some 0.2 s. A larger one would hold the start up for seconds to
 * minutes: there the end of the log is looked at alone, which is what a crash or a bad disk leaves half written.
 */
export const WHOLE_CHECK_MAX_BYTES = 32 * 1024 * 1024;
const TAIL_COUNT = 20_000;

/** An event of the tail: where it stands, and where the indexes say that it and its stream stand. */
type TailRow = readonly [
  position: number,
  streamId: number,
  revision: number,
  positionByIndex: number | null,
  streamIdByName: number | null,
  lastRevisionByIndex: number | null,
];

const TAIL = `
  SELECT e.position, e.stream_id, e.revision,
    (SELECT i.position FROM events i WHERE i.stream_id = e.stream_id AND i.revision = e.revision),
    (SELECT n.id FROM streams n WHERE n.name = s.name),
    (SELECT max(l.revision) FROM events l WHERE l.stream_id = e.stream_id)
  FROM events e LEFT JOIN streams s ON s.id = e.stream_id
  ORDER BY e.position DESC LIMIT ?`;

/**
 * Throws {@link EventStoreError} `corrupt` where the file's tables contradict themselves.
 *
 * @param wholeMaxBytes up to which size all of it is checked. Default 32 MiB
 */
export function checkFile(db: Database.Database, path: string, wholeMaxBytes = WHOLE_CHECK_MAX_BYTES): void {
  const found = statSync(path).size <= wholeMaxBytes ? checkWhole(db) : checkTail(db);
  if (found !== null) throw new EventStoreError('corrupt', `DATA_DIR: ${path} is damaged (${found})`);
}

/** What is wrong with the file, in one line; null: nothing is. */
export function checkWhole(db: Database.Database): string | null {
  const found = String(db.pragma('integrity_check(1)', { simple: true }));
  return found === 'ok' ? null : found.replace(/\s+/g, ' ');
}

function checkTail(db: Database.Database): string | null {
  const seen = new Set<number>();
  let next: number | undefined;
  for (const row of db.prepare<[number], TailRow>(TAIL).raw().iterate(TAIL_COUNT)) {
    const [position, streamId, revision, positionByIndex, streamIdByName, lastRevisionByIndex] = row;
    const isLatest = !seen.has(streamId);
    seen.add(streamId);
    if (
      positionByIndex !== position ||
      streamIdByName !== streamId ||
      (isLatest && lastRevisionByIndex !== revision) ||
      (next !== undefined && position !== next - 1)
    ) {
      return `the event at position ${position} is not where the indexes have it`;
    }
    next = position;
  }
  return null;
}
