import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { EventStoreError, type RecordedEvent } from '../../src/application/ports/event-store.js';
import {
  openSqliteEventStore,
  type SqliteEventStore,
} from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { appendOne, collect, newEvent, newEvents } from '../contracts/event-store.support.js';

const root = mkdtempSync(join(tmpdir(), 'sqlite-event-store-damage-'));
const stores: SqliteEventStore[] = [];
let folderCount = 0;

const newFolder = (): string => {
  const folder = join(root, String(folderCount++));
  mkdirSync(folder);
  return folder;
};

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});
afterAll(() => rmSync(root, { recursive: true }));

/** A store of two streams, `s` with six events and `t` with one, closed, damaged and opened again. */
async function openDamaged(damage: (path: string) => void): Promise<SqliteEventStore> {
  const dataDir = newFolder();
  const before = openSqliteEventStore({ dataDir });
  const events = Array.from({ length: 6 }, (_, n) => newEvent({ n, text: `needle-${n}` }));
  await appendOne(before, 's', -1, events);
  await appendOne(before, 't', -1, newEvents(1));
  await before.close();
  damage(join(dataDir, 'events.db'));
  const after = openSqliteEventStore({ dataDir });
  stores.push(after);
  return after;
}

const sql =
  (statement: string) =>
  (path: string): void => {
    const db = new Database(path);
    db.exec(statement);
    db.close();
  };

/** As one bit of a row's header does it: a table that is not STRICT any more takes what it is given. */
const untyped = (column: string, value: string) => (path: string) => {
  const db = new Database(path);
  db.unsafeMode();
  db.exec(`PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', ''), ' NOT NULL', '')`);
  db.close();
  sql(`UPDATE events SET ${column} = ${value} WHERE revision = 3`)(path);
};

const flipBit = (needle: string) => (path: string) => {
  const bytes = readFileSync(path);
  const at = bytes.indexOf(needle);
  expect(at).toBeGreaterThan(0);
  bytes[at] = (bytes[at] ?? 0) ^ 0x01;
  writeFileSync(path, bytes);
};

/** Page by page the log ends where it ends otherwise, and says the same. */
async function expectSamePages(store: SqliteEventStore): Promise<void> {
  async function* entries(): AsyncGenerator<{ revision: number }> {
    for await (const page of store.readPages()) yield* page;
  }
  const [one, other] = [readUntilEnd(store.readAll()), readUntilEnd(entries())];
  expect(await other).toEqual(await one);
}

/** The revisions read, and the message of the error that ended it, if any did. */
async function readUntilEnd(
  events: AsyncIterable<{ readonly revision: number }>,
): Promise<{ revisions: number[]; message: string | null }> {
  const revisions: number[] = [];
  try {
    for await (const { revision } of events) revisions.push(revision);
    return { revisions, message: null };
  } catch (error) {
    return { revisions, message: (error as Error).message };
  }
}

/** The events read before the read failed, and how it failed. */
async function readUntilError(events: AsyncIterable<RecordedEvent>): Promise<[number[], EventStoreError]> {
  const revisions: number[] = [];
  try {
    for await (const { revision } of events) revisions.push(revision);
  } catch (error) {
    if (error instanceof EventStoreError) return [revisions, error];
    throw error;
  }
  throw new Error(`no error: ${revisions.join()}`);
}

describe('a damaged event', () => {
  it.each([
    ['a flipped bit of its data in the file', flipBit('needle-3')],
    ['its data', sql(`UPDATE events SET data = x'7b7d' WHERE revision = 3`)],
    ['its metadata', sql(`UPDATE events SET metadata = x'' WHERE revision = 3`)],
    [
      'a byte moved from data to metadata',
      sql(`UPDATE events SET data = x'7b', metadata = x'7d' WHERE revision = 3`),
    ],
    ['its type', sql(`UPDATE events SET type = 'Other' WHERE revision = 3`)],
    ['its id', sql(`UPDATE events SET event_id = randomblob(16) WHERE revision = 3`)],
    ['the length of its id', sql(`UPDATE events SET event_id = x'00' WHERE revision = 3`)],
    ['its time', sql('UPDATE events SET recorded_at = recorded_at + 1 WHERE revision = 3')],
    ['its place in the log', sql('UPDATE events SET position = 100 WHERE revision = 3')],
    ['its data, nothing now', untyped('data', 'NULL')],
    ['its metadata, a number now', untyped('metadata', '1')],
    ['its time, nothing now', untyped('recorded_at', 'NULL')],
    ['its loss', sql('DELETE FROM events WHERE revision = 3')],
  ])('is not served, and named: %s', async (_, damage) => {
    const store = await openDamaged(damage);
    const [forwards, error] = await readUntilError(store.readStream('s'));
    expect(forwards).toEqual([0, 1, 2]);
    expect(error).toMatchObject({ code: 'corrupt', canRetry: false });
    expect(error.message).toBe(`the event 3 of stream 's' is damaged: it is missing or fails its checksum`);
    const [backwards] = await readUntilError(store.readStream('s', { direction: 'backwards' }));
    expect(backwards).toEqual([5, 4]);
    await expectSamePages(store);
    // The other streams have not suffered.
    expect(await collect(store.readStream('t'))).toHaveLength(1);
  });

  it.each(['event_id', 'data', 'metadata'])(
    'is served as it was or not at all where its %s is a text of the same bytes',
    async (column) => {
      const store = await openDamaged(untyped(column, `CAST(${column} AS TEXT)`));
      expect((await readUntilError(store.readStream('s')))[1]).toMatchObject({ code: 'corrupt' });
      expect((await readUntilError(store.readAll()))[1]).toMatchObject({ code: 'corrupt' });
      // As text its bytes are what its checksum says.
      const pages = [];
      for await (const page of store.readPages()) pages.push(...page);
      expect(pages).toHaveLength(7);
    },
  );

  it('ends a read of the log and a subscription in front of it', async () => {
    const store = await openDamaged(flipBit('needle-3'));
    expect((await readUntilError(store.readAll()))[0]).toEqual([0, 1, 2]);
    await expect(collect(store.subscribe({ after: 'start' }))).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('is seen by the log where the name of its stream is lost', async () => {
    const store = await openDamaged(sql(`DELETE FROM streams WHERE name = 't'`));
    const [, error] = await readUntilError(store.readAll());
    expect(error.message).toMatch(/^the event 0 of stream 'number 2' is damaged/);
    await expectSamePages(store);
  });
});

describe('a folder that cannot be used', () => {
  const refusal = (dataDir: string): EventStoreError => {
    try {
      stores.push(openSqliteEventStore({ dataDir }));
    } catch (error) {
      if (error instanceof EventStoreError) return error;
      throw error;
    }
    throw new Error('it was opened');
  };
  const withFile = (content: string | Buffer): string => {
    const folder = newFolder();
    writeFileSync(join(folder, 'events.db'), content);
    return folder;
  };
  const withDatabase = (statement: string): string => {
    const folder = newFolder();
    sql(statement)(join(folder, 'events.db'));
    return folder;
  };
  const fileInPlace = (): string => {
    const path = join(newFolder(), 'file');
    writeFileSync(path, '');
    return path;
  };

  it.each([
    ['a file', fileInPlace, 'unavailable', /is not a folder/],
    ['below a file', () => join(fileInPlace(), 'x'), 'unavailable', /is not a folder/],
    ['where no folder can be made', () => '/proc/no-such-folder', 'unavailable', /cannot be made/],
    ['where no file can be made', () => '/proc/self', 'unavailable', /cannot be opened|is not writable/],
    [
      'with text for a database',
      () => withFile('not a database, by far. '.repeat(100)),
      'corrupt',
      /is no database/,
    ],
    [
      'with the database of another program',
      () => withDatabase('CREATE TABLE x (y)'),
      'invalid',
      /another program/,
    ],
    [
      'of a newer version',
      () => withDatabase('PRAGMA application_id = 0x44535231; PRAGMA user_version = 99'),
      'invalid',
      /newer version \(schema 99, known 1\)/,
    ],
  ])('%s: is told in one line', (_, make, code, message) => {
    const dataDir = make();
    const error = refusal(dataDir);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/^DATA_DIR: .*$/);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(dataDir);
  });

  it('with a page overwritten is found damaged', async () => {
    const opening = openDamaged((path) => {
      const bytes = readFileSync(path);
      // The last page but one: in a file this small each page belongs to a table or an index.
      bytes.fill(0xa5, bytes.length - 2 * 4096, bytes.length - 4096);
      writeFileSync(path, bytes);
    });
    await expect(opening).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('is left as it was: neither locked nor changed', () => {
    const folder = withFile('not a database, by far. '.repeat(100));
    refusal(folder);
    rmSync(join(folder, 'events.db'));
    stores.push(openSqliteEventStore({ dataDir: folder }));
  });
});
