import type Database from 'better-sqlite3';
import { SMALL_COLUMNS, type StoredRow } from '../stored.js';
import { ConvergenceStatements } from './convergence.js';
import { PresenceStatements } from './presence.js';

export type GenerationRow = readonly [
  id: number,
  active: number,
  schema: number,
  position: string | null,
  proof: string | null,
];

/** Of one table: the next generation that has rows there, and the removal of some of them. */
interface Sweep {
  readonly next: Database.Statement<[after: number], number>;
  readonly remove: Database.Statement<[generation: number, maxCount: number]>;
}

type PutRow = [generation: number, ...StoredRow, searchable: string | null];

const WHOLE = `${SMALL_COLUMNS}, replica`;
const GENERATION = 'id, active, schema, position, proof';

/** What is asked of the file, prepared once. */
export class Statements {
  readonly generations: Database.Statement<[], GenerationRow>;
  readonly active: Database.Statement<[], GenerationRow>;
  readonly isKnown: Database.Statement<[id: number], number>;
  readonly begin: Database.Statement<[schema: number]>;
  readonly forgetBuilding: Database.Statement<[]>;
  readonly forgetActive: Database.Statement<[]>;
  readonly activate: Database.Statement<[id: number]>;
  readonly advance: Database.Statement<[string, string | null, number, string | null]>;
  readonly load: Database.Statement<[generation: number, deviceId: string], StoredRow>;
  readonly put: Database.Statement<PutRow>;
  readonly sweeps: readonly Sweep[];
  readonly find: Database.Statement<[deviceId: string], StoredRow>;
  readonly scan: Database.Statement<[after: string, limit: number], StoredRow>;
  readonly convergence: ConvergenceStatements;
  readonly presence: PresenceStatements;

  constructor(db: Database.Database) {
    this.generations = db
      .prepare<[], GenerationRow>(`SELECT ${GENERATION} FROM generations ORDER BY id`)
      .raw();
    this.active = db
      .prepare<[], GenerationRow>(`SELECT ${GENERATION} FROM generations WHERE active = 1`)
      .raw();
    this.isKnown = db.prepare<[number], number>('SELECT 1 FROM generations WHERE id = ?').pluck();
    this.begin = db.prepare('INSERT INTO generations (active, schema) VALUES (0, ?)');
    this.forgetBuilding = db.prepare('DELETE FROM generations WHERE active = 0');
    this.forgetActive = db.prepare('DELETE FROM generations WHERE active = 1');
    this.activate = db.prepare('UPDATE generations SET active = 1 WHERE id = ?');
    this.advance = db.prepare(
      'UPDATE generations SET position = ?, proof = ? WHERE id = ? AND position IS ?',
    );
    const select = (columns: string, rest: string): string => `SELECT ${columns} FROM devices WHERE ${rest}`;
    this.load = db
      .prepare<[number, string], StoredRow>(select(WHOLE, 'generation = ? AND device_id = ?'))
      .raw();
    this.put = db.prepare(
      `INSERT INTO devices (generation, ${WHOLE}, searchable) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (generation, device_id) DO UPDATE SET
         revision = excluded.revision, version = excluded.version, status = excluded.status,
         last_reported = excluded.last_reported, last_desired = excluded.last_desired, since = excluded.since,
         since_version = excluded.since_version, prior_since = excluded.prior_since,
         outstanding = excluded.outstanding, open_count = excluded.open_count,
         open_changes = excluded.open_changes, broken = excluded.broken, replica = excluded.replica,
         searchable = excluded.searchable
       WHERE excluded.revision > revision OR (excluded.revision = revision AND excluded.broken IS NOT NULL)`,
    );
    this.sweeps = ['devices', 'settled'].map((table) => ({
      next: db
        .prepare<[number], number>(
          `SELECT generation FROM ${table} WHERE generation > ? ORDER BY generation LIMIT 1`,
        )
        .pluck(),
      remove: db.prepare(
        `DELETE FROM ${table} WHERE rowid IN (SELECT rowid FROM ${table} WHERE generation = ? LIMIT ?)`,
      ),
    }));
    const active = 'generation = (SELECT id FROM generations WHERE active = 1)';
    this.find = db.prepare<[string], StoredRow>(select(WHOLE, `${active} AND device_id = ?`)).raw();
    this.scan = db
      .prepare<[string, number], StoredRow>(
        select(WHOLE, `${active} AND device_id > ? ORDER BY device_id LIMIT ?`),
      )
      .raw();
    this.convergence = new ConvergenceStatements(db);
    this.presence = new PresenceStatements(db);
  }
}
