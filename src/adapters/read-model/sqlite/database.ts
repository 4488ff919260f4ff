import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { searchableJson } from '../searchable-text.js';
import { ReadModelError } from '../../../application/ports/read-model.js';

/** Marks a file as ours: "DSM" and a 1. */
const APPLICATION_ID = 0x44534d31;

/** Beside this module in `src` and, copied by the build, in `dist`. */
const MIGRATIONS = fileURLToPath(new URL('./migrations/', import.meta.url));

export interface ReadModelLogger {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/**
 * Opens, and where needed creates, the file; brings an older one up to date. One that is damaged is made anew, with a
 * warning.
 *
 * Throws {@link ReadModelError}, its message one line that begins with `DATA_DIR:` — `invalid`: it is of a newer
 * version or another program's; `unavailable`: it cannot be made or written.
 */
export function openDatabase(path: string, logger: ReadModelLogger): Database.Database {
  try {
    makeFolder(dirname(path));
    return openOnce(path);
  } catch (error) {
    if (!isDamage(error)) throw toReadModelError(error, path);
    logger.warn({ path, err: error }, 'The read model is damaged; making it anew from the events');
    try {
      removeFile(path);
      return openOnce(path);
    } catch (again) {
      throw toReadModelError(again, path);
    }
  }
}

/**
 * Opens a file that is there and up to date for reading alone, beside the connection that writes it.
 *
 * Throws {@link ReadModelError}, its message one line that begins with `DATA_DIR:` — `unavailable`: it is not there,
 * damaged, or not brought up to date yet; `invalid`: as {@link openDatabase}.
 */
export function openReadOnly(path: string): Database.Database {
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { readonly: true, timeout: 2000 });
    checkOwner(db, path);
    const version = versionOf(db);
    if (version !== migrations().length) {
      throw new ReadModelError('unavailable', `DATA_DIR: ${path} is not brought up to date yet`);
    }
    db.pragma(`cache_size = -${32 * 1024}`);
    return db;
  } catch (error) {
    db?.close();
    throw toReadModelError(error, path);
  }
}

export function removeFile(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
}

function openOnce(path: string): Database.Database {
  const db = new Database(path, { timeout: 2000 });
  try {
    checkOwner(db, path);
    db.pragma('journal_mode = WAL');
    // After a crash of the machine the last transactions may be missing, checkpoint and rows together: they are made again.
    db.pragma('synchronous = NORMAL');
    db.pragma('wal_autocheckpoint = 4000');
    db.pragma(`journal_size_limit = ${64 * 1024 * 1024}`);
    db.pragma(`cache_size = -${32 * 1024}`);
    migrate(db);
    // Damage that is met on the way is seen to as well; this finds that of the tables everything begins with.
    db.prepare('SELECT count(*) FROM generations').get();
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Throws `invalid` where the file is not ours, or of a newer version. */
function checkOwner(db: Database.Database, path: string): void {
  const isEmpty = db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0;
  if (!isEmpty && db.pragma('application_id', { simple: true }) !== APPLICATION_ID) {
    throw new ReadModelError('invalid', `DATA_DIR: ${path} is the database of another program`);
  }
  const version = versionOf(db);
  const known = migrations().length;
  if (version > known) {
    const message = `DATA_DIR: ${path} was written by a newer version (schema ${version}, known ${known}); start that, or delete the file: it is made anew`;
    throw new ReadModelError('invalid', message);
  }
}

function versionOf(db: Database.Database): number {
  return Number(db.pragma('user_version', { simple: true }));
}

function migrations(): string[] {
  return readdirSync(MIGRATIONS)
    .filter((name) => name.endsWith('.sql'))
    .sort();
}

function migrate(db: Database.Database): void {
  const files = migrations();
  if (versionOf(db) === files.length) return;
  // For migrations alone, which are plain SQL but for it.
  db.function('searchable', { deterministic: true }, (text) => searchableJson(String(text)));
  db.transaction(() => {
    // Asked again within: another process may have been faster.
    files.slice(versionOf(db)).forEach((name) => db.exec(readFileSync(join(MIGRATIONS, name), 'utf8')));
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma(`user_version = ${files.length}`);
  }).immediate();
}

/** Not by `recursive: true`: below /proc, where a mkdir says ENOENT although the parent stands, Node never returns. */
function makeFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (dirname(folder) !== folder) makeFolder(dirname(folder));
  mkdirSync(folder);
}

/** By the code and not by the class: the native module keeps the class of the copy that was loaded first. */
function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

export function isDamage(error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB|IOERR_CORRUPTFS|IOERR_SHORT_READ)/.test(codeOf(error));
}

export function toReadModelError(error: unknown, path: string): ReadModelError {
  if (error instanceof ReadModelError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const why = `${codeOf(error)}: ${message}`;
  return new ReadModelError('unavailable', `DATA_DIR: ${path} cannot be used (${why})`, { cause: error });
}
