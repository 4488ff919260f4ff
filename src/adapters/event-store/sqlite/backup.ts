import { join, resolve } from 'node:path';
import { statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { EventStoreError } from '../../../application/ports/event-store.js';
import { checkOwner, EVENTS_FILE } from './database.js';
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
  const source = join(resolve(dataDir), EVENTS_FILE);
  if (statSync(source, { throwIfNoEntry: false }) === undefined) {
    throw new EventStoreError('unavailable', `DATA_DIR: there is no ${source}`);
  }
  withDatabase(source, source, (db) => {
    checkOwner(db, source);
    db.prepare('VACUUM INTO ?').run(path);
  });
  return withDatabase(path, `the copy of ${source}`, (db) => {
    const found = String(db.pragma('integrity_check(1)', { simple: true }));
    if (found !== 'ok')
      throw new EventStoreError('corrupt', `DATA_DIR: ${source} is damaged (${found.replace(/\s+/g, ' ')})`);
    return db.prepare<[], number>('SELECT count(*) FROM events').pluck().get() ?? 0;
  });
}

function withDatabase<T>(path: string, place: string, work: (db: Database.Database) => T): T {
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { readonly: true, timeout: 2000 });
    return work(db);
  } catch (error) {
    throw toEventStoreError(error, place);
  } finally {
    db?.close();
  }
}
