import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ReadModelError } from '../../../application/ports/read-model.js';
import { type Database, type Run } from './database.js';
import { codeOf } from './errors.js';
import { lockKey } from './lock-key.js';

/** Beside this module in `src` and, copied by the build, in `dist`. */
const MIGRATIONS = fileURLToPath(new URL('./migrations/', import.meta.url));

const MIN_SERVER_VERSION = 130_000;

/**
 * Makes the tables, or brings them up to date; one process at a time.
 *
 * Throws {@link ReadModelError} — `invalid`: they are of a newer version, or of another program, or the server cannot
 * hold them; `unavailable`: it cannot be reached, or does not let this user.
 */
export async function migrate(database: Database): Promise<void> {
  const files = readdirSync(MIGRATIONS).filter((name) => name.endsWith('.sql'));
  files.sort();
  const fail = (why: string): never => {
    throw new ReadModelError('invalid', `DATABASE_URL: ${database.place}: ${why}`);
  };
  if ((await database.prepare((run) => versionOf(run, fail))) === files.length) return;
  await database.prepare(async (hold) => {
    await hold({ text: `SELECT pg_advisory_xact_lock(${lockKey('migration')})`, values: [] });
    // By a transaction that begins with the lock held, on another connection: one that has looked before may go on
    // taking for missing what others have made while it waited.
    await database.prepare((run) => migrateFrom(run, files, fail));
  });
}

async function migrateFrom(run: Run, files: readonly string[], fail: (why: string) => never): Promise<void> {
  const from = await versionOf(run, fail);
  if (from > files.length) {
    fail(
      `the tables were written by a newer version (schema ${from}, known ${files.length}); start that, or drop the tables replica_*: they are made anew`,
    );
  }
  for (const name of files.slice(from)) {
    try {
      await run({ text: readFileSync(join(MIGRATIONS, name), 'utf8'), values: [] });
    } catch (error) {
      if (codeOf(error) === '42P07') fail(`has tables of another program: ${String(error)}`);
      throw error;
    }
  }
  await run({ text: 'UPDATE replica_schema SET version = $1', values: [files.length] });
}

/** How many of the files were run; 0: the tables are not there. */
async function versionOf(run: Run, fail: (why: string) => never): Promise<number> {
  const [facts] = await run<[string | null, string, string, string | null]>({
    text: `SELECT current_schema(), current_setting('server_version_num'), current_setting('server_encoding'),
             to_regclass(quote_ident(current_schema()) || '.replica_schema')`,
    values: [],
  });
  const [schema, server, encoding, table] = facts ?? [null, '0', '', null];
  if (schema === null) fail('the schema of its search_path does not exist, or may not be used by this user');
  if (Number(server) < MIN_SERVER_VERSION) fail('PostgreSQL 13 or later is needed');
  if (encoding !== 'UTF8') fail(`the encoding of the database is ${encoding}; it must be UTF8`);
  if (table === null) return 0;
  const [row] = await run<[number]>({ text: 'SELECT version FROM replica_schema', values: [] });
  return row?.[0] ?? 0;
}
