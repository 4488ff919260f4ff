import { join } from 'node:path';
import { describe, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { READ_MODEL_FILE } from '../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { surviveKills } from './read-model-kills.js';

/** A bound for what hangs. */
const LIMIT_MS = 10 * 60_000;

/** All rows of all generations, and the checkpoint, as they are in the file but for the generation's number. */
function dump(dataDir: string): string {
  const db = new Database(join(dataDir, READ_MODEL_FILE), { readonly: true });
  try {
    const tables = db
      .prepare<[], { name: string }>(
        `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`,
      )
      .all();
    return JSON.stringify(
      tables.map(({ name }) => [
        name,
        db
          .prepare<[], Record<string, unknown>>(`SELECT * FROM ${name}`)
          .all()
          .map(({ id: _, generation: __, ...row }) => JSON.stringify(row))
          .sort(),
      ]),
    );
  } finally {
    db.close();
  }
}

describe('The read model of a process that is killed while it projects and rebuilds', () => {
  it(
    'shows no device otherwise than its events did, goes on, and ends like one that is made anew',
    async () => {
      await surviveKills({
        killCount: 100,
        addressOf: (dataDir) => ({ kind: 'sqlite', dataDir }),
        stepMs: 3,
        dump,
      });
    },
    LIMIT_MS,
  );
});
