import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { parseDatabaseUrl } from '../../src/adapters/read-model/postgres/connection-string.js';
import { Database } from '../../src/adapters/read-model/postgres/database.js';
import { countQuery, listQuery } from '../../src/adapters/read-model/postgres/fleet.js';
import { lockKey } from '../../src/adapters/read-model/postgres/lock-key.js';
import { createPostgresLeadership } from '../../src/adapters/read-model/postgres/postgres-leadership.js';
import {
  GENERATIONS_TO_CHANGE,
  LOCK_GENERATIONS,
} from '../../src/adapters/read-model/postgres/statements.js';
import { openPostgresReadModel } from '../../src/adapters/read-model/postgres/postgres-read-model.js';
import { type Leadership, type LeaderTerm, type Term } from '../../src/application/ports/leadership.js';
import { type ReadModel } from '../../src/application/ports/read-model.js';
import { checkpointAt, codeOf, row } from '../contracts/read-model.contract.js';
import { until } from '../support/http.js';
import {
  describeWithPostgres,
  describeWithPostgresStarter,
  projectorOf,
  query,
} from '../support/postgres.js';
import { ended, opened, written } from '../support/presence.js';
import { startPostgresServer } from '../support/postgres-server.js';

const OPTIONS = { poolCount: 2, readTimeoutMs: 5_000 };
const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function openModel(url: string): Promise<ReadModel> {
  const model = await openPostgresReadModel(url, OPTIONS);
  open.push(model);
  return model;
}

function leadershipOf(url: string): Leadership {
  const leadership = createPostgresLeadership(url);
  open.push(leadership);
  return leadership;
}

/** The message with which it is not opened. */
async function problemOf(url: string): Promise<string> {
  const error = await openPostgresReadModel(url, OPTIONS).then(
    () => null,
    (problem: Error) => problem,
  );
  expect(error).not.toBeNull();
  expect(error?.message).not.toContain('\n');
  return error?.message ?? '';
}

/** All sessions on this schema but the one that asks, ended. */
async function endSessions(url: string): Promise<void> {
  const options = new URL(url).searchParams.get('options') ?? '';
  const schema = /search_path=(\w+)/.exec(options)?.[1];
  await query(
    url,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE pid <> pg_backend_pid() AND application_name = $1`,
    [schema],
  );
}

/** So that its sessions can be told from others'. */
function named(url: string): string {
  const schema = /search_path=(\w+)/.exec(new URL(url).searchParams.get('options') ?? '')?.[1] ?? '';
  return `${url}&application_name=${schema}`;
}

describeWithPostgres('The read model in PostgreSQL', (schemas) => {
  it('is made by many at once', async () => {
    const url = await schemas.fresh();
    const models = await Promise.all(Array.from({ length: 8 }, () => openModel(url)));
    expect(await Promise.all(models.map((model) => model.generations()))).toEqual(models.map(() => []));
  });

  it('is brought up to date from the first version with its rows', async () => {
    const url = await schemas.fresh();
    await query(url, readFileSync('src/adapters/read-model/postgres/migrations/0001-devices.sql', 'utf8'));
    await query(
      url,
      `UPDATE replica_schema SET version = 1;
       INSERT INTO replica_generations (status, schema, position) VALUES (1, 1, 7);
       INSERT INTO replica_devices VALUES (1, 'a', 0, 1, 1, NULL, NULL, 1, 1, 1, 0, 0, NULL, NULL, '{}', '{}')`,
    );
    const model = await openModel(url);
    await model.writePresence(written([opened('a', 5)]));
    const { rows, position } = await model.list({ limit: 9, connected: true });
    expect(rows).toMatchObject([{ deviceId: 'a', version: 1, connectedSince: 5 }]);
    expect(position).toBe(7n);
  });

  it('is refused, in one line, where a newer version wrote it', async () => {
    const url = await schemas.fresh();
    await openModel(url);
    await query(url, 'UPDATE replica_schema SET version = 99');
    expect(await problemOf(url)).toMatch(
      /^DATABASE_URL: \S+: the tables were written by a newer version \(schema 99, known \d+\); start that, or drop/,
    );
  });

  it("leaves another program's tables alone", async () => {
    const url = await schemas.fresh();
    await query(url, 'CREATE TABLE replica_devices (theirs text)');
    expect(await problemOf(url)).toMatch(/^DATABASE_URL: \S+: has tables of another program/);
  });

  it.each([
    ['nothing listens there', (url: URL) => (url.port = '1'), /ECONNREFUSED/],
    ['there is no such database', (url: URL) => (url.pathname = '/nowhere'), /there is no such database/],
    [
      'the schema is not there',
      (url: URL) => url.searchParams.set('options', '-csearch_path=nowhere'),
      /schema/,
    ],
    ['TLS is asked for and not offered', (url: URL) => url.searchParams.set('sslmode', 'verify-full'), /SSL/],
  ])('says in one line where %s', async (_, change, reason) => {
    const url = new URL(await schemas.fresh());
    change(url);
    const problem = await problemOf(url.href);
    expect(problem).toMatch(/^DATABASE_URL: /);
    expect(problem).toMatch(reason);
    expect(problem).not.toContain(url.password || 'no password');
  });

  it('says in one line where somebody else answers', async () => {
    const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    expect(await problemOf(`postgresql://a:b@127.0.0.1:${port}/c`)).toMatch(/^DATABASE_URL: 127\.0\.0\.1:/);
    server.close();
  });

  it('is unavailable while its connections are ended, whatever they do, and then goes on with all or nothing', async () => {
    const url = named(await schemas.fresh());
    const model = await openModel(url);
    const { id } = await model.begin(1);
    let expected: bigint | null = null;
    let failures = 0;
    for (let round = 1n; round <= 30n; round++) {
      const rows = Array.from({ length: 400 }, (_, n) =>
        row(`d-${n}`, Number(round), { text: JSON.stringify({ reported: { n, round: String(round) } }) }),
      );
      const write = model.write(id, { rows, expected, checkpoint: checkpointAt(round) });
      write.catch(() => undefined);
      await sleep(Math.random() * 20);
      await endSessions(url);
      const code = await codeOf(write);
      if (code !== undefined) {
        expect(code).toBe('unavailable');
        failures++;
      }
      let at: bigint | null | undefined;
      await until('it can be asked again', async () => {
        at = await model.generations().then(
          ([generation]) => generation?.checkpoint?.position ?? null,
          () => undefined,
        );
        return at !== undefined;
      });
      const revisions = new Set(
        (await model.load(id, ['d-0', 'd-1', 'd-399'])).map(({ revision }) => revision),
      );
      // Rows and checkpoint went together, or neither did.
      expect([...revisions]).toEqual(at === null ? [] : [Number(at)]);
      expected = at ?? null;
    }
    expect(failures).toBeGreaterThan(0);
  });

  it('outlives the end of connections that nobody uses', async () => {
    const url = named(await schemas.fresh());
    const model = await openModel(url);
    await model.count();
    await endSessions(url);
    await sleep(100);
    await until('it answers', async () => (await codeOf(model.count())) === undefined);
  });

  it('goes on soon where another process stands still amid a swap of generations', async () => {
    const url = await schemas.fresh();
    const model = await openModel(url);
    await model.begin(1);
    const stopped = new Database(parseDatabaseUrl(url), OPTIONS, () => Promise.resolve());
    open.push(stopped);
    let go = (): void => undefined;
    const standing = new Promise<void>((resolve) => (go = resolve));
    let holds = false;
    const swap = stopped.transaction(async (run) => {
      await run(LOCK_GENERATIONS);
      await run(GENERATIONS_TO_CHANGE);
      holds = true;
      await standing;
      await run(GENERATIONS_TO_CHANGE);
    });
    swap.catch(() => undefined);
    await until('it holds the rows', () => holds);
    const { id } = await model.begin(1);
    expect((await model.generations()).map((each) => each.id)).toEqual([id]);
    go();
    expect(await codeOf(swap)).toBe('unavailable');
  });

  it('ends a question that takes too long', async () => {
    const url = await schemas.fresh();
    const model = await openPostgresReadModel(url, { poolCount: 1, readTimeoutMs: 200 });
    open.push(model);
    await model.activate((await model.begin(1)).id);
    await query(url, 'ALTER TABLE replica_generations RENAME TO kept');
    await query(
      url,
      'CREATE VIEW replica_generations AS SELECT id, status, schema, position, proof FROM kept, pg_sleep(30)',
    );
    expect(await codeOf(model.count())).toBe('too-slow');
  });

  it('is made anew where its tables are dropped, and says that all is lost', async () => {
    const url = await schemas.fresh();
    const model = await openModel(url);
    await model.begin(1);
    await query(
      url,
      `DROP TABLE replica_schema, replica_generations, replica_devices, replica_settled, replica_projector,
        replica_presence, replica_instances`,
    );
    expect(await codeOf(model.generations())).toBe('lost');
    expect(await model.generations()).toEqual([]);
  });

  it('finds equal values by the index', async () => {
    const url = await schemas.fresh();
    const model = await openModel(url);
    const { id } = await model.begin(1);
    const rows = Array.from({ length: 5000 }, (_, n) =>
      row(`d-${n}`, 1, { text: JSON.stringify({ reported: { serial: n }, desired: {}, delta: {} }) }),
    );
    await model.write(id, { rows, expected: null, checkpoint: checkpointAt(1n) });
    await model.activate(id);
    await query(url, 'ANALYZE replica_devices');
    const { rows: plan } = await query(
      url,
      `EXPLAIN SELECT device_id FROM replica_devices WHERE generation = ${id} AND state @> '{"reported": {"serial": 7}}'`,
    );
    expect(JSON.stringify(plan)).toContain('replica_devices_by_state');
    const operand = { kind: 'state', path: { section: 'reported', keys: ['serial'] } } as const;
    const filter = { kind: 'compare', operand, op: '==', value: 7 } as const;
    expect((await model.list({ filter, limit: 9 })).rows.map(({ deviceId }) => deviceId)).toEqual(['d-7']);
  });

  it('finds the few that are away by the indexes', async () => {
    const url = await schemas.fresh();
    const model = await openModel(url);
    const { id } = await model.begin(1);
    const rows = Array.from({ length: 5000 }, (_, n) => row(`d-${n}`, 1));
    await model.write(id, { rows, expected: null, checkpoint: checkpointAt(1n) });
    await model.activate(id);
    const changes = rows.map(({ deviceId }, n) => {
      const change = opened(deviceId, 1);
      return n % 1000 === 0 ? ended(change, n + 1) : change;
    });
    await model.writePresence(written(changes));
    await query(url, 'ANALYZE');
    const operand = { kind: 'field', field: 'disconnectedSince' } as const;
    const filter = { kind: 'compare', operand, op: '<', value: 3000 } as const;
    const sort = { by: 'disconnectedSince', descending: true } as const;
    for (const { text, values } of [
      listQuery({ limit: 100, filter }),
      countQuery({ filter }),
      listQuery({ limit: 100, connected: false, sort }),
    ]) {
      const plan = JSON.stringify((await query(url, `EXPLAIN ${text}`, [...values])).rows);
      expect(plan).toContain('replica_presence_by_disconnected');
      expect(plan).toContain('replica_devices_by_device');
    }
    const found = await model.list({ limit: 100, filter, sort });
    expect(found.rows.map(({ deviceId }) => deviceId)).toEqual(['d-2000', 'd-1000', 'd-0']);
  });
});

describeWithPostgres('The right to project', (schemas) => {
  it('is of one at a time, and goes over when it is given back', async () => {
    const url = await schemas.fresh();
    await openModel(url);
    const [one, two] = [leadershipOf(url), leadershipOf(url)];
    const term = await one.lead();
    expect(term).not.toBeNull();
    expect(await two.lead()).toBeNull();
    // Another service of the same database has a right of its own.
    const elsewhere = await schemas.fresh();
    await openModel(elsewhere);
    expect(await leadershipOf(elsewhere).lead()).not.toBeNull();
    await term?.release();
    await until('the other one has it', async () => (await two.lead()) !== null);
  });

  it('ends at once when its session does', async () => {
    const url = await schemas.fresh();
    await openModel(url);
    const term = await leadershipOf(url).lead();
    const holder = await projectorOf(url);
    await query(url, 'SELECT pg_terminate_backend($1)', [holder?.pid]);
    await until('it has heard of it', () => term?.ended.aborted === true);
    expect(await leadershipOf(url).lead()).not.toBeNull();
  });

  it.each([
    ['lead', 'projector'],
    ['build', 'rebuild'],
  ] as const)('to %s is taken from a process that stands still, and from no other', async (right, lock) => {
    const url = await schemas.fresh();
    await openModel(url);
    // As a process leaves it that was stopped: connected, and silent.
    const stopped = new pg.Client({ connectionString: url });
    const ended = new Promise((resolve) => stopped.on('error', resolve));
    await stopped.connect();
    await stopped.query(`SELECT pg_advisory_lock(${lockKey(lock)})`);
    const one = createPostgresLeadership(url, { silenceMs: 4_000 });
    const two = createPostgresLeadership(url, { silenceMs: 4_000 });
    open.push(one, two);
    let term: Term | null = null;
    await until('it is taken', async () => (term = await one[right]()) !== null);
    await ended;
    const tell = setInterval(() => {
      if (term !== null && 'tell' in term) void (term as LeaderTerm).tell({ lagMs: 0, rebuild: null }, false);
    }, 500);
    for (let round = 0; round < 24; round++) {
      expect(await two[right]()).toBeNull();
      await sleep(250);
    }
    clearInterval(tell);
    expect((term as Term | null)?.ended.aborted).toBe(false);
    await stopped.end();
  });

  it('is given back soon, also where the server is away without a word', async () => {
    const url = await schemas.fresh();
    await openModel(url);
    const sockets: Socket[] = [];
    const proxy = createServer((near) => {
      const far = connect(Number(new URL(url).port), new URL(url).hostname);
      sockets.push(near, far);
      near.on('error', () => undefined).pipe(far);
      far.on('error', () => undefined).pipe(near);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const through = new URL(url);
    through.host = `127.0.0.1:${(proxy.address() as { port: number }).port}`;
    const term = await leadershipOf(through.href).lead();
    expect(term).not.toBeNull();
    for (const socket of sockets) socket.unpipe().pause();
    await term?.release();
    expect(term?.ended.aborted).toBe(true);
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => proxy.close(resolve));
  });

  it('is another one than that to build', async () => {
    const url = await schemas.fresh();
    await openModel(url);
    const [one, two] = [leadershipOf(url), leadershipOf(url)];
    expect(await one.lead()).not.toBeNull();
    const building = await two.build();
    expect(building).not.toBeNull();
    expect(await one.build()).toBeNull();
    await building?.release();
    await until('it is free', async () => (await one.build()) !== null);
  });

  it('comes with telling the others, and with hearing what they ask for', async () => {
    const url = await schemas.fresh();
    await openModel(url);
    const [one, two] = [leadershipOf(url), leadershipOf(url)];
    expect(await two.listen()).toBeNull();
    const term = await one.lead();
    expect(await term?.tell({ lagMs: 5_000, rebuild: null }, false)).toBe(false);
    const heard = await two.listen();
    expect(heard).toMatchObject({ rebuild: null, position: null });
    expect(heard?.lagMs).toBeGreaterThanOrEqual(5_000);
    await sleep(50);
    expect((await two.listen())?.lagMs).toBeGreaterThan((heard?.lagMs ?? 0) + 40);
    await two.askForRebuild();
    expect((await two.listen())?.rebuild).toEqual({ events: 0, share: 0 });
    expect(await term?.tell({ lagMs: 0, rebuild: null }, false)).toBe(true);
    expect(await term?.tell({ lagMs: 0, rebuild: { events: 7, share: 0.5 } }, true)).toBe(false);
    expect((await two.listen())?.rebuild).toEqual({ events: 7, share: 0.5 });
  });
});

describeWithPostgresStarter('A PostgreSQL of its own', () => {
  it('refuses a wrong password in one line without it, and goes away and comes back', async () => {
    const server = await startPostgresServer();
    try {
      const wrong = new URL(server.url);
      wrong.password = `wrong-${randomUUID()}`;
      const problem = await problemOf(wrong.href);
      expect(problem).toMatch(/^DATABASE_URL: \S+: password authentication failed/);
      expect(problem).not.toContain(wrong.password);

      const model = await openModel(server.url);
      const term = await leadershipOf(server.url).lead();
      await server.halt('SIGKILL');
      // What the server has forked goes on for a moment.
      await until('it is away', async () => (await codeOf(model.generations())) === 'unavailable');
      await until('the right has ended', () => term?.ended.aborted === true);
      expect(await problemOf(server.url)).toContain('ECONNREFUSED');
      await server.resume();
      await until('it is back', async () => (await codeOf(model.count())) === undefined);
      const { id } = await model.begin(1);
      expect((await model.generations()).map((each) => each.id)).toEqual([id]);
    } finally {
      for (const each of open.splice(0)) await each.close();
      await server.stop();
    }
  });
});

describe('DATABASE_URL', () => {
  it.each([
    ['mysql://x/y', /must be postgresql:\/\//],
    ['postgresql://u:secret@h', /names no database/],
    ['postgresql:///d', /names no host/],
    ['postgresql://u:secret@h/d?sslmod=disable', /the option 'sslmod' is not known/],
    ['postgresql://u:secret@h/d?sslmode=prefer', /sslmode must be disable or verify-full/],
    ['postgresql://u:secret@h/d?sslrootcert=/nowhere', /without sslmode=verify-full/],
    [
      'postgresql://u:secret@h/d?sslmode=verify-full&sslrootcert=/nowhere',
      /sslrootcert: cannot read '\/nowhere'/,
    ],
    ['postgresql://u:secret@h/d?sslmode=verify-full&sslcert=/nowhere', /go together/],
    ['postgresql://u:sec%ret@h/d', /%25/],
    ['postgresql://u:1?secret@h/d', /write them as %40, %2F and %3F/],
    ['postgresql://u:1/x?secret@h/d', /write them as %40, %2F and %3F/],
    ['postgresql://u:1/secret@h', /write them as %40, %2F and %3F/],
  ])('is refused in one line: %s', async (url, reason) => {
    const problem = await problemOf(url);
    expect(problem).toMatch(/^DATABASE_URL: /);
    expect(problem).toMatch(reason);
    expect(problem).not.toContain('secret');
  });
});
