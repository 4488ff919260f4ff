import { mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import Database from 'better-sqlite3';
import {
  keptSnapshots,
  type SnapshotStore,
  type StoredSnapshot,
} from '../../../application/ports/snapshots.js';

const FILE = 'snapshots.db';

/** Marks a file as ours: "DSS" and a 1. */
const APPLICATION_ID = 0x44535331;
const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE snapshots (
    device_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    level INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (device_id, revision)
  ) STRICT;
`;

type Row = readonly [revision: number, level: number, eventId: string, checksum: number, text: string];

/** The file as it is open now, and what is asked of it. */
interface Open {
  readonly db: Database.Database;
  readonly find: Database.Statement<[deviceId: string, atMost: number], Row>;
  readonly insert: Database.Statement<[string, number, number, string, number, string]>;
  readonly prune: Database.Statement<[{ deviceId: string; level: number; kept: number }]>;
  readonly remove: Database.Statement<[deviceId: string, fromRevision: number]>;
}

/**
 * Opens the snapshots of a folder, `snapshots.db`. A file that is damaged, or of another version, is made anew.
 *
 * Throws where the folder or the file cannot be written, or is another program's.
 */
export function openSqliteSnapshots(dataDir: string): SqliteSnapshots {
  return new SqliteSnapshots(join(resolve(dataDir), FILE));
}

/**
 * Snapshots in one SQLite file. Not synced: after a crash of the machine it may be damaged, which is found by SQLite or
 * by the checksums, and costs nothing but the time to fold again.
 */
export class SqliteSnapshots implements SnapshotStore {
  private current: Open | null;

  constructor(private readonly path: string) {
    makeFolder(dirname(path));
    this.current = open(path);
  }

  async find(deviceId: string, atMost: number): Promise<StoredSnapshot | null> {
    return this.run(({ find }) => {
      // The newest first; one that fails its checksum is passed over.
      for (const [revision, level, eventId, checksum, text] of find.iterate(deviceId, atMost)) {
        const snapshot = { deviceId, revision, eventId, level, text };
        if (checksumOf(snapshot) === checksum) return snapshot;
      }
      return null;
    });
  }

  async save(snapshots: readonly StoredSnapshot[]): Promise<void> {
    this.run(({ db, insert, prune }) => {
      db.transaction(() => {
        for (const snapshot of snapshots) {
          const { deviceId, revision, eventId, level, text } = snapshot;
          insert.run(deviceId, revision, level, eventId, checksumOf(snapshot), text);
          prune.run({ deviceId, level, kept: keptSnapshots(level) });
        }
      }).immediate();
    });
  }

  async remove(deviceId: string, fromRevision: number): Promise<void> {
    this.run(({ remove }) => remove.run(deviceId, fromRevision));
  }

  async close(): Promise<void> {
    this.current?.db.close();
    this.current = null;
  }

  private run<T>(work: (open: Open) => T): T {
    if (this.current === null) throw new Error('The snapshots are closed');
    try {
      return work(this.current);
    } catch (error) {
      if (isDamage(error)) this.renew();
      throw error;
    }
  }

  /** Begins with an empty file; where that cannot be, the snapshots are closed from now on. */
  private renew(): void {
    this.current?.db.close();
    this.current = null;
    removeFile(this.path);
    this.current = open(this.path);
  }
}

function open(path: string): Open {
  try {
    return openOnce(path);
  } catch (error) {
    if (!isDamage(error) && !(error instanceof OtherVersion)) throw error;
    removeFile(path);
    return openOnce(path);
  }
}

class OtherVersion extends Error {}

function openOnce(path: string): Open {
  const db = new Database(path, { timeout: 250 });
  try {
    const applicationId = db.pragma('application_id', { simple: true });
    const isEmpty = db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0;
    if (applicationId !== APPLICATION_ID && !isEmpty) {
      throw new Error(`DATA_DIR: ${path} is the database of another program`);
    }
    if (!isEmpty && db.pragma('user_version', { simple: true }) !== SCHEMA_VERSION) throw new OtherVersion();
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = OFF');
    db.pragma(`journal_size_limit = ${16 * 1024 * 1024}`);
    if (isEmpty) createSchema(db);
    return {
      db,
      find: db
        .prepare<[string, number], Row>(
          `SELECT revision, level, event_id, checksum, text FROM snapshots
           WHERE device_id = ? AND revision <= ? ORDER BY revision DESC`,
        )
        .raw(),
      insert: db.prepare('INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?)'),
      prune: db.prepare(
        `DELETE FROM snapshots WHERE device_id = @deviceId AND level = @level AND revision <= (
           SELECT revision FROM snapshots WHERE device_id = @deviceId AND level = @level
           ORDER BY revision DESC LIMIT 1 OFFSET @kept)`,
      ),
      remove: db.prepare('DELETE FROM snapshots WHERE device_id = ? AND revision >= ?'),
    };
  } catch (error) {
    db.close();
    throw error;
  }
}

function createSchema(db: Database.Database): void {
  db.transaction(() => {
    db.exec(SCHEMA);
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma(`user_version = ${SCHEMA_VERSION}`);
  }).immediate();
}

function removeFile(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
}

/** Not by `recursive: true`: below /proc, where a mkdir says ENOENT although the parent stands, Node never returns. */
function makeFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (dirname(folder) !== folder) makeFolder(dirname(folder));
  mkdirSync(folder);
}

/** By the code and not by the class: the native module keeps the class of the copy that was loaded first. */
function isDamage(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  return /^SQLITE_(CORRUPT|NOTADB|IOERR_CORRUPTFS|IOERR_SHORT_READ)/.test(code);
}

function checksumOf({ deviceId, revision, eventId, level, text }: StoredSnapshot): number {
  return crc32(text, crc32(`${deviceId}\n${revision}\n${level}\n${eventId}\n`)) | 0;
}
