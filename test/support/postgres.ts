import { randomUUID } from 'node:crypto';
import { afterAll, describe, it } from '@jest/globals';
import pg from 'pg';
import { lockKey } from '../../src/adapters/read-model/postgres/lock-key.js';
import { whyNoPostgres } from './postgres-server.js';

/** One call on a connection of its own. */
export async function query(url: string, sql: string, values: unknown[] = []): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await client.query(sql, values);
  } finally {
    await client.end();
  }
}

/** Makes schemas on the server of the run, and removes them in the end. */
export class PostgresSchemas {
  private readonly names: string[] = [];

  constructor(readonly serverUrl: string) {}

  /** The URL of an empty schema of its own, as the service takes it. */
  async fresh(): Promise<string> {
    const name = `test_${randomUUID().replaceAll('-', '')}`;
    await query(this.serverUrl, `CREATE SCHEMA ${name}`);
    this.names.push(name);
    const url = new URL(this.serverUrl);
    url.searchParams.set('options', `-c search_path=${name}`);
    return url.href.replaceAll('+', '%20');
  }

  async remove(): Promise<void> {
    for (const name of this.names.splice(0)) await query(this.serverUrl, `DROP SCHEMA ${name} CASCADE`);
  }
}

/**
 * A suite on the PostgreSQL that all suites of the run share, each in schemas of its own. Without a server the suite
 * is skipped with the reason in its name, or fails if REQUIRE_POSTGRES is 1.
 */
export function describeWithPostgres(name: string, suite: (schemas: PostgresSchemas) => void): void {
  const url = process.env.TEST_POSTGRES;
  if (url) {
    describe(name, () => {
      const schemas = new PostgresSchemas(url);
      suite(schemas);
      afterAll(() => schemas.remove());
    });
    return;
  }
  const reason = process.env.TEST_POSTGRES_ABSENT ?? 'the global set-up looked for no PostgreSQL';
  describeAbsent(name, reason, () => suite(new PostgresSchemas('postgresql://127.0.0.1:1/none')));
}

/** A suite that starts servers of its own with `startPostgresServer`, to kill them. Skipped, or failing, likewise. */
export function describeWithPostgresStarter(name: string, suite: () => void): void {
  const missing = whyNoPostgres();
  if (missing === undefined) describe(name, suite);
  else describeAbsent(name, missing, suite);
}

function describeAbsent(name: string, reason: string, suite: () => void): void {
  if (process.env.REQUIRE_POSTGRES === '1') {
    describe(name, () => {
      it('has the PostgreSQL that REQUIRE_POSTGRES=1 asks for', () => {
        throw new Error(reason);
      });
    });
  } else {
    describe.skip(`${name} (skipped: ${reason})`, suite);
  }
}

/** `application_name` and process number of the session that holds the projector's lock in this schema; null: none. */
export async function projectorOf(url: string): Promise<{ name: string; pid: number } | null> {
  const { rows } = await query(
    url,
    `SELECT application_name AS name, pid FROM pg_stat_activity JOIN pg_locks USING (pid)
       WHERE locktype = 'advisory' AND granted AND objsubid = 1
         AND (classid::bigint << 32) | objid::bigint = ${lockKey('projector')}`,
  );
  const [row] = rows as { name: string; pid: number }[];
  return row ?? null;
}

/** How many sessions of this `application_name` the server has. The asker's own is not counted. */
export async function sessionCountOf(url: string, name: string): Promise<number> {
  const { rows } = await query(
    url,
    `SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = '${name}' AND pid <> pg_backend_pid()`,
  );
  return (rows as { count: number }[])[0]?.count ?? 0;
}

/** The same database under another name of the sessions, or with other options. */
export function withOption(url: string, name: string, value: string): string {
  return `${url}${url.includes('?') ? '&' : '?'}${name}=${encodeURIComponent(value)}`;
}
