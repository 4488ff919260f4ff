import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openSqliteReadModel } from '../../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { type PresenceChange, type PresenceWritten } from '../../../src/application/ports/presence.js';
import { type ReadModel, ReadModelError } from '../../../src/application/ports/read-model.js';
import { connectionsOf } from '../../../src/application/presence.js';
import {
  PresenceRecorder,
  type PresenceRecorderOptions,
} from '../../../src/application/presence-recorder.js';
import { deferred } from '../../../src/application/timing.js';
import { until } from '../../support/http.js';
import { ended, opened, told, written } from '../../support/presence.js';

describe('the presence recorder', () => {
  let folder: string;
  let model: ReadModel;
  let writes: PresenceWritten[];
  /** Stands before the store: what it throws is thrown; it may wait. */
  let before: (write: PresenceWritten) => Promise<void> | void;
  let retries: number;
  let recorders: PresenceRecorder[];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'presence-'));
    model = openSqliteReadModel(folder, { warn: () => undefined });
    [writes, recorders, retries, before] = [[], [], 0, () => undefined];
  });
  afterEach(async () => {
    before = () => undefined;
    for (const recorder of recorders) await recorder.stop();
    await model.close();
    rmSync(folder, { recursive: true });
  });

  function create(options: Partial<PresenceRecorderOptions> = {}): PresenceRecorder {
    const store = {
      async writePresence(write: PresenceWritten): Promise<boolean> {
        writes.push(write);
        await before(write);
        return model.writePresence(write);
      },
    };
    const recorder = new PresenceRecorder(
      { store, clock: Date.now, onRetry: () => retries++ },
      { instance: 'one', delayMs: 1, ...options },
    );
    recorders.push(recorder);
    return recorder;
  }

  const away = (): never => {
    throw new ReadModelError('unavailable', 'away');
  };
  const isConnected = async (deviceId: string): Promise<boolean | undefined> =>
    (await model.presence(deviceId))?.connected;

  it('ends what this instance had left connected, before it has begun', async () => {
    await model.writePresence(written([opened('a', 1), opened('b', 1)], { at: 5 }));
    await create().start();
    expect(await model.presence('a')).toMatchObject({ connected: false, ended: 'unknown', since: 5 });
    expect(await model.connectedCount()).toBe(0);
  });

  it('writes one batch at a time, of each device the latest alone', async () => {
    const recorder = create();
    await recorder.start();
    const held = deferred<void>();
    before = () => held.promise;
    recorder.record(opened('first', 1));
    await until('the first write', () => writes.length === 2);
    for (let n = 0; n < 5000; n++) recorder.record(opened(`d${n % 2500}`, 10 + n));
    expect(writes.length).toBe(2);
    held.resolve();
    await until('the last write', async () => (await model.connectedCount()) === 2501);
    const rest = writes.slice(2).map(({ changes }) => changes.length);
    expect(rest.filter((count) => count > 0)).toEqual([1000, 1000, 500]);
    expect(await model.presence('d0')).toMatchObject({ since: 2510 });
  });

  it('goes on trying while the store is away, and loses nothing', async () => {
    const recorder = create();
    await recorder.start();
    before = away;
    const a = opened('a', 1);
    recorder.record(a);
    recorder.record(opened('b', 1));
    await until('some tries', () => retries >= 2);
    recorder.record(ended(a, 2));
    before = () => undefined;
    await until('it is written', async () => (await isConnected('b')) === true);
    expect(await isConnected('a')).toBe(false);
  });

  it('keeps a bounded number where too many wait, and what is connected then is right in the end', async () => {
    const recorder = create({ maxWaitingCount: 10 });
    await recorder.start();
    const stays = opened('stays', 1);
    const goes = opened('goes', 1);
    recorder.record(stays);
    recorder.record(goes);
    await until('they are written', async () => (await model.connectedCount()) === 2);
    before = away;
    recorder.record(ended(goes, 2));
    await recorder.recordInTurn(told('told', true, 3));
    for (let n = 0; n < 500; n++) {
      const passing = opened(`p${n}`, 10 + n);
      recorder.record(passing);
      recorder.record(ended(passing, 11 + n));
    }
    await until('a try', () => retries > 0);
    before = () => undefined;
    const largest = (): number => Math.max(...writes.map(({ changes }) => changes.length));
    await until('it is written', async () => (await isConnected('goes')) === false);
    await until('it is written', async () => (await isConnected('stays')) === true);
    await until('it is written', async () => (await isConnected('told')) === true);
    expect(await model.connectedCount()).toBe(2);
    expect(largest()).toBeLessThanOrEqual(22);
  });

  it('lets what is told wait until there is room', async () => {
    const recorder = create({ maxWaitingCount: 3 });
    await recorder.start();
    before = away;
    let count = 0;
    const all = Array.from({ length: 20 }, async (_, n) => {
      await recorder.recordInTurn(told(`t${n}`, true, n + 1));
      count++;
    });
    await until('some tries', () => retries >= 2);
    expect(count).toBe(3);
    before = () => undefined;
    await Promise.all(all);
    await until('all are written', async () => (await model.connectedCount()) === 20);
  });

  it('tells all anew where it was taken for dead', async () => {
    const recorder = create({ beatMs: 5 });
    await recorder.start();
    recorder.record(opened('a', 1));
    await until('it is written', async () => (await isConnected('a')) === true);
    await model.writePresence(written([], { instance: 'two', silentMs: -1e13 }));
    await until('it is told anew', async () => (await isConnected('a')) === true);
    expect(writes.filter(({ isAfresh }) => isAfresh).length).toBe(2);
  });

  it('says that it lives though nothing changes', async () => {
    await create({ beatMs: 1 }).start();
    await until('beats', () => writes.length > 5);
    expect(writes.slice(1).every(({ changes, isAfresh }) => changes.length === 0 && !isAfresh)).toBe(true);
  });

  it('writes what waits before it has stopped', async () => {
    const recorder = create({ delayMs: 60_000 });
    await recorder.start();
    const changes = Array.from({ length: 2500 }, (_, n) => opened(`d${n}`, 1));
    for (const change of changes) recorder.record(ended(change, 2, { ended: 'stopped' }));
    await recorder.stop();
    expect(await model.presence('d2499')).toMatchObject({ ended: 'stopped' });
  });

  it('ends as the connections do, whatever fails meanwhile', async () => {
    const seed = Date.now() % 1e6;
    let state = seed;
    const random = (below: number): number => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return Math.floor((state / 2147483648) * below);
    };
    const next = connectionsOf(Date.now);
    const recorder = create({ maxWaitingCount: 5, beatMs: 2 });
    await recorder.start();
    const now = new Map<string, PresenceChange>();
    before = (write) => {
      const fate = random(10);
      if (fate < 3) away();
      // Written, and the answer is lost.
      if (fate === 3) return model.writePresence(write).then(away);
      if (fate === 4) return model.writePresence(written([], { instance: 'two', silentMs: -1e13 })).then();
      return undefined;
    };
    for (let step = 0; step < 3000; step++) {
      const deviceId = `d${random(30)}`;
      const one = now.get(deviceId);
      if (one === undefined || random(3) === 0) {
        const change = { ...opened(deviceId, 0), ...next() };
        now.set(deviceId, { ...change, since: change.openedAt });
        recorder.record({ ...change, since: change.openedAt });
      } else {
        now.delete(deviceId);
        recorder.record(ended(one, Date.now()));
      }
      if (step % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
    }
    before = () => undefined;
    const wanted = [...now.keys()].sort();
    const seen = async (): Promise<string[]> => {
      const ids = Array.from({ length: 30 }, (_, n) => `d${n}`);
      const shown = await Promise.all(ids.map(async (id) => [id, await isConnected(id)] as const));
      return shown.flatMap(([id, connected]) => (connected === true ? [id] : [])).sort();
    };
    await until(`the seed ${seed} to end right`, async () => String(await seen()) === String(wanted));
    for (const [deviceId, { since }] of now) expect(await model.presence(deviceId)).toMatchObject({ since });
  });
});
