import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { openSqliteSnapshots } from '../../src/adapters/snapshots/sqlite/sqlite-snapshots.js';
import { snapshot } from '../contracts/snapshots.contract.js';

const root = mkdtempSync(join(tmpdir(), 'sqlite-snapshots-'));
let folderCount = 0;
const LATEST = Number.MAX_SAFE_INTEGER;
afterAll(() => rmSync(root, { recursive: true }));

/** A folder with a file of many snapshots, which nobody has open. */
async function filled(): Promise<{ dataDir: string; file: string }> {
  const dataDir = join(root, String(folderCount++));
  const store = openSqliteSnapshots(dataDir);
  await store.save(Array.from({ length: 500 }, (_, n) => snapshot(`device-${n}`, n)));
  await store.close();
  return { dataDir, file: join(dataDir, 'snapshots.db') };
}

/** Whether a store works; `kept`: whether it still has what was saved. */
async function worksAt(dataDir: string, kept: boolean): Promise<void> {
  const store = openSqliteSnapshots(dataDir);
  try {
    expect(await store.find('device-7', LATEST)).toEqual(kept ? snapshot('device-7', 7) : null);
    await store.save([snapshot('new', 1)]);
    expect(await store.find('new', LATEST)).toEqual(snapshot('new', 1));
  } finally {
    await store.close();
  }
}

describe('The file of snapshots', () => {
  it('is there after a close', async () => {
    const { dataDir } = await filled();
    await worksAt(dataDir, true);
  });

  it('is made anew where it was deleted', async () => {
    const { dataDir, file } = await filled();
    rmSync(file);
    await worksAt(dataDir, false);
  });

  it.each([
    ['holds something else', (file: string) => writeFileSync(file, 'no database at all'.repeat(1000))],
    ['has lost its header', (file: string) => writeFileSync(file, Buffer.alloc(8192))],
    [
      'is of another version',
      (file: string) => {
        const db = new Database(file);
        db.pragma('user_version = 99');
        db.close();
      },
    ],
  ])('is made anew where it %s', async (_, damage) => {
    const { dataDir, file } = await filled();
    damage(file);
    await worksAt(dataDir, false);
  });

  it('is made anew where damage is met on the way', async () => {
    const { dataDir, file } = await filled();
    truncateSync(file, 8192);
    const store = openSqliteSnapshots(dataDir);
    const first = await store.save([snapshot('new', 1)]).catch((error: unknown) => error);
    if (first !== undefined) await store.save([snapshot('new', 1)]);
    expect(await store.find('new', LATEST)).toEqual(snapshot('new', 1));
    await store.close();
  });

  it('passes over a snapshot that fails its checksum', async () => {
    const { dataDir, file } = await filled();
    const store = openSqliteSnapshots(dataDir);
    await store.save([snapshot('device-7', 900, { level: 1 })]);
    const db = new Database(file);
    const change = db.prepare(`UPDATE snapshots SET text = '{"n":901}' WHERE device_id = ? AND revision = ?`);
    expect(change.run('device-7', 900).changes).toBe(1);
    expect(await store.find('device-7', LATEST)).toEqual(snapshot('device-7', 7));
    expect(change.run('device-7', 7).changes).toBe(1);
    expect(await store.find('device-7', LATEST)).toBeNull();
    db.close();
    await store.close();
  });

  it("is left alone where it is another program's", async () => {
    const dataDir = join(root, String(folderCount++));
    const { file } = { file: join(dataDir, 'snapshots.db') };
    await openSqliteSnapshots(dataDir).close();
    rmSync(file);
    const db = new Database(file);
    db.exec('CREATE TABLE theirs (id INTEGER)');
    db.close();
    expect(() => openSqliteSnapshots(dataDir)).toThrow('is the database of another program');
    expect(existsSync(file)).toBe(true);
  });
});
