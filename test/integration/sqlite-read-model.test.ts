import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { openSqliteReadModel } from '../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { ended, opened, written } from '../support/presence.js';
import { checkpointAt, codeOf, row } from '../contracts/read-model.contract.js';

const root = mkdtempSync(join(tmpdir(), 'sqlite-read-model-'));
let folderCount = 0;
const warnings: string[] = [];
const logger = { warn: (_: unknown, message: string) => warnings.push(message) };
afterAll(() => rmSync(root, { recursive: true }));

/** A folder with a file of many devices, which nobody has open. */
async function filled(): Promise<{ dataDir: string; file: string }> {
  const dataDir = join(root, String(folderCount++));
  const model = openSqliteReadModel(dataDir, logger);
  const { id } = await model.begin(1);
  const rows = Array.from({ length: 500 }, (_, n) => row(`device-${n}`, n));
  await model.write(id, { rows, expected: null, checkpoint: checkpointAt(1n) });
  await model.activate(id);
  await model.close();
  warnings.length = 0;
  return { dataDir, file: join(dataDir, 'read-model.db') };
}

describe('The file of the read model', () => {
  it.each([
    ['holds something else', (file: string) => writeFileSync(file, 'no database at all'.repeat(1000))],
    ['was cut off', (file: string) => truncateSync(file, 5000)],
  ])('is made anew, with a warning, where it %s', async (_, damage) => {
    const { dataDir, file } = await filled();
    damage(file);
    const model = openSqliteReadModel(dataDir, logger);
    expect(warnings).toEqual(['The read model is damaged; making it anew from the events']);
    expect(await model.generations()).toEqual([]);
    await model.close();
  });

  it('is made anew where damage is met on the way, and says that all is lost', async () => {
    const { dataDir, file } = await filled();
    const db = new Database(file);
    const root = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'devices'").pluck().get();
    db.close();
    const page = Buffer.alloc(4096, 0xff);
    const descriptor = openSync(file, 'r+');
    writeSync(descriptor, page, 0, page.length, (Number(root) - 1) * 4096);
    closeSync(descriptor);
    const model = openSqliteReadModel(dataDir, logger);
    expect(await codeOf(model.find('device-7'))).toBe('lost');
    expect(warnings).toHaveLength(1);
    expect(await model.generations()).toEqual([]);
    expect(await model.find('device-7')).toBeNull();
    await model.close();
  });

  it('is brought up to date from the first version with its rows, also those that hold U+0000', async () => {
    const dataDir = join(root, String(folderCount++));
    mkdirSync(dataDir);
    const db = new Database(join(dataDir, 'read-model.db'));
    db.exec(readFileSync('src/adapters/read-model/sqlite/migrations/0001-devices.sql', 'utf8'));
    db.pragma(`application_id = ${0x44534d31}`);
    db.pragma('user_version = 1');
    db.exec("INSERT INTO generations (active, schema, position) VALUES (1, 1, '7')");
    const put = db.prepare('INSERT INTO devices VALUES (1, ?, 0, 1, 1, 1, NULL, 1, 1, 1, 0, NULL, ?)');
    const values = { nul: 'a\u0000b', one: 'a\u0001', plain: 'a', quoted: 'a\\u0000b' };
    const texts = Object.entries(values).map(([id, value]) => {
      const text = JSON.stringify({ desired: {}, delta: {}, reported: { [value]: value } });
      put.run(id, text);
      return [id, text];
    });
    db.close();
    const model = openSqliteReadModel(dataDir, logger);
    for (const [id, value] of Object.entries(values)) {
      const operand = { kind: 'state', path: { section: 'reported', keys: [value] } } as const;
      const filter = { kind: 'compare', operand, op: '==', value } as const;
      const { rows, position } = await model.list({ filter, limit: 9 });
      expect([rows.map(({ deviceId }) => deviceId), position]).toEqual([[id], 7n]);
    }
    expect((await model.scan('', 9)).map(({ deviceId, text }) => [deviceId, text])).toEqual(texts);
    await model.close();
  });

  it('answers alike from whichever side it asks who is away', async () => {
    const model = openSqliteReadModel(join(root, String(folderCount++)), logger);
    const { id } = await model.begin(1);
    const rows = Array.from({ length: 60_000 }, (_, n) => row(`d${String(n).padStart(5, '0')}`, 1));
    await model.write(id, { rows, expected: null, checkpoint: checkpointAt(1n) });
    await model.activate(id);
    for (const [index, count] of [10, 2_000, 50_000].entries()) {
      const changes = rows
        .slice(0, count)
        .map(({ deviceId }, n) => ended(opened(deviceId, index), 1 + (n % 7)));
      await model.writePresence(written(changes));
      const { rows: page } = await model.list({ limit: 1000, connected: false });
      expect(page.map(({ deviceId }) => deviceId)).toEqual(
        rows.slice(0, Math.min(count, 1000)).map(({ deviceId }) => deviceId),
      );
      const sort = { by: 'disconnectedSince', descending: false } as const;
      const sorted = await model.list({ limit: 2, connected: false, sort });
      expect(sorted.rows.map(({ deviceId }) => deviceId)).toEqual(['d00000', 'd00007']);
      expect((await model.count({ connected: false })).inSync).toBe(count);
    }
    await model.close();
  });

  it('ends a question that takes too long, and answers the next one', async () => {
    const { dataDir } = await filled();
    const model = openSqliteReadModel(dataDir, logger, { readOnly: true, readTimeoutMs: 20 });
    const operand = {
      kind: 'state',
      path: { section: 'delta', keys: Array.from({ length: 64 }, () => 'a') },
    } as const;
    const terms = Array.from({ length: 200 }, () => ({ kind: 'exists', operand }) as const);
    const filter = { kind: 'or', terms } as const;
    expect(await codeOf(model.count({ filter }))).toBe('too-slow');
    expect(await codeOf(model.list({ filter, limit: 9 }))).toBe('too-slow');
    expect((await model.count()).inSync).toBe(500);
    await model.close();
  });

  it('is refused, in one line, where a newer version wrote it', async () => {
    const { dataDir, file } = await filled();
    const db = new Database(file);
    db.pragma('user_version = 99');
    db.close();
    expect(() => openSqliteReadModel(dataDir, logger)).toThrow(
      /^DATA_DIR: \S+ was written by a newer version \(schema 99, known \d+\); start that, or delete the file: it is made anew$/,
    );
    expect(warnings).toEqual([]);
  });

  it("is left alone where it is another program's", async () => {
    const { dataDir, file } = await filled();
    rmSync(file);
    const db = new Database(file);
    db.exec('CREATE TABLE theirs (id INTEGER)');
    db.close();
    expect(() => openSqliteReadModel(dataDir, logger)).toThrow('is the database of another program');
  });

  it('says in one line where it cannot be made', () => {
    const file = join(root, 'a-file');
    writeFileSync(file, '');
    expect(() => openSqliteReadModel(join(file, 'below'), logger)).toThrow(/^DATA_DIR: .* cannot be used \(/);
  });
});
