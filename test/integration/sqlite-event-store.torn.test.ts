import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import {
  EventStoreError,
  type NewEvent,
  type RecordedEvent,
} from '../../src/application/ports/event-store.js';
import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { newEvent } from '../contracts/event-store.support.js';
import { faultSeed, seededRandom } from '../support/random.js';

/*
 * What a crash of the machine or a bad disk leaves of the file and of its write-ahead log: cut off anywhere, or with a
 * bit that is another one. Either it is refused, or reads fail, or it shows exactly what was acknowledged, or, where
 * the end of the write-ahead log is lost, what was acknowledged up to some commit. It never shows anything else.
 */

const seed = faultSeed();
/** Of each kind. Some ten milliseconds each. */
const CASES = Number(process.env['TORN_CASES'] ?? 50);
const STREAMS = 40;
const COMMITS = 260;
/** A frame of SQLite's write-ahead log: its header and a page. */
const FRAME_BYTES = 24 + 4096;
const WAL_HEADER_BYTES = 32;
const EVENTS = 'events.db';
const WAL = `${EVENTS}-wal`;

interface Seen {
  readonly stream: string;
  readonly id: string;
  readonly data: string;
}

const root = mkdtempSync(join(tmpdir(), 'sqlite-event-store-torn-'));
/** All that was acknowledged, in the log's order. */
const history: Seen[] = [];
/** How many events there were after each commit. */
const commits = new Set<number>([0]);

const seenOf = ({ stream, id, data }: RecordedEvent): Seen => ({ stream, id, data: data.toString() });
const folderOf = (name: string): string => join(root, name);

/**
 * Two folders of one history: `closed`, all in the file; `between`, half of it in the file and the rest in the
 * write-ahead log, as whoever is killed leaves it.
 */
async function record(): Promise<void> {
  const random = seededRandom(seed);
  const dataDir = folderOf('live');
  const store = openSqliteEventStore({ dataDir });
  const revisions = new Map<string, number>();
  for (let commit = 0; commit < COMMITS; commit++) {
    if (commit === COMMITS / 2) {
      const other = new Database(join(dataDir, EVENTS));
      other.pragma('wal_checkpoint(PASSIVE)');
      other.close();
    }
    const appends = new Map<string, { expectedRevision: number; events: NewEvent[] }>();
    for (let n = 1 + Math.floor(random() * 3); n > 0; n--) {
      const stream = `deviceState-device-${Math.floor(random() * STREAMS)}`;
      if (appends.has(stream)) continue;
      const event = newEvent({ commit, n, padding: 'x'.repeat(Math.floor(random() * 300)) });
      const expectedRevision = revisions.get(stream) ?? -1;
      appends.set(stream, { expectedRevision, events: [event] });
      revisions.set(stream, expectedRevision + 1);
      history.push({ stream, id: event.id, data: event.data.toString() });
    }
    const results = await store.append([...appends].map(([stream, append]) => ({ stream, ...append })));
    expect(results.every(({ kind }) => kind === 'appended')).toBe(true);
    commits.add(history.length);
  }
  const copyTo = (name: string, file: string): void => {
    mkdirSync(folderOf(name), { recursive: true });
    copyFileSync(join(dataDir, file), join(folderOf(name), file));
  };
  copyTo('between', EVENTS);
  copyTo('between', WAL);
  await store.close();
  copyTo('closed', EVENTS);
}

beforeAll(record);
afterAll(() => rmSync(root, { recursive: true }));

type Outcome = 'refused' | 'reads fail' | 'whole' | 'cut off at a commit';

/** Opens a copy of the folder with this file changed, and holds what it shows against what was acknowledged. */
async function outcomeOf(
  folder: string,
  file: string,
  change: (bytes: Buffer) => Buffer,
  wholeCheckMaxBytes?: number,
): Promise<Outcome> {
  const dataDir = folderOf('changed');
  rmSync(dataDir, { recursive: true, force: true });
  mkdirSync(dataDir);
  for (const name of folder === 'closed' ? [EVENTS] : [EVENTS, WAL]) {
    const bytes = readFileSync(join(folderOf(folder), name));
    writeFileSync(join(dataDir, name), name === file ? change(bytes) : bytes);
  }
  let store;
  try {
    store = openSqliteEventStore({
      dataDir,
      ...(wholeCheckMaxBytes === undefined ? {} : { wholeCheckMaxBytes }),
    });
  } catch (error) {
    expect(error).toBeInstanceOf(EventStoreError);
    expect((error as Error).message).toMatch(/^DATA_DIR: [^\n]+$/);
    return 'refused';
  }
  try {
    const log = await readToEnd(store.readAll());
    expect(log.events).toEqual(history.slice(0, log.events.length));
    let isFailing = log.isFailing;
    const shown = isFailing ? history : history.slice(0, log.events.length);
    for (let n = 0; n < STREAMS; n++) {
      const stream = `deviceState-device-${n}`;
      const own = shown.filter((event) => event.stream === stream);
      const read = await readToEnd(store.readStream(stream));
      expect(read.events).toEqual(own.slice(0, read.isFailing ? read.events.length : own.length));
      const revision = store.knownRevision(stream);
      if (!read.isFailing) expect([null, own.length - 1]).toContain(revision);
      isFailing ||= read.isFailing;
    }
    if (isFailing) return 'reads fail';
    // What is taken for the end can be gone on from.
    const [added] = await store.append([{ stream: 'new', expectedRevision: -1, events: [newEvent({})] }]);
    expect(added).toEqual({ kind: 'appended', revision: 0 });
    if (log.events.length === history.length) return 'whole';
    expect(commits).toContain(log.events.length);
    return 'cut off at a commit';
  } finally {
    await store.close();
  }
}

async function readToEnd(
  events: AsyncIterable<RecordedEvent>,
): Promise<{ events: Seen[]; isFailing: boolean }> {
  const seen: Seen[] = [];
  try {
    for await (const event of events) seen.push(seenOf(event));
    return { events: seen, isFailing: false };
  } catch (error) {
    expect(error).toMatchObject({ code: 'corrupt' });
    return { events: seen, isFailing: true };
  }
}

const flip =
  (at: number, bit: number) =>
  (bytes: Buffer): Buffer => {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
    return bytes;
  };
const cut = (length: number) => (bytes: Buffer) => bytes.subarray(0, length);

/** What became of so many random cases. */
async function tryMany(
  one: (random: () => number) => Promise<Outcome>,
  salt: number,
): Promise<Map<Outcome, number>> {
  const random = seededRandom(seed + salt);
  const outcomes = new Map<Outcome, number>();
  for (let n = 0; n < CASES; n++) {
    const outcome = await one(random);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  console.log(`FAULT_SEED=${seed}: ${JSON.stringify([...outcomes])}`);
  return outcomes;
}

/** Where the frames end that count: behind them are those of before the last checkpoint, with other salts. */
function endOfLog(): number {
  const bytes = readFileSync(join(folderOf('between'), WAL));
  const salts = bytes.subarray(16, 24);
  let end = WAL_HEADER_BYTES;
  while (end < bytes.length && bytes.subarray(end + 8, end + 16).equals(salts)) end += FRAME_BYTES;
  expect(end).toBeGreaterThan(100 * FRAME_BYTES);
  return end;
}

const sizeOf = (folder: string, file: string): number => readFileSync(join(folderOf(folder), file)).length;
const below = (random: () => number, count: number): number => Math.floor(random() * count);

describe(`A SQLite event store of which a part is torn or changed (FAULT_SEED=${seed})`, () => {
  it('shows all that was acknowledged where nothing is', async () => {
    for (const folder of ['closed', 'between']) {
      expect(await outcomeOf(folder, EVENTS, (bytes) => bytes)).toBe('whole');
    }
  });

  it('ends at a commit where the write-ahead log is cut off in any of its last frames', async () => {
    const end = endOfLog();
    const outcomes = new Set<Outcome>();
    for (let start = end - 10 * FRAME_BYTES; start < end; start += FRAME_BYTES) {
      for (const length of [start, start + 11, start + 24, start + 24 + 512, start + FRAME_BYTES - 1]) {
        outcomes.add(await outcomeOf('between', WAL, cut(length)));
      }
    }
    expect([...outcomes]).toEqual(['cut off at a commit']);
  });

  it('ends at a commit where the write-ahead log is cut off anywhere', async () => {
    const end = endOfLog();
    const outcomes = await tryMany((random) => outcomeOf('between', WAL, cut(below(random, end))), 1);
    expect([...outcomes.keys()]).toEqual(['cut off at a commit']);
  });

  it('ends at a commit where a bit of the write-ahead log is another one', async () => {
    const end = endOfLog();
    const outcomes = await tryMany(
      (random) => outcomeOf('between', WAL, flip(below(random, end), below(random, 8))),
      2,
    );
    expect([...outcomes.keys()]).toEqual(['cut off at a commit']);
  });

  it('is whole where the write-ahead log has something behind its end', async () => {
    const random = seededRandom(seed);
    const rest = Buffer.from(Array.from({ length: 3 * FRAME_BYTES }, () => below(random, 256)));
    expect(await outcomeOf('between', WAL, (bytes) => Buffer.concat([bytes, rest]))).toBe('whole');
  });

  it('is refused, or its reads fail, where its file is cut off', async () => {
    const size = sizeOf('closed', EVENTS);
    const outcomes = await tryMany(
      (random) => outcomeOf('closed', EVENTS, cut(1 + below(random, size - 1))),
      3,
    );
    for (const outcome of outcomes.keys()) expect(['refused', 'reads fail']).toContain(outcome);
  });

  it.each([
    ['as a whole', undefined],
    ['at its end alone, as a large one', 0],
  ])('never shows anything wrong where a bit of its file is another one, checked %s', async (_, maxBytes) => {
    const size = sizeOf('closed', EVENTS);
    const outcomes = await tryMany(
      (random) => outcomeOf('closed', EVENTS, flip(below(random, size), below(random, 8)), maxBytes),
      4,
    );
    expect(outcomes.has('cut off at a commit')).toBe(false);
    expect(outcomes.get('reads fail')).toBeGreaterThan(0);
  });
});
