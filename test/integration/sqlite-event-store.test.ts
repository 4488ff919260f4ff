import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { openDatabase } from '../../src/adapters/event-store/sqlite/database.js';
import {
  openSqliteEventStore,
  SqliteEventStore,
} from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { appendOne, brief, collect, fill, newEvent, newEvents } from '../contracts/event-store.support.js';

const root = mkdtempSync(join(tmpdir(), 'sqlite-event-store-'));
const writerFile = fileURLToPath(new URL('./sqlite-event-store.writer.ts', import.meta.url));
const stores: SqliteEventStore[] = [];
const children: ChildProcess[] = [];
let folderCount = 0;

const newFolder = (): string => join(root, String(folderCount++));
const open = (dataDir: string): SqliteEventStore => {
  const store = openSqliteEventStore({ dataDir });
  stores.push(store);
  return store;
};

afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
  for (const store of stores.splice(0)) await store.close();
});
afterAll(() => rmSync(root, { recursive: true }));

/** Starts a process that owns `dataDir`; resolves when it does. `lines` grows with all that it acknowledges. */
async function startWriter(
  dataDir: string,
  streamCount: number,
): Promise<{ child: ChildProcess; lines: string[] }> {
  const child = spawn(process.execPath, ['--import', 'tsx', writerFile, dataDir, String(streamCount)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // The flags of the test runner are not for this one.
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  children.push(child);
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the writer ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'open') resolve();
      else lines.push(line);
    });
  });
  return { child, lines };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  // 'close' and not 'exit': what it had printed is read by then.
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

describe('two owners of one folder', () => {
  it('are refused within a process, in one line that names the folder', async () => {
    const dataDir = newFolder();
    const first = open(dataDir);
    const second = (): SqliteEventStore => openSqliteEventStore({ dataDir });
    expect(second).toThrow(`DATA_DIR: ${dataDir} is in use by another process`);
    expect(brief(await appendOne(first, 's', -1, newEvents(1)))).toBe('appended 0');
    await first.close();
    expect(brief(await appendOne(open(dataDir), 's', 0, newEvents(1)))).toBe('appended 1');
  });

  it('are refused across processes until the owner is gone, also by SIGKILL', async () => {
    const dataDir = newFolder();
    const { child } = await startWriter(dataDir, 0);
    expect(() => openSqliteEventStore({ dataDir })).toThrow('is in use by another process');
    await kill(child);
    expect(await open(dataDir).health()).toBeNull();
  }, 30_000);

  it('do not keep a tool from reading', async () => {
    const dataDir = newFolder();
    await fill(open(dataDir), 's', 3);
    const tool = new Database(join(dataDir, 'events.db'), { readonly: true });
    expect(tool.prepare('SELECT count(*) FROM events').pluck().get()).toBe(3);
    tool.close();
  });
});

describe('no-loss-on-kill', () => {
  it('keeps all that was acknowledged, and no half of an append, when the owner is killed at any time', async () => {
    const dataDir = newFolder();
    const acknowledged: string[] = [];
    for (let round = 0; round < 5; round++) {
      const { child, lines } = await startWriter(dataDir, 20);
      await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 300));
      await kill(child);
      acknowledged.push(...lines);
    }
    expect(acknowledged.length).toBeGreaterThan(100);

    const store = open(dataDir);
    const standing = new Set<string>();
    for (let n = 0; n < 20; n++) {
      const events = await collect(store.readStream(`device-${n}`));
      expect(events.map(({ revision }) => revision)).toEqual(events.map((_, index) => index));
      expect(events.length % 2).toBe(0);
      for (const { stream, revision, id } of events) standing.add(`${stream} ${revision} ${id}`);
    }
    expect(acknowledged.filter((line) => !standing.has(line))).toEqual([]);
    expect(await collect(store.readAll())).toHaveLength(standing.size);
  }, 60_000);

  it('opens to a prefix of the log where the tail of the write-ahead log is cut off', async () => {
    const dataDir = newFolder();
    const store = open(dataDir);
    const count = 40;
    for (let n = 0; n < count; n++) await appendOne(store, 's', n - 1, [newEvent({ n })]);
    const wal = join(dataDir, 'events.db-wal');
    const size = statSync(wal).size;
    for (const kept of [1, 0.9, 0.7, 0.5]) {
      const copy = newFolder();
      mkdirSync(copy);
      for (const name of ['events.db', 'events.db-wal']) copyFileSync(join(dataDir, name), join(copy, name));
      truncateSync(join(copy, 'events.db-wal'), Math.floor(size * kept));
      const cut = open(copy);
      const events = await collect(cut.readStream('s'));
      expect(events.map(({ data }) => data.toString())).toEqual(events.map((_, n) => JSON.stringify({ n })));
      expect(events.length).toBeGreaterThan(count * kept * 0.7);
      if (kept === 1) expect(events).toHaveLength(count);
      else expect(events.length).toBeLessThan(count);
      expect(brief(await appendOne(cut, 's', events.length - 1, newEvents(1)))).toBe(
        `appended ${events.length}`,
      );
    }
  });
});

describe('a full disk', () => {
  it('fails appends as unavailable, keeps on reading, and is over when there is room', async () => {
    const opened = openDatabase(newFolder(), { cacheBytes: 1024 * 1024 });
    const store = new SqliteEventStore(opened);
    stores.push(store);
    opened.db.pragma('max_page_count = 60');
    const large = (): ReturnType<typeof newEvent> => newEvent({ filler: 'x'.repeat(20_000) });
    let revision = -1;
    let refused = [large()];
    let answer = await appendOne(store, 's', revision, refused);
    while (answer.kind === 'appended') {
      revision = answer.revision;
      refused = [large()];
      answer = await appendOne(store, 's', revision, refused);
    }
    expect(answer).toMatchObject({ kind: 'failed', error: { code: 'unavailable', canRetry: true } });
    expect(answer.kind === 'failed' && answer.error.message).toMatch(/^DATA_DIR: .*disk is full$/);
    // All appends of the same transaction, and nothing of them stands.
    const together = [
      { stream: 'small', expectedRevision: -1, events: newEvents(1) },
      { stream: 's', expectedRevision: revision, events: refused },
    ];
    expect((await store.append(together)).map(brief)).toEqual(['failed unavailable', 'failed unavailable']);
    expect(await collect(store.readStream('small'))).toEqual([]);
    expect(await collect(store.readStream('s'))).toHaveLength(revision + 1);
    expect(await store.health()).toMatch(/^DATA_DIR: .*disk is full$/);

    opened.db.pragma('max_page_count = 100000');
    expect(await store.health()).toBeNull();
    expect((await store.append(together)).map(brief)).toEqual(['appended 0', `appended ${revision + 1}`]);
    const positions = (await collect(store.readAll())).map(({ position }) => position);
    expect(positions).toEqual([...new Set(positions)].sort((a, b) => Number(a - b)));
  });

  it('leaves no gap in the positions, also where the file cannot be read just then', async () => {
    const opened = openDatabase(newFolder(), { cacheBytes: 1024 * 1024 });
    const store = new SqliteEventStore(opened);
    stores.push(store);
    opened.db.pragma('max_page_count = 60');
    const prepare = opened.db.prepare.bind(opened.db);
    const unreadable = (sql: string): ReturnType<typeof prepare> => {
      if (sql.includes('max(position)'))
        throw new Database.SqliteError('disk I/O error', 'SQLITE_IOERR_READ');
      return prepare(sql);
    };
    opened.db.prepare = unreadable as typeof prepare;
    const events = [...newEvents(1), newEvent({ filler: 'x'.repeat(2 ** 20) })];
    expect(brief(await appendOne(store, 's', -1, events))).toBe('failed unavailable');
    opened.db.prepare = prepare;
    opened.db.pragma('max_page_count = 100000');
    expect(brief(await appendOne(store, 's', -1, events))).toBe('appended 1');
    expect((await collect(store.readAll())).map(({ position }) => position)).toEqual([1n, 2n]);
  });
});

describe('another program on the file', () => {
  it('that writes makes appends fail as unavailable until it is done', async () => {
    const dataDir = newFolder();
    const store = open(dataDir);
    const events = newEvents(1);
    const other = new Database(join(dataDir, 'events.db'));
    other.exec('BEGIN IMMEDIATE');
    expect(brief(await appendOne(store, 's', -1, events))).toBe('failed unavailable');
    expect(await store.health()).toMatch(/is locked by another program/);
    other.close();
    expect(await store.health()).toBeNull();
    expect(brief(await appendOne(store, 's', -1, events))).toBe('appended 0');
  });

  it('that deletes it is told by health: what is appended then would be lost', async () => {
    const dataDir = newFolder();
    const store = open(dataDir);
    rmSync(join(dataDir, 'events.db'));
    expect(await store.health()).toMatch(/^DATA_DIR: .*was deleted or replaced$/);
  });
});

describe('group commit', () => {
  it('records all appends of one turn in one transaction', async () => {
    let time = 0;
    const store = openSqliteEventStore({ dataDir: newFolder(), clock: () => ++time });
    stores.push(store);
    await Promise.all(Array.from({ length: 100 }, (_, n) => appendOne(store, `s${n}`, -1, newEvents(1))));
    // The clock is asked once a transaction.
    expect(time).toBe(1);
    expect((await collect(store.readAll())).every(({ recordedAt }) => recordedAt === 1)).toBe(true);
    await appendOne(store, 's0', 0, newEvents(1));
    expect(time).toBe(2);
  });

  it('makes the folder, and all those above it', () => {
    const dataDir = join(newFolder(), 'a', 'b');
    open(dataDir);
    expect(existsSync(join(dataDir, 'events.db'))).toBe(true);
  });
});
