import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { openEventStore, type StoreAddress } from '../../src/open-event-store.js';
import { CLI } from '../support/cli.js';
import { startEventStoreServer } from '../support/eventstore-server/index.js';

const root = mkdtempSync(join(tmpdir(), 'copy-events-'));
const fileOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
let folderCount = 0;
const newFolder = (): string => join(root, String(folderCount++));
afterAll(() => rmSync(root, { recursive: true }));

interface Exit {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of Node to its end. */
function run(...args: string[]): Promise<Exit> {
  return new Promise((resolve) => {
    const env = { ...process.env, NODE_OPTIONS: '' };
    execFile(process.execPath, args, { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.signal ?? error.code ?? null), stdout, stderr }),
    );
  });
}

const cli = (...args: string[]): Promise<Exit> => run(CLI, ...args);
const copy = (from: string, to: string): Promise<Exit> => cli('copy-events', '--from', from, '--to', to);

/** Fills a folder with events of several devices, in turns. */
async function fill(dataDir: string, count: number, devices = 7): Promise<void> {
  const store = openEventStore({ kind: 'sqlite', dataDir });
  for (let n = 0; n < count; n += devices) {
    const appends = Array.from({ length: Math.min(devices, count - n) }, (_, device) => ({
      stream: `deviceState-${device}`,
      expectedRevision: n / devices - 1,
      events: [
        {
          id: randomUUID(),
          type: 'ReportedStateChanged',
          data: Buffer.from(`{"n": ${n}.0, "é": "€"}`),
          metadata: Buffer.from(`{"device":${device}}`),
        },
      ],
    }));
    for (const { kind } of await store.append(appends)) expect(kind).toBe('appended');
  }
  await store.close();
}

async function eventsOf(address: StoreAddress): Promise<string[]> {
  const store = openEventStore(address, { mustExist: true });
  try {
    return await shown(store);
  } finally {
    await store.close();
  }
}

async function shown(store: EventStore): Promise<string[]> {
  const all: string[] = [];
  for await (const { stream, revision, id, type, data, metadata } of store.readAll()) {
    all.push([stream, revision, id, type, data.toString('latin1'), metadata.toString('latin1')].join(' '));
  }
  return all;
}

const inFolder = (dataDir: string): StoreAddress => ({ kind: 'sqlite', dataDir });

describe('copy-events from SQLite to SQLite', () => {
  it('copies the log in its order, byte for byte, and can be run again', async () => {
    const [from, to] = [newFolder(), newFolder()];
    await fill(from, 3000);
    const first = await copy(`sqlite:${from}`, `sqlite:${to}`);
    expect(first).toMatchObject({
      code: 0,
      stdout: 'Copied and checked: 3000 events, the same on both sides\n',
    });
    expect(first.stderr).toMatch(
      /^Copying: 100 %, 3,000 events, [\d,]+\/s\nChecking: 100 %, 6,000 events, [\d,]+\/s\n$/,
    );
    expect(await eventsOf(inFolder(to))).toEqual(await eventsOf(inFolder(from)));

    const again = await copy(`sqlite:${from}`, `sqlite:${to}`);
    expect(again.code).toBe(0);
    expect(again.stdout).toContain('3000 events, the same on both sides (an earlier copy was gone on with)');
    expect(await eventsOf(inFolder(to))).toHaveLength(3000);
  });

  it('goes on after it was killed, wherever that was', async () => {
    const [from, to] = [newFolder(), newFolder()];
    await fill(from, 2000);
    const all = await eventsOf(inFolder(from));
    let before = 0;
    for (const [appends, batchCount] of [
      [150, 100],
      [330, 64],
      [7, 3],
      [501, 250],
    ] as const) {
      const killed = await run(
        ...['--import', 'tsx', fileOf('./copy-events.killed.ts')],
        ...[from, to, String(appends), String(batchCount)],
      );
      expect(killed).toMatchObject({ code: 'SIGKILL' });
      const part = await eventsOf(inFolder(to));
      expect(part).toEqual(all.slice(0, part.length));
      expect(part.length).toBeLessThan(all.length);
      expect(part.length).toBeGreaterThanOrEqual(before);
      before = part.length;
    }
    expect(before).toBeGreaterThan(0);
    expect(await copy(`sqlite:${from}`, `sqlite:${to}`)).toMatchObject({ code: 0 });
    expect(await eventsOf(inFolder(to))).toEqual(all);
  });

  it('copies nothing from an empty store, and says so', async () => {
    const [from, to] = [newFolder(), newFolder()];
    await fill(from, 0);
    const { code, stdout } = await copy(`sqlite:${from}`, `sqlite:${to}`);
    expect([code, stdout]).toEqual([0, 'Copied and checked: 0 events, the same on both sides\n']);
  });

  it('ends with 1 and names the stream where the two sides differ', async () => {
    const [from, to] = [newFolder(), newFolder()];
    await fill(from, 2100);
    expect((await copy(`sqlite:${from}`, `sqlite:${to}`)).code).toBe(0);
    // An event of the middle is another one, with everything else, its checksum too, as it should be.
    const other = newFolder();
    await fill(other, 7);
    replaceEvent(from, other);
    const { code, stdout, stderr } = await copy(`sqlite:${from}`, `sqlite:${to}`);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr.split('\n').at(-2)).toBe(
      'device-state-replica: the two differ: 2100 events in the source, 2100 in the target; ' +
        'among the streams that differ: deviceState-1 (300 events in the source, 300 in the target)',
    );
  });

  /** Puts the other store's event at position 2 in the place of this one's. */
  function replaceEvent(dataDir: string, otherDir: string): void {
    const db = new Database(join(dataDir, 'events.db'));
    db.prepare('ATTACH ? AS other').run(join(otherDir, 'events.db'));
    db.exec('REPLACE INTO main.events SELECT * FROM other.events WHERE position = 2');
    db.close();
  }
});

describe('copy-events says in one line what is wrong', () => {
  const lines: [string, () => string[] | Promise<string[]>, number, RegExp][] = [
    ['no command', () => [], 2, /^no command/],
    ['another command', () => ['copy'], 2, /^unknown command 'copy'/],
    ['an unknown option', () => ['copy-events', '--form', 'x'], 2, /--form/],
    ['a missing side', () => ['copy-events', '--from', 'sqlite:x'], 2, /^--to is missing/],
    [
      'no scheme',
      () => ['copy-events', '--from', 'data', '--to', 'sqlite:x'],
      2,
      /^--from: there is no scheme; must be/,
    ],
    [
      'an unknown scheme, without what follows it',
      () => ['copy-events', '--from', 'sqlite:x', '--to', 'postgres://user:secret@host'],
      2,
      /^--to: the scheme 'postgres:' is not known; must be sqlite:DIR or esdb:\/\/…$/,
    ],
    [
      'one store on both sides',
      () => ['copy-events', '--from', 'sqlite:x', '--to', 'sqlite:./x'],
      2,
      /are the same store$/,
    ],
    [
      'a source that is not there',
      () => ['copy-events', '--from', `sqlite:${join(root, 'none')}`, '--to', `sqlite:${newFolder()}`],
      1,
      /^--from: there is no .*none\/events\.db$/,
    ],
    [
      'a target that is no folder',
      async () => {
        const from = newFolder();
        await fill(from, 1);
        writeFileSync(join(root, 'file'), '');
        return ['copy-events', '--from', `sqlite:${from}`, '--to', `sqlite:${join(root, 'file')}`];
      },
      1,
      /^--to: .*file is not a folder/,
    ],
    [
      'a target with other events',
      async () => {
        const [from, to] = [newFolder(), newFolder()];
        await fill(from, 10);
        await fill(to, 10);
        return ['copy-events', '--from', `sqlite:${from}`, '--to', `sqlite:${to}`];
      },
      1,
      /^the target has other events than the source: deviceState-2 has the event [0-9a-f-]+ at revision 1$/,
    ],
  ];

  it.each(lines)('%s', async (_, args, code, message) => {
    const { stdout, stderr, ...exit } = await cli(...(await args()));
    expect([exit.code, stdout]).toEqual([code, '']);
    expect(stderr).toMatch(/^device-state-replica: .*\n$/);
    expect(stderr.slice('device-state-replica: '.length, -1)).toMatch(message);
    expect(stderr).not.toContain('secret');
  });

  it('a store that another process uses', async () => {
    const [from, to] = [newFolder(), newFolder()];
    await fill(from, 10);
    mkdirSync(to);
    for (const [held, option] of [
      [from, '--from'],
      [to, '--to'],
    ]) {
      const store = openEventStore(inFolder(held as string));
      const { code, stderr } = await copy(`sqlite:${from}`, `sqlite:${to}`);
      await store.close();
      expect([code, stderr]).toEqual([
        1,
        `device-state-replica: ${option}: ${held} is in use by another process\n`,
      ]);
    }
  });

  it('helps who asks for it', async () => {
    const { code, stdout, stderr } = await cli('copy-events', '--help');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^usage: device-state-replica copy-events --from STORE --to STORE\n/);
  });
});

describe('copy-events and EventStoreDB', () => {
  it('copies there and back, and can be run again', async () => {
    const server = await startEventStoreServer();
    try {
      const [from, back] = [newFolder(), newFolder()];
      await fill(from, 2500);
      const address = server.connectionString;
      const first = await copy(`sqlite:${from}`, address);
      expect(first).toMatchObject({ code: 0 });
      expect(first.stdout).toContain('2500 events, the same on both sides');
      const all = await eventsOf(inFolder(from));
      expect(await eventsOf({ kind: 'eventstoredb', connectionString: address })).toEqual(all);

      expect((await copy(`sqlite:${from}`, address)).stdout).toContain('2500 events');
      expect(await copy(address, `sqlite:${back}`)).toMatchObject({ code: 0 });
      expect(await eventsOf(inFolder(back))).toEqual(all);
    } finally {
      await server.stop();
    }
  });

  it('says in one line that it is away', async () => {
    const from = newFolder();
    await fill(from, 1);
    const { code, stderr } = await copy(`sqlite:${from}`, 'esdb://127.0.0.1:1?tls=false');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^device-state-replica: .*127\.0\.0\.1:1.*\n$/);
  });
});
