import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { type SqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { ProjectorThread } from '../../src/read-side/projector-thread.js';
import { ReaderThread } from '../../src/read-side/reader-thread.js';
import { Histories, randomFrom } from '../support/histories.js';
import { until } from '../support/http.js';
import { RecordingProjectionObserver, rowsOfLog } from '../support/projections.js';

const root = mkdtempSync(join(tmpdir(), 'read-side-'));
let folderCount = 0;
afterAll(() => rmSync(root, { recursive: true }));

/** The program of the threads as the build made it: no loader runs TypeScript in a thread of a test. */
const ENTRY = pathToFileURL(fileURLToPath(new URL('../../dist/read-side/worker.js', import.meta.url)));
const OPTIONS = { batchCount: 50, batchBytes: 100_000, delayMs: 5, cacheBytes: 100_000 };

class Observer extends RecordingProjectionObserver {
  readonly ended: string[] = [];
  threadEnded(thread: string, error: unknown): void {
    this.ended.push(`${thread}: ${String(error)}`);
  }
}

describe('The threads of the read side', () => {
  let dataDir: string;
  let store: SqliteEventStore;
  let observer: Observer;
  let projector: ProjectorThread | null;
  let reader: ReaderThread | null;
  beforeEach(() => {
    dataDir = join(root, String(folderCount++));
    store = openSqliteEventStore({ dataDir });
    observer = new Observer();
    projector = reader = null;
  });
  afterEach(async () => {
    await projector?.stop();
    await reader?.stop();
    await store.close();
  });

  const startProjector = (entry = ENTRY, clock = Date.now): ProjectorThread =>
    (projector = new ProjectorThread({
      data: { store: { kind: 'sqlite', dataDir }, model: { kind: 'sqlite', dataDir }, options: OPTIONS },
      observer,
      logger: { info: () => undefined, warn: () => undefined },
      clock,
      ownLog: store,
      entry,
    }));
  const startReader = (entry = ENTRY): ReaderThread =>
    (reader = new ReaderThread({ dataDir }, observer, entry));
  const caughtUp = (thread: ProjectorThread): Promise<void> =>
    until('it has caught up', () => thread.status().lagMs === 0 && thread.status().rebuild === null);
  const expectShown = async (from: ReaderThread): Promise<void> => {
    for (const [deviceId, row] of await rowsOfLog(store)) expect(await from.find(deviceId)).toEqual(row);
  };

  it('show what is appended while they run, and are behind at once when something is', async () => {
    const histories = new Histories(randomFrom(1), 20);
    const thread = startProjector();
    const asked = startReader();
    for (let round = 0; round < 5; round++) {
      await histories.append(store, 60);
      expect(thread.status().lagMs).toBeGreaterThan(0);
      await caughtUp(thread);
      await expectShown(asked);
    }
    expect(thread.status()).toMatchObject({ position: store.lastPosition, problem: null });
    expect((await asked.list({ limit: 1 })).position).toBe(store.lastPosition);
    expect(observer.events).toBe(Number(store.lastPosition));
  });

  it('rebuild when they are told to, and are at it from that moment on', async () => {
    await new Histories(randomFrom(2), 20).append(store, 100);
    const thread = startProjector();
    await caughtUp(thread);
    expect(thread.rebuild().rebuild).not.toBeNull();
    await until('it is rebuilt', () => thread.status().rebuild === null);
    await until('it was told', () => observer.generations.includes('activated: rebuild'));
    await caughtUp(thread);
    await expectShown(startReader());
  });

  it('say why there is nothing to show, and go on when that is mended', async () => {
    await new Histories(randomFrom(3), 5).append(store, 20);
    const file = join(dataDir, 'read-model.db');
    const other = new Database(file);
    other.exec('CREATE TABLE theirs (id INTEGER)');
    other.close();
    const thread = startProjector();
    const asked = startReader();
    await until('it says why', () => thread.status().problem !== null);
    expect(thread.status()).toMatchObject({
      position: null,
      problem: expect.stringMatching(/^DATA_DIR: \S+ is the database of another program$/),
    });
    expect(thread.status().lagMs).toBeGreaterThan(0);
    await expect(asked.count()).rejects.toMatchObject({ code: 'invalid' });
    rmSync(file);
    await caughtUp(thread);
    expect(thread.status().problem).toBeNull();
    await expectShown(asked);
  });

  it('read the file that took the place of another one', async () => {
    await new Histories(randomFrom(4), 5).append(store, 20);
    const thread = startProjector();
    const asked = startReader();
    await caughtUp(thread);
    await expectShown(asked);
    await thread.stop();
    for (const suffix of ['', '-wal', '-shm'])
      rmSync(join(dataDir, `read-model.db${suffix}`), { force: true });
    await expect(asked.count()).rejects.toMatchObject({ code: 'unavailable' });
    await caughtUp(startProjector());
    await expectShown(asked);
  });

  it('are started again when they end, whatever the reason', async () => {
    const program = join(dataDir, 'dies.mjs');
    writeFileSync(
      program,
      `import { existsSync, writeFileSync } from 'node:fs';
       import { workerData } from 'node:worker_threads';
       const mark = ${JSON.stringify(dataDir)} + '/died-' + workerData.role;
       if (!existsSync(mark)) {
         writeFileSync(mark, '');
         if (workerData.role === 'projector') for (const all = []; ; ) all.push(new Array(1_000_000).fill(all.length));
         throw new Error('by its own fault');
       }
       await import(${JSON.stringify(ENTRY.href)});`,
    );
    await new Histories(randomFrom(5), 5).append(store, 20);
    const entry = pathToFileURL(program);
    const thread = startProjector(entry);
    const asked = startReader(entry);
    thread.rebuild();
    await expect(asked.count()).rejects.toMatchObject({ code: 'unavailable' });
    await until('it says that it ended', () => /^The projector ended/.test(thread.status().problem ?? ''));
    // What was asked of the one that ended is done by the next one.
    expect(thread.status().rebuild).not.toBeNull();
    await until('it is rebuilt', () => thread.status().rebuild === null && thread.status().problem === null);
    await caughtUp(thread);
    await expectShown(asked);
    expect(observer.ended.sort()).toEqual([
      expect.stringMatching(/^projector: .*memory/),
      expect.stringMatching(/^reader: Error: by its own fault$/),
    ]);
  });

  it('are asked again for the rebuild that one could not begin before it ended', async () => {
    await new Histories(randomFrom(6), 5).append(store, 20);
    const file = join(dataDir, 'read-model.db');
    const other = new Database(file);
    other.exec('CREATE TABLE theirs (id INTEGER)');
    other.close();
    const program = join(dataDir, 'ends.mjs');
    const mark = join(dataDir, 'end');
    writeFileSync(
      program,
      `import { existsSync, unlinkSync } from 'node:fs';
       setInterval(() => {
         if (!existsSync(${JSON.stringify(mark)})) return;
         unlinkSync(${JSON.stringify(mark)});
         process.exit(1);
       }, 10);
       await import(${JSON.stringify(ENTRY.href)});`,
    );
    const thread = startProjector(pathToFileURL(program));
    await until('it says why', () => /another program$/.test(thread.status().problem ?? ''));
    thread.rebuild();
    const told = Date.now() + 500;
    await until('it was told', () => Date.now() > told);
    expect(thread.status().rebuild).not.toBeNull();
    writeFileSync(mark, '');
    await until('it has ended', () => observer.ended.length > 0);
    rmSync(file);
    await until('it is rebuilt', () => observer.generations.includes('activated: rebuild'));
    await caughtUp(thread);
  });

  it('say that one has gone silent, until it speaks again', async () => {
    let ahead = 0;
    const program = join(dataDir, 'hangs.mjs');
    const mark = join(dataDir, 'hang');
    writeFileSync(mark, '');
    writeFileSync(
      program,
      `import { existsSync } from 'node:fs';
       while (existsSync(${JSON.stringify(mark)}));
       await import(${JSON.stringify(ENTRY.href)});`,
    );
    const thread = startProjector(pathToFileURL(program), () => Date.now() + ahead);
    expect(thread.status().problem).toBeNull();
    ahead = 60_000;
    expect(thread.status().problem).toMatch(/^The projector has said nothing for \d+ s$/);
    rmSync(mark);
    ahead = 0;
    await caughtUp(thread);
    expect(thread.status().problem).toBeNull();
  });

  it('are tried again where one cannot even be started', async () => {
    const entry = new URL('https://example.invalid/worker.js');
    await expect(startReader(entry).count()).rejects.toMatchObject({ code: 'unavailable' });
    const thread = startProjector(entry);
    expect(thread.status().problem).toMatch(/^The projector ended, and is started again: /);
    await until('it was tried again', () => observer.ended.length >= 4);
  });

  it('refuse what is asked after the stop, and stop twice', async () => {
    const asked = startReader();
    const thread = startProjector();
    await asked.stop();
    await asked.stop();
    await thread.stop();
    await thread.stop();
    await expect(asked.count()).rejects.toMatchObject({ code: 'unavailable' });
    expect(observer.ended).toEqual([]);
  });
});
