import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { openSqliteSnapshots } from '../../src/adapters/snapshots/sqlite/sqlite-snapshots.js';
import { DeviceLocks } from '../../src/application/device-locks.js';
import { deriveId } from '../../src/application/identity.js';
import { placeNow } from '../../src/application/follow-device.js';
import { ReadReplica } from '../../src/application/read-replica.js';
import { Replicas } from '../../src/application/replicas.js';
import { Snapshots } from '../../src/application/snapshots.js';
import { TimeTravel } from '../../src/application/time-travel.js';
import { encodeData, encodeMetadata, streamOf } from '../../src/replica/stored.js';
import { CountingEventStore } from '../support/counting-event-store.js';
import { RecordingObserver } from '../support/replica-process.js';

/** A million takes a minute to record; `LONG_HISTORY_COUNT=1000000` runs it. The reads are the same. */
const EVENTS = Number(process.env['LONG_HISTORY_COUNT'] ?? 200_000);
const BATCH = 10_000;
const EVERY = 500;
const STREAM = streamOf('d1');

const dataDir = mkdtempSync(join(tmpdir(), 'long-history-'));
afterAll(() => rmSync(dataDir, { recursive: true }));

/** A process that has nothing in memory. */
function start(everyCount: number) {
  const events = openSqliteEventStore({ dataDir });
  const store = new CountingEventStore(events);
  const observer = new RecordingObserver();
  const snapshots = new Snapshots(store, openSqliteSnapshots(dataDir), observer, { everyCount });
  const replicas = new Replicas(store, observer, 1 << 20, snapshots);
  const reader = new ReadReplica(replicas, new DeviceLocks(), () => 0);
  const stop = async (): Promise<void> => {
    await snapshots.close();
    await events.close();
  };
  return { store, observer, snapshots, replicas, reader, stop };
}

/** The nth event of the device, as the service stores it. */
function event(n: number) {
  const changed = { version: n + 1, timestamp: 1_700_000_000_000 + n };
  const state = { temp: n % 100, [`key${n % 10}`]: n };
  const source = {
    topic: 'state.update',
    partition: 0,
    offset: n,
    timestamp: changed.timestamp,
    log: 'life',
  };
  const origin = { commandId: `command-${n}`, fingerprint: `update:${n}`, source };
  return {
    id: deriveId(`long-history/${n}`),
    type: 'ReportedStateChanged',
    data: encodeData('d1', { type: 'ReportedStateChanged', ...changed, state }),
    metadata: encodeMetadata(origin),
  };
}

async function record(store: CountingEventStore, from: number, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, index) => event(from + index));
  const [result] = await store.append([{ stream: STREAM, expectedRevision: from - 1, events }]);
  expect(result).toEqual({ kind: 'appended', revision: from + count - 1 });
}

/** What a get shows after so many events. */
function expected(count: number): object {
  const reported: Record<string, number> = { temp: (count - 1) % 100 };
  for (let n = Math.max(0, count - 10); n < count; n++) reported[`key${n % 10}`] = n;
  return { state: { reported }, version: count };
}

describe(`A device with ${EVENTS} events`, () => {
  beforeAll(async () => {
    const { store, replicas, stop } = start(EVERY);
    for (let from = 0; from < EVENTS; from += BATCH) {
      await record(store, from, BATCH);
      if (from === EVENTS - 10 * BATCH) await replicas.load('d1');
    }
    await stop();
  }, 600_000);

  it('is ready after a restart with no more reads than the events since its snapshot', async () => {
    const before = start(EVERY);
    // The first load after events that no snapshot was made of makes one.
    const replica = await before.replicas.load('d1');
    expect(before.store.eventsRead).toBe(9 * BATCH + 1);
    expect(before.observer.of('loaded')).toEqual([['snapshot']]);
    expect(replica).toMatchObject({ version: EVENTS, revision: EVENTS - 1 });
    await before.stop();

    const { store, reader, observer, stop } = start(EVERY);
    const shown = await reader.get('d1');
    expect(store.eventsRead).toBe(1);
    expect(observer.of('loaded')).toEqual([['snapshot']]);
    expect(JSON.parse(shown?.document ?? '')).toMatchObject(expected(EVENTS));
    await stop();
  });

  it('is right after any number of events since, and reads but those', async () => {
    for (const more of [1, EVERY - 1, EVERY, 3 * EVERY]) {
      const writer = start(EVERY);
      const from = ((await placeNow(writer.store, 'd1')).revision ?? -1) + 1;
      const replica = await writer.replicas.load('d1');
      for (let n = from; n < from + more; n += 100) {
        const count = Math.min(100, from + more - n);
        await record(writer.store, n, count);
        await writer.replicas.catchUp(replica);
        writer.replicas.recorded(replica, n - 1, event(n + count - 1).id);
      }
      await writer.stop();

      const { store, reader, stop } = start(EVERY);
      const shown = await reader.get('d1');
      expect(store.eventsRead).toBeLessThanOrEqual(EVERY + 100 + 1);
      expect(JSON.parse(shown?.document ?? '')).toMatchObject(expected(from + more));
      await stop();
    }
  });

  it('is folded for a question about its past from close by, once that past has been folded', async () => {
    const asked = start(EVERY);
    const travel = new TimeTravel(asked.store, asked.replicas);
    const ask = async (version: number): Promise<number> => {
      const before = asked.store.eventsRead;
      const shown = await travel.state('d1', { kind: 'version', version });
      expect(shown.ok ? JSON.parse(shown.value.document) : shown).toMatchObject(expected(version));
      return asked.store.eventsRead - before;
    };
    const first = 100_000;
    let turns = 0;
    const ticks = setInterval(() => turns++, 1);
    await ask(first);
    clearInterval(ticks);
    // It folds a hundred thousand events, and the process does other work meanwhile.
    expect(turns).toBeGreaterThan(3);
    await asked.snapshots.flush();
    const bisection = 25;
    for (const version of [first, first - 1, first / 2, 8 * EVERY + 1, 8 * EVERY, 17, 1]) {
      expect(await ask(version)).toBeLessThanOrEqual(8 * EVERY + bisection);
    }
    const at = await travel.state('d1', { kind: 'time', time: 1_700_000_000_000 + 49_999 });
    expect(at).toMatchObject({ ok: true, value: { version: 50_000 } });
    await asked.stop();
  });
});
