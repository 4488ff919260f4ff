import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import Database from 'better-sqlite3';
import { EventStoreError } from '../../../application/ports/event-store.js';
import { checkFile } from './check.js';
import { codeOf, toEventStoreError } from './errors.js';
import { lockDataDir, type DataDirLock } from './lock.js';

/** The name of the file in its folder. */
export const EVENTS_FILE = 'events.db';

/** Marks a file as ours: "DSR" and a 1, so that another program's database is never taken for an event store. */
const APPLICATION_ID = 0x44535231;
const SCHEMA_VERSION = 1;

/**
 * The log is one table in the order of its positions, so an append writes at the end of it. Its only index gives the
 * events of a stream; the revision a stream stands at is the last entry there, because a revision column in `streams`
 * would dirty one more page an append (measured: +60 % CPU). A table clustered by stream (WITHOUT ROWID) moves whole
 * events on every page split: three times the CPU. Types are text: a table of numbers for them saved nothing
 * measurable.
 */
const SCHEMA = `
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
  ) STRICT;
  CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream_id INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    type TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    data BLOB NOT NULL,
    metadata BLOB NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX events_of_stream ON events (stream_id, revision);
  CREATE TABLE probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL) STRICT;
`;

export interface OpenDatabase {
  readonly db: Database.Database;
  readonly lock: DataDirLock;
  /** The absolute path of the events file. */
  readonly path: string;
}

/**
 * Opens, and where needed creates, the events file below `dataDir`, locked against every other event store.
 *
 * Throws {@link EventStoreError}, its message one line that begins with `DATA_DIR:` — `unavailable`: the folder cannot
 * be made or written, or is in use; `corrupt`: the file is no database or damaged; `invalid`: it is another program's
 * database or of a newer version.
 */
export function openDatabase(
  dataDir: string,
  { cacheBytes, wholeCheckMaxBytes }: { cacheBytes: number; wholeCheckMaxBytes?: number | undefined },
): OpenDatabase {
  const directory = resolve(dataDir);
  makeDirectory(directory);
  const lock = lockDataDir(directory);
  const path = join(directory, EVENTS_FILE);
  let db: Database.Database | undefined;
  try {
    // Only a tool that reads can be in the way, and only while the journal mode is set or recovered.
    db = new Database(path, { timeout: 2000 });
    checkOwner(db, path);
    configure(db, path, cacheBytes);
    if (schemaVersion(db) === 0) createSchema(db, directory);
    else checkFile(db, path, wholeCheckMaxBytes);
    return { db, lock, path };
  } catch (error) {
    db?.close();
    lock.release();
    throw toEventStoreError(error, path);
  }
}

/**
 * Opens the events file below `dataDir` for reading alone, beside the event store that owns it, and hands it
 * to `use`, which is to close it. Takes no lock that the owner would wait for.
 *
 * Throws {@link EventStoreError}, its message one line that begins with `DATA_DIR:` — `unavailable`: there is no such
 * file, or it cannot be read; `corrupt` and `invalid`: as {@link openDatabase}. What `use` throws comes as one, too, and
 * the file is closed then.
 */
export function openToRead<T>(dataDir: string, use: (db: Database.Database, path: string) => T): T {
  const path = join(resolve(dataDir), EVENTS_FILE);
  let db: Database.Database | undefined;
  try {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) {
      throw new EventStoreError('unavailable', `DATA_DIR: there is no ${path}`);
    }
    db = new Database(path, { readonly: true, timeout: 2000 });
    checkOwner(db, path);
    return use(db, path);
  } catch (error) {
    db?.close();
    throw toEventStoreError(error, path);
  }
}

function makeDirectory(directory: string): void {
  try {
    makeWithParents(directory);
  } catch (error) {
    const code = codeOf(error);
    const isFile = code === 'EEXIST' || code === 'ENOTDIR';
    const what = isFile ? `${directory} is not a folder` : `the folder ${directory} cannot be made`;
    throw new EventStoreError('unavailable', `DATA_DIR: ${what} (${code})`, { cause: error });
  }
}

/** Not by `recursive: true`: below /proc, where a mkdir says ENOENT although the parent stands, Node never returns. */
function makeWithParents(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  try {
    mkdirSync(directory);
  } catch (error) {
    const parent = dirname(directory);
    if (codeOf(error) !== 'ENOENT' || parent === directory) throw error;
    makeWithParents(parent);
    mkdirSync(directory);
  }
}

function schemaVersion(db: Database.Database): number {
  return Number(db.pragma('user_version', { simple: true }));
}

/** Throws `invalid` unless the file is an event store that this version can read. */
export function checkOwner(db: Database.Database, path: string): void {
  const applicationId = db.pragma('application_id', { simple: true });
  const isEmpty = db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0;
  if (applicationId !== APPLICATION_ID && !(isEmpty && applicationId === 0)) {
    throw new EventStoreError('invalid', `DATA_DIR: ${path} is the database of another program`);
  }
  const version = schemaVersion(db);
  if (version > SCHEMA_VERSION) {
    const message = `DATA_DIR: ${path} was written by a newer version (schema ${version}, known ${SCHEMA_VERSION})`;
    throw new EventStoreError('invalid', message);
  }
}

function configure(db: Database.Database, path: string, cacheBytes: number): void {
  // 8 KiB copies twice as much an append where streams are picked at random, 2 KiB stores large events badly.
  db.pragma('page_size = 4096');
  demand(path, 'journal_mode', 'wal', db.pragma('journal_mode = WAL', { simple: true }));
  db.pragma('synchronous = FULL');
  demand(path, 'synchronous', 2, db.pragma('synchronous', { simple: true }));
  // 16 MiB of log: against SQLite's 4 MiB a third less CPU an append with 200 000 streams, since an index page
  // that many appends touched is copied once. More saves little, and the append that copies pauses longer (40 ms now).
  db.pragma('wal_autocheckpoint = 4000');
  db.pragma(`journal_size_limit = ${64 * 1024 * 1024}`);
  db.pragma(`cache_size = -${Math.ceil(cacheBytes / 1024)}`);
  // Waiting blocks the process. Readers are never waited for; another writer is refused, to be tried again.
  db.pragma('busy_timeout = 250');
}

function demand(path: string, name: string, wanted: unknown, actual: unknown): void {
  if (actual === wanted) return;
  const message = `DATA_DIR: ${path}: the file system does not allow ${name}=${String(wanted)} (${String(actual)})`;
  throw new EventStoreError('unavailable', message);
}

function createSchema(db: Database.Database, directory: string): void {
  db.transaction(() => {
    db.exec(SCHEMA);
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma(`user_version = ${SCHEMA_VERSION}`);
  }).immediate();
  // SQLite syncs its files; that the folders know of them is ours to see to.
  syncDirectory(directory);
  syncDirectory(dirname(directory));
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
