import Database from 'better-sqlite3';
import { EventStoreError } from '../../../application/ports/event-store.js';
import { checkWhole } from './check.js';
import { openToRead } from './database.js';
import { toEventStoreError } from './errors.js';

/**
 * Writes the events of a folder, as they are at one moment, to a file that is not there yet, and checks what it has
 * written. The event store that owns the folder may go on meanwhile: it waits for nothing, and what it records is not
 * in the copy. SQLite's own backup would begin anew with each commit.
 *
 * Throws {@link EventStoreError}, its message one line — `unavailable`: there is no such file, or one of the two cannot
 * be read or written; `corrupt`: the events, or the copy, are damaged; `invalid`: as of the event store itself.
 *
 * @returns how many events it has
 */
export function backUpEvents(dataDir: string, path: string): number {
  const source = openToRead(dataDir, (db, from) => {
    db.prepare('VACUUM INTO ?').run(path);
    db.close();
    return from;
  });
  return check(path, source);
}

function check(path: string, source: string): number {
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { readonly: true });
    const found = checkWhole(db);
    if (found !== null) throw new EventStoreError('corrupt', `DATA_DIR: ${source} is damaged (${found})`);
    return db.prepare<[], number>('SELECT count(*) FROM events').pluck().get() ?? 0;
  } catch (error) {
    throw toEventStoreError(error, `the copy of ${source}`);
  } finally {
    db?.close();
  }
}
