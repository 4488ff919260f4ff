import { join } from 'node:path';
import Database from 'better-sqlite3';
import { EventStoreError } from '../../../application/ports/event-store.js';
import { codeOf, toEventStoreError } from './errors.js';

const LOCK_FILE = 'lock.db';

export interface DataDirLock {
  release(): void;
}

/**
 * Makes this the only event store on `dataDir`, in this process and among all others.
 *
 * The lock is an open exclusive transaction on a database of its own, so that the operating system releases it
 * however the process ends, and read-only tools can open the events meanwhile. Nothing else in this process may open
 * and close `lock.db` by itself: POSIX drops a process's locks on a file at any close of it.
 *
 * Throws `unavailable` where it is taken or the folder cannot be written.
 */
export function lockDataDir(dataDir: string): DataDirLock {
  const path = join(dataDir, LOCK_FILE);
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { timeout: 0 });
    // No journal: the transaction never writes, and a file left behind would only look like damage.
    db.pragma('journal_mode = MEMORY');
    db.exec('BEGIN EXCLUSIVE');
    const held = db;
    return { release: () => held.close() };
  } catch (error) {
    db?.close();
    if (codeOf(error).startsWith('SQLITE_BUSY')) {
      const message = `DATA_DIR: ${dataDir} is in use by another process`;
      throw new EventStoreError('unavailable', message, { cause: error });
    }
    throw toEventStoreError(error, path);
  }
}
