import { execFile, execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { eventRow, type EventRow, rowToJson } from '../../src/application/event-row.js';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { openEventStore } from '../../src/open-event-store.js';
import { CLI, runCli, startCli } from '../support/cli.js';
import { startEventStoreServer } from '../support/eventstore-server/index.js';
import { Histories, randomFrom } from '../support/histories.js';
import { startService, type Service } from '../support/service.js';

const root = mkdtempSync(join(tmpdir(), 'analysts-'));
let count = 0;
const newFolder = (): string => {
  const path = join(root, String(count++));
  mkdirSync(path);
  return path;
};
afterAll(() => rmSync(root, { recursive: true }));

/** What export must write, by a plain read of the store. */
async function linesOf(store: EventStore): Promise<string[]> {
  const lines: string[] = [];
  for await (const event of store.readAll()) {
    const row = eventRow(event);
    if (row !== null) lines.push(rowToJson(row));
  }
  return lines;
}

interface Row {
  readonly position: number;
  readonly deviceId: string;
  readonly timestamp: number;
}
const rowsOf = (text: string): Row[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row);

interface Stand {
  readonly environment: Record<string, string>;
  /** What the store holds, as export writes it. */
  readonly lines: string[];
  readonly close: () => Promise<void>;
}

async function sqliteStand(): Promise<Stand> {
  const dataDir = newFolder();
  const store = openEventStore({ kind: 'sqlite', dataDir });
  await new Histories(randomFrom(7), 30).append(store, 3000);
  const lines = await linesOf(store);
  // The owner has it open meanwhile, and holds its lock.
  return { environment: { DATA_DIR: dataDir }, lines, close: () => store.close() };
}

async function eventStoreDbStand(): Promise<Stand> {
  const server = await startEventStoreServer();
  const { connectionString } = server;
  const store = openEventStore({ kind: 'eventstoredb', connectionString });
  await new Histories(randomFrom(7), 30).append(store, 3000);
  const lines = await linesOf(store);
  const close = async (): Promise<void> => {
    await store.close();
    await server.stop();
  };
  return {
    environment: { DATA_DIR: newFolder(), EVENTSTORE_CONNECTION_STRING: connectionString },
    lines,
    close,
  };
}

describe.each([
  ['the SQLite store, beside its owner', sqliteStand],
  ['EventStoreDB', eventStoreDbStand],
])('the command line over %s', (_, open) => {
  let stand: Stand;
  let rows: Row[];
  const cli = (...args: string[]) => runCli(stand.environment, ...args);
  beforeAll(async () => {
    stand = await open();
    rows = rowsOf(stand.lines.join('\n'));
    expect(rows.length).toBeGreaterThan(2500);
  });
  afterAll(() => stand.close());

  it('exports every event once, in the order of the log', async () => {
    const out = await cli('export', '--out', '-');
    expect({ code: out.code, lines: out.stdout.split('\n').slice(0, -1) }).toEqual({
      code: 0,
      lines: stand.lines,
    });
    expect(out.stderr).toMatch(/^Exporting: 100 %, [\d,]+ events, [\d,]+\/s\n$/);
    const folder = newFolder();
    const file = join(folder, 'events.ndjson');
    const done = await cli('export', '--out', file);
    expect(done).toMatchObject({ code: 0, stdout: `Exported: ${rows.length} events to ${file}\n` });
    expect(readFileSync(file, 'utf8')).toBe(out.stdout);
    expect(readdirSync(folder)).toEqual(['events.ndjson']);
  });

  it('exports what is selected, by time, device and position', async () => {
    const times = rows.map(({ timestamp }) => timestamp).sort((a, b) => a - b);
    const from = times[1000] ?? 0;
    const to = times[2000] ?? 0;
    const few = new Set(['device-3', 'device-17', 'none']);
    const isIn = ({ timestamp }: Row): boolean => timestamp >= from && timestamp <= to;
    const after = rows[1500]?.position ?? 0;
    const cases: [string[], (row: Row) => boolean][] = [
      [['--from', String(from), '--to', new Date(to).toISOString()], isIn],
      [['--devices', [...few].join(',')], ({ deviceId }) => few.has(deviceId)],
      [
        [
          '--devices',
          'device-3,device-17',
          '--from',
          String(from),
          '--to',
          String(to),
          '--after',
          String(after),
        ],
        (row) => few.has(row.deviceId) && isIn(row) && row.position > after,
      ],
      [
        ['--devices', 'device-1*,device-3', '--after', String(after)],
        ({ deviceId, position }) => /^device-(1.*|3)$/.test(deviceId) && position > after,
      ],
    ];
    for (const [args, isWanted] of cases) {
      const { code, stdout } = await cli('export', '--out', '-', ...args);
      expect(code).toBe(0);
      const wanted = rows.filter(isWanted);
      expect(wanted.length).toBeGreaterThan(20);
      expect(rowsOf(stdout)).toEqual(wanted);
    }
  });

  it('gives the same table from every format, and from the store', async () => {
    const folder = newFolder();
    const query =
      'SELECT e::VARCHAR AS line, typeof(timestamp) AS t, typeof(state) AS s FROM events e ORDER BY position';
    const live = await cli('query', query, '--format', 'ndjson');
    expect(live.code).toBe(0);
    expect(rowsOf(live.stdout)).toHaveLength(rows.length);
    for (const format of ['ndjson', 'csv', 'parquet']) {
      const file = join(folder, `events.${format}`);
      expect(await cli('export', '--out', file)).toMatchObject({ code: 0 });
      expect(await cli('query', query, '--file', file, '--format', 'ndjson')).toEqual({
        code: 0,
        stdout: live.stdout,
        stderr: '',
      });
    }
    // Parquet keeps the order of the log, and its values are those of ndjson.
    const back = await cli(
      'query',
      `SELECT position, "deviceId", version, revision, "clientToken", state, epoch_ms(timestamp) AS timestamp,
        "messageId", "offset" FROM events`,
      '--format',
      'ndjson',
      '--file',
      join(folder, 'events.parquet'),
    );
    const names = [
      'position',
      'deviceId',
      'version',
      'revision',
      'clientToken',
      'timestamp',
      'messageId',
      'offset',
    ];
    const pick = (row: object): unknown[] => {
      const value = row as Record<string, unknown>;
      const state =
        typeof value['state'] === 'string' ? (JSON.parse(value['state']) as unknown) : value['state'];
      return [...names.map((name) => value[name]), state];
    };
    expect(rowsOf(back.stdout).map(pick)).toEqual(rows.map(pick));
  });

  it('prints the history of a device, either way round, within bounds', async () => {
    const wanted = rows.filter(({ deviceId }) => deviceId === 'device-3') as (Row & {
      version: number;
      revision: number;
    })[];
    const shown = async (...args: string[]): Promise<number[]> => {
      const { code, stdout } = await cli('history', 'device-3', '--format', 'ndjson', ...args);
      expect(code).toBe(0);
      return (rowsOf(stdout) as unknown as { revision: number }[]).map(({ revision }) => revision);
    };
    const revisions = wanted.map(({ revision }) => revision);
    expect(await shown()).toEqual(revisions);
    expect(await shown('--newest-first', '--limit', '7')).toEqual([...revisions].reverse().slice(0, 7));
    const between = wanted.filter(({ version }) => version >= 5 && version <= 12);
    expect(await shown('--from', '5', '--to', '12')).toEqual(between.map(({ revision }) => revision));
    const text = await cli('history', 'device-3', '--limit', '1');
    expect(text.stdout).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z {2}v1 +(reported|desired) +.* {2}\(state\.update\/0@\d+\)\n$/,
    );
  });

  it('verifies a read model that was made anew', async () => {
    const { environment } = stand;
    if (environment['EVENTSTORE_CONNECTION_STRING'] === undefined) return;
    expect(await cli('projections', 'rebuild')).toMatchObject({ code: 0 });
    expect(await cli('verify')).toMatchObject({
      code: 0,
      stdout: 'Verified: 30 rows, 30 streams: as the events say; the read model was up to date\n',
    });
  });
});

describe('verify', () => {
  const dataDir = newFolder();
  const environment = { DATA_DIR: dataDir };
  const write = (sql: string): void => {
    const db = new Database(join(dataDir, 'read-model.db'));
    db.exec(sql);
    db.close();
  };
  beforeAll(async () => {
    const store = openEventStore({ kind: 'sqlite', dataDir });
    await new Histories(randomFrom(3), 25).append(store, 500);
    await store.close();
    expect(await runCli(environment, 'projections', 'rebuild')).toMatchObject({ code: 0 });
  });

  it('finds what was tampered with, and nothing else', async () => {
    expect(await runCli(environment, 'verify')).toMatchObject({ code: 0 });
    write(`UPDATE devices SET replica = replace(replica, '"version":', '"version": ') WHERE device_id = 'device-4';
           UPDATE devices SET outstanding = outstanding + 1 WHERE device_id = 'device-5';
           UPDATE devices SET device_id = 'nobody' WHERE device_id = 'device-6'`);
    const { code, stdout } = await runCli(environment, 'verify');
    const lines = stdout.split('\n').slice(0, -1);
    expect(code).toBe(1);
    expect(lines.pop()).toMatch(
      /^Verified: 25 rows, 25 streams: \d differences; the read model was up to date$/,
    );
    expect(lines.filter((line) => line.startsWith('device-6:'))).toEqual([
      'device-6: a stream without a row',
    ]);
    expect(lines.filter((line) => line.startsWith('nobody:'))).toEqual(['nobody: a row without a stream']);
    expect(lines.find((line) => line.startsWith('device-5:'))).toMatch(
      /^device-5: outstanding at revision \d+: events (\d+), row (\d+)$/,
    );
    const text = lines.filter((line) => line.startsWith('device-4:'));
    for (const line of text)
      expect(line).toMatch(/^device-4: text at revision \d+: events .*, row .*version\\": /);
    expect(lines).toHaveLength(3 + text.length);
  });

  it('says 1 where its reader has left amid the differences', async () => {
    const { child, exit } = startCli(environment, ['verify']);
    child.stdout.destroy();
    expect(await exit).toMatchObject({ code: 1, stdout: '' });
  });

  it('says how far behind the read model is', async () => {
    const store = openEventStore({ kind: 'sqlite', dataDir });
    await new Histories(randomFrom(4), 2, 'new-').append(store, 10);
    await store.close();
    const { stdout } = await runCli(environment, 'verify');
    expect(stdout).toMatch(/; the read model was \d+ events behind when this began\n$/);
    expect(stdout).not.toContain('new-device');
  });
});

describe('verify, of counts and of what was not projected', () => {
  const dataDir = newFolder();
  const environment = { DATA_DIR: dataDir };
  const histories = new Histories(randomFrom(9), 20);
  const write = (sql: string): number => {
    const db = new Database(join(dataDir, 'read-model.db'));
    try {
      return db.prepare(sql).run().changes;
    } finally {
      db.close();
    }
  };
  const findings = async (): Promise<string[]> => {
    const { code, stdout } = await runCli(environment, 'verify');
    const lines = stdout.split('\n').slice(0, -2);
    expect(code).toBe(lines.length === 0 ? 0 : 1);
    return lines;
  };
  const append = async (commands: number): Promise<EventRow[]> => {
    const store = openEventStore({ kind: 'sqlite', dataDir });
    const [last] = await rowsAfter(store, undefined).then((all) => all.slice(-1));
    await histories.append(store, commands);
    const rows = await rowsAfter(store, last?.position);
    await store.close();
    return rows;
  };
  beforeAll(async () => {
    await append(600);
    expect(await runCli(environment, 'projections', 'rebuild')).toMatchObject({ code: 0 });
  });

  it('finds a count that was changed, one that is lost, and one that nothing settled', async () => {
    expect(await findings()).toEqual([]);
    const first = `(generation, hour, outcome, bucket) =
      (SELECT generation, hour, outcome, bucket FROM settled WHERE outcome = 'reached' ORDER BY bucket LIMIT 1)`;
    expect(write(`UPDATE settled SET count = count + 1 WHERE ${first}`)).toBe(1);
    const [line, ...others] = await findings();
    expect(others).toEqual([]);
    const [, before, after] =
      /^changes reached in up to \d+ ms, in the hour of \S+: events (\d+) \(\d+ ms together\), counted (\d+) \(/.exec(
        line ?? '',
      ) ?? [];
    expect(Number(after)).toBe(Number(before) + 1);
    expect(write(`UPDATE settled SET count = count - 1, sum_ms = sum_ms + 5 WHERE ${first}`)).toBe(1);
    expect(await findings()).toHaveLength(1);
    expect(write(`DELETE FROM settled WHERE ${first}`)).toBe(1);
    expect(await findings()).toEqual([expect.stringMatching(/counted 0 \(0 ms together\)$/)]);
    write(`INSERT INTO settled SELECT id, 0, 'withdrawn', 25, 3, 7 FROM generations WHERE active = 1`);
    expect(await findings()).toEqual([
      'changes withdrawn in more than 2592000000 ms, in the hour of 1970-01-01T00:00:00.000Z: events 0 (0 ms together), counted 3 (7 ms together)',
      expect.stringMatching(/counted 0 \(0 ms together\)$/),
    ]);
  });

  it('finds rows that stayed behind a checkpoint, and none that is merely not there yet', async () => {
    expect(await runCli(environment, 'projections', 'rebuild')).toMatchObject({ code: 0 });
    const rows = await append(12);
    expect(await findings()).toEqual([]);
    // As if what these events did to the rows had been lost.
    const position = rows.at(-1)?.position;
    expect(write(`UPDATE generations SET position = '${position}' WHERE active = 1`)).toBe(1);
    const behind = (await findings()).filter((line) => line.includes(': left behind at revision '));
    expect(behind.map((line) => line.split(':')[0]).sort()).toEqual(
      [...new Set(rows.map(({ deviceId }) => deviceId))].sort(),
    );
  });
});

async function rowsAfter(store: EventStore, after: bigint | undefined): Promise<EventRow[]> {
  const rows: EventRow[] = [];
  for await (const event of store.readAll(after === undefined ? {} : { after })) {
    const row = eventRow(event);
    if (row !== null) rows.push(row);
  }
  return rows;
}

describe('beside a running service', () => {
  let service: Service;
  const environment = { DATA_DIR: newFolder() };
  beforeAll(async () => {
    service = await startService(environment);
  });
  afterAll(() => service.stop());

  it('reads and verifies while commands come in and are projected', async () => {
    let isDone = false;
    let sent = 0;
    const writing = (async () => {
      for (; !isDone; sent++) {
        const section = sent % 3 === 0 ? 'desired' : 'reported';
        const { status } = await fetch(`${service.url}/state/d-${sent % 20}/update`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ state: { [section]: { n: sent % 7 } } }),
        });
        expect(status).toBe(200);
      }
    })();
    try {
      while (sent < 50) await new Promise((resolve) => setTimeout(resolve, 20));
      for (let round = 0; round < 3; round++) {
        const verified = await runCli(environment, 'verify');
        expect(verified.stdout).toMatch(/^Verified: \d+ rows, \d+ streams: as the events say; /);
        expect(verified.code).toBe(0);
      }
      const exported = await runCli(environment, 'export', '--out', '-');
      expect(exported.code).toBe(0);
      const positions = rowsOf(exported.stdout).map(({ position }) => position);
      expect(positions.length).toBeGreaterThan(50);
      expect(positions).toEqual(positions.map((_, index) => (positions[0] ?? 0) + index));
    } finally {
      isDone = true;
      await writing;
    }
  });
});

describe('a command that cannot do its work', () => {
  const one = async (line: RegExp, code: number, environment: Record<string, string>, ...args: string[]) => {
    const exit = await runCli(environment, ...args);
    expect({ code: exit.code, stdout: exit.stdout }).toEqual({ code, stdout: '' });
    expect(exit.stderr).toMatch(line);
  };

  it('says in one line why, and makes nothing', async () => {
    const none = join(root, 'none');
    const line = /^device-state-replica: DATA_DIR: there is no \S+events\.db\n$/;
    for (const args of [['history', 'a'], ['export', '--out', '-'], ['query', 'SELECT 1'], ['verify']]) {
      await one(line, 1, { DATA_DIR: none }, ...args);
    }
    expect(statSync(none, { throwIfNoEntry: false })).toBeUndefined();
    const dataDir = newFolder();
    const store = openEventStore({ kind: 'sqlite', dataDir });
    await new Histories(randomFrom(1), 2).append(store, 20);
    await store.close();
    const environment = { DATA_DIR: dataDir };
    await one(/: there is no \S+read-model\.db; the service/, 1, environment, 'verify');
    expect(readdirSync(dataDir).some((name) => name.startsWith('read-model'))).toBe(false);
    await one(/^device-state-replica: No state exists for device: 'x'\n$/, 1, environment, 'history', 'x');
    await one(
      /^device-state-replica: --out: there is no folder \S+\n$/,
      2,
      environment,
      'export',
      '--out',
      '/no/such/x',
    );
    await one(/--format parquet needs a file/, 2, environment, 'export', '--out', '-', '--format', 'parquet');
    await one(/Parser Error: syntax error at or near "SELEC"\n$/, 1, environment, 'query', 'SELEC');
    for (const sql of ['INSTALL httpfs', 'SELECT 1; LOAD httpfs; SELECT 2', 'UPDATE EXTENSIONS']) {
      await one(/: extensions are neither fetched nor loaded\n$/, 1, environment, 'query', sql);
    }
    for (const [from, to] of [
      ['20', '10'],
      ['2026-05-04', '2026-05-03'],
    ] as const) {
      const args = ['history', 'device-1', '--from', from, '--to', to];
      await one(/: --from is later than --to\n$/, 2, environment, ...args);
    }
    await one(/: KAFKA_BROKERS is not set/, 1, environment, 'replay');
    await one(/a service reads or writes topics/, 2, environment, 'replay', '--topic', 'state.update');
    await one(/Unknown option '--form'/, 2, environment, 'export', '--form', 'x');
  });
});

describe('where output goes', () => {
  const environment = { DATA_DIR: newFolder() };
  beforeAll(async () => {
    const store = openEventStore({ kind: 'sqlite', dataDir: environment.DATA_DIR });
    await new Histories(randomFrom(5), 5).append(store, 200);
    await store.close();
  });

  it('replaces files, also by a link to one, and neither pipes nor what else stands there', async () => {
    const folder = newFolder();
    const [pipe, file, link] = ['pipe', 'file', 'link'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    execFileSync('mkfifo', [pipe]);
    const refused = await runCli(environment, 'export', '--out', pipe);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toMatch(/: --out: \S+ is no file that could be replaced; - is standard output\n$/);
    expect(statSync(pipe).isFIFO()).toBe(true);
    writeFileSync(file, 'old');
    symlinkSync('file', link);
    expect(await runCli(environment, 'export', '--out', link)).toMatchObject({ code: 0 });
    expect(readFileSync(file, 'utf8')).toMatch(/^{"position":/);
    expect(readdirSync(folder).sort()).toEqual(['file', 'link', 'pipe']);
  });

  it('says that standard output is full, also where there was room for a part of the last piece', async () => {
    const { stdout } = await runCli(environment, 'export', '--out', '-');
    const file = join(newFolder(), 'out');
    // SQLite's own files need 64 KiB.
    const limit = 80;
    expect(stdout.length).toBeGreaterThan(limit * 1024);
    expect(stdout.length).toBeLessThan(128 * 1024);
    const script = 'ulimit -f "$1"; exec "$2" "$3" export --out - > "$4"';
    const { code, stderr } = await shell(environment, script, String(limit), process.execPath, CLI, file);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'device-state-replica: standard output: larger than files may be here (EFBIG)\n',
    });
    const full = await shell(environment, 'exec "$1" "$2" export --out - > /dev/full', process.execPath, CLI);
    expect(full).toEqual({
      code: 1,
      stderr:
        'device-state-replica: standard output: the disk is full; make room, or write to another disk\n',
    });
  });

  it('does its work where nobody reads the progress', async () => {
    const out = join(newFolder(), 'out');
    const { child, exit } = startCli(environment, ['export', '--out', out]);
    child.stderr.destroy();
    expect(await exit).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Exported: \d+ events to /) });
  });
});

/** Runs a script of the shell with these arguments, and these settings. */
function shell(
  environment: Record<string, string>,
  script: string,
  ...args: string[]
): Promise<{ code: number | null; stderr: string }> {
  return new Promise((resolve) => {
    const env = { PATH: process.env['PATH'], ...environment };
    const child = execFile('bash', ['--norc', '-c', script, 'bash', ...args], { env }, (_, __, stderr) =>
      resolve({ code: child.exitCode, stderr }),
    );
  });
}

describe('a long export', () => {
  const environment = { DATA_DIR: newFolder() };
  beforeAll(async () => {
    const store = openEventStore({ kind: 'sqlite', dataDir: environment.DATA_DIR });
    const stream = 'deviceState-long';
    const events = Array.from({ length: 1000 }, (_, revision) => ({ revision }));
    for (let block = 0; block < 200; block++) {
      const [result] = await store.append([
        {
          stream,
          expectedRevision: block * 1000 - 1,
          events: events.map(({ revision: n }) => {
            const revision = block * 1000 + n;
            return {
              id: `00000000-0000-4000-8000-${String(revision).padStart(12, '0')}`,
              type: 'ReportedStateChanged',
              data: Buffer.from(
                `{"deviceId":"long","version":${revision + 1},"timestamp":${1_700_000_000_000 + revision},"state":{"n":${revision}}}`,
              ),
              metadata: Buffer.from(
                `{"schema":1,"$causationId":"c${revision}","$correlationId":"c${revision}","source":{"topic":"state.update","partition":0,"offset":${revision},"timestamp":1,"log":"l"},"fingerprint":"f"}`,
              ),
            };
          }),
        },
      ]);
      expect(result?.kind).toBe('appended');
    }
    await store.close();
  });

  it.each(['ndjson', 'parquet'])('to %s leaves nothing behind after Ctrl-C, and says 130', async (format) => {
    const folder = newFolder();
    const { child, exit } = startCli(environment, ['export', '--out', join(folder, `x.${format}`)]);
    while (!readdirSync(folder).some((name) => name.includes('.partial'))) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill('SIGINT');
    const { code, stdout, stderr } = await exit;
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    expect(stderr).toMatch(/device-state-replica: interrupted\n$/);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('ends quietly where its reader has had enough', async () => {
    const { child, exit } = startCli(environment, ['export', '--out', '-']);
    child.stdout.once('data', () => child.stdout.destroy());
    const { code, stderr } = await exit;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('takes no more memory than its heap has, in every format', async () => {
    const folder = newFolder();
    for (const format of ['ndjson', 'csv', 'parquet']) {
      const args = ['export', '--out', join(folder, `x.${format}`)];
      const { code, stderr } = await startCli(environment, args, ['--max-old-space-size=64']).exit;
      expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    }
  });
});
