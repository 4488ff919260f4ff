import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { MemoryEventStore } from '../../src/adapters/event-store/memory/memory-event-store.js';
import { openEventStoreDb } from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { MemorySnapshots } from '../../src/adapters/snapshots/memory/memory-snapshots.js';
import { openSqliteSnapshots } from '../../src/adapters/snapshots/sqlite/sqlite-snapshots.js';
import { type Moment } from '../../src/application/moments.js';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { type SnapshotStore } from '../../src/application/ports/snapshots.js';
import { Replicas } from '../../src/application/replicas.js';
import { Snapshots } from '../../src/application/snapshots.js';
import { TimeTravel } from '../../src/application/time-travel.js';
import { getDocument } from '../../src/replica/documents.js';
import { type Replica } from '../../src/replica/replica.js';
import { STREAM_PREFIX } from '../../src/replica/stored.js';
import { startEventStoreServer } from '../support/eventstore-server/index.js';
import { plainFold, randomSteps, type Recorded, recordSteps } from '../support/recorded-history.js';
import { RecordingObserver } from '../support/replica-process.js';

/** More by the variable, see docs/testing.md. */
const QUESTIONS = Number(process.env['TIME_TRAVEL_QUESTIONS'] ?? 2_000);
/** Each is some ten calls over the network here. */
const QUESTIONS_OVER_NETWORK = QUESTIONS / 10;
const DEVICES = 8;
const STEPS = 120;
/** So few that most folds begin at a snapshot that an earlier question left. */
const EVERY = 3;

const SEED = Number(process.env['TIME_TRAVEL_SEED'] ?? Date.now() % 2 ** 31);

const dataDir = mkdtempSync(join(tmpdir(), 'time-travel-'));
afterAll(() => rmSync(dataDir, { recursive: true }));

interface Opened {
  readonly store: EventStore;
  readonly snapshots: SnapshotStore | null;
  /** Of the server that the store is on. */
  readonly stop?: () => Promise<void>;
}

async function openOnServer(): Promise<Opened> {
  const server = await startEventStoreServer();
  return {
    store: openEventStoreDb({ connectionString: server.connectionString, streamPrefix: STREAM_PREFIX }),
    snapshots: new MemorySnapshots(),
    stop: () => server.stop(),
  };
}

const stores: [number, string, () => Opened | Promise<Opened>][] = [
  [QUESTIONS, 'memory', () => ({ store: new MemoryEventStore(), snapshots: new MemorySnapshots() })],
  [QUESTIONS, 'memory, without snapshots', () => ({ store: new MemoryEventStore(), snapshots: null })],
  [
    QUESTIONS,
    'SQLite',
    () => ({ store: openSqliteEventStore({ dataDir }), snapshots: openSqliteSnapshots(dataDir) }),
  ],
  [QUESTIONS_OVER_NETWORK, "EventStoreDB's protocol", openOnServer],
];

/** Whole numbers from 0 to below the bound. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

interface Device {
  readonly id: string;
  readonly events: readonly Recorded[];
  /** The plain fold after so many events. */
  readonly folds: readonly Replica[];
}

/** What a plain fold says; null: 404. */
function truth({ events, folds }: Device, moment: Moment): string | null {
  const count =
    moment.kind === 'time'
      ? events.filter(({ event }) => event.timestamp <= moment.time).length
      : events.findLastIndex(
          ({ event }) => event.version === moment.version && event.type !== 'ReplicaDeleted',
        ) + 1;
  const replica = folds[count] as Replica;
  return replica.exists ? getDocument(replica, replica.timestamp) : null;
}

describe.each(stores)('%d random questions about the past, on %s', (questions, _, open) => {
  it(`give what a plain fold of the events gives (TIME_TRAVEL_SEED=${SEED})`, async () => {
    console.log(`TIME_TRAVEL_SEED=${SEED}`);
    const { store, snapshots: kept, stop } = await open();
    const observer = new RecordingObserver();
    const snapshots = kept === null ? undefined : new Snapshots(store, kept, observer, { everyCount: EVERY });
    const travel = new TimeTravel(store, new Replicas(store, observer, 0, snapshots));
    const devices: Device[] = [];
    for (let n = 0; n < DEVICES; n++) {
      const id = `device-${n}`;
      const events = await recordSteps(store, id, randomSteps(SEED + 1000 * n, STEPS));
      const folds = Array.from({ length: events.length + 1 }, (__, count) => plainFold(id, events, count));
      devices.push({ id, events, folds });
    }
    const below = numbers(SEED);
    const seen = { found: 0, missing: 0 };
    for (let n = 0; n < questions; n++) {
      const device = devices[below(DEVICES)] as Device;
      const last = (device.events.at(-1) as Recorded).event;
      const moment: Moment =
        below(2) === 0
          ? { kind: 'version', version: below(last.version + 3) }
          : { kind: 'time', time: below(last.timestamp + 20) };
      const got = await travel.state(device.id, moment);
      const shown = got.ok ? got.value.document : null;
      const expected = truth(device, moment);
      if (shown !== expected) expect({ device: device.id, moment, shown }).toEqual({ shown: expected });
      if (!got.ok) expect(got.refusal.code).toBe(404);
      else if (moment.kind === 'version') expect(got.value.version).toBe(moment.version);
      seen[got.ok ? 'found' : 'missing']++;
      if (n % (questions / 10) === 0) await snapshots?.flush();
    }
    expect(seen.found).toBeGreaterThan(questions / 2);
    expect(seen.missing).toBeGreaterThan(questions / 100);
    if (snapshots !== undefined) {
      expect(observer.of('loaded').filter(([from]) => from === 'snapshot').length).toBeGreaterThan(
        questions / 2,
      );
    }
    expect(observer.of('snapshotFailed')).toEqual([]);
    await snapshots?.close();
    await store.close();
    await stop?.();
  });
});
