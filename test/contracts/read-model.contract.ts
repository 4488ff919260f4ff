import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type PresenceChange } from '../../src/application/ports/presence.js';
import {
  type Checkpoint,
  type DeviceRow,
  type ListedRow,
  type ReadModel,
  type ReadModelErrorCode,
  type SettledCount,
} from '../../src/application/ports/read-model.js';
import { ended, opened, written } from '../support/presence.js';
import { ownerOf } from '../support/fleet-arbitraries.js';
import { fleetContract } from './read-model.fleet.contract.js';
import { presenceContract } from './read-model.presence.contract.js';

/** What the contract suite needs of an adapter. */
export interface ReadModelHarness {
  /** A read model that is empty. */
  open(): Promise<ReadModel>;
  /** Another one on the storage of the last {@link open}, which may be open still. */
  reopen(): Promise<ReadModel>;
  /** Called once, after the last test. */
  dispose?(): void;
}

export function row(deviceId: string, revision: number, rest: Partial<DeviceRow> = {}): DeviceRow {
  return {
    deviceId,
    revision,
    version: revision + 1,
    status: 'in-sync',
    lastReported: 1_800_000_000_000 + revision,
    lastDesired: null,
    since: 1_800_000_000_000,
    sinceVersion: 1,
    priorSince: 0,
    outstanding: 0,
    openCount: 0,
    open: null,
    broken: null,
    text: `{"n":${revision},"é":"€😀"}`,
    ...rest,
  };
}

export function checkpointAt(position: bigint): Checkpoint {
  return { position, proof: { stream: 'deviceState-é', revision: 7, id: `id-${position}`, position } };
}

export async function codeOf(call: Promise<unknown>): Promise<ReadModelErrorCode | undefined> {
  return call.then(
    () => undefined,
    (error: { code: ReadModelErrorCode }) => error.code,
  );
}

/** That of no device which has no row now. */
async function forgetPresence(model: ReadModel): Promise<void> {
  await model.writePresence(written([], { isAfresh: true, forgetBefore: Number.MAX_SAFE_INTEGER }));
}

function changesOf(rows: readonly Partial<ListedRow>[]): PresenceChange[] {
  const changes = rows.flatMap(({ deviceId = '', connectedSince = null, disconnectedSince = null }) => {
    const device = ownerOf(deviceId);
    if (connectedSince !== null) return [opened(device, connectedSince)];
    return disconnectedSince === null ? [] : [ended(opened(device, 0), disconnectedSince)];
  });
  return [...new Map(changes.map((change) => [change.deviceId, change])).values()];
}

const HOUR = 3_600_000;

const reached = (hour: number, bucket: number, count: number, sumMs: number): SettledCount => ({
  hour: hour * HOUR,
  outcome: 'reached',
  bucket,
  count,
  sumMs,
});

const keyOf = ({ hour, outcome, bucket }: SettledCount): string => `${hour} ${outcome} ${bucket}`;
const byKey = (one: SettledCount, other: SettledCount): number => (keyOf(one) < keyOf(other) ? -1 : 1);

export function readModelContract(name: string, create: () => ReadModelHarness): void {
  describe(`read model: ${name}`, () => {
    const harness = create();
    let model: ReadModel;
    beforeEach(async () => {
      model = await harness.open();
    });
    afterEach(() => model.close());
    afterAll(() => harness.dispose?.());

    /** An active generation, its checkpoint at 10, with these rows. */
    const filled = async (...rows: DeviceRow[]): Promise<number> => {
      const { id } = await model.begin(1);
      await model.write(id, { rows, expected: null, checkpoint: checkpointAt(10n) });
      await model.activate(id);
      return id;
    };
    const ids = async (query: Parameters<ReadModel['list']>[0]): Promise<string[]> =>
      (await model.list(query)).rows.map(({ deviceId }) => deviceId);
    const sweepAll = async (): Promise<void> => {
      while (await model.sweep(2));
    };

    it('has nothing at first', async () => {
      expect(await model.generations()).toEqual([]);
      expect(await model.find('a')).toBeNull();
      expect(await model.scan('', 10)).toEqual([]);
      expect(await model.list({ limit: 10 })).toEqual({ rows: [], position: null });
      expect(await model.count()).toEqual({ inSync: 0, notInSync: 0, broken: 0, position: null });
      expect(await model.sweep(10)).toBe(false);
    });

    it('keeps a row whole, and the checkpoint, across a close', async () => {
      const open = '{"changes":[[4,1,1,0,0]],"leaves":{"é€😀":4}}';
      const large = row('large', 3, { openCount: 1, open, text: JSON.stringify('é€😀x'.repeat(100_000)) });
      const broken = row('b', 4, {
        status: 'broken',
        broken: 'why\n"so"',
        lastReported: null,
        lastDesired: 5,
      });
      const position = 2n ** 62n + 1n;
      const { id } = await model.begin(3);
      const checkpoint = checkpointAt(position);
      await model.write(id, { rows: [large, broken], expected: null, checkpoint });
      await model.activate(id);
      await model.close();
      model = await harness.reopen();
      expect(await model.generations()).toEqual([{ id, isActive: true, schema: 3, checkpoint }]);
      expect(await model.find('large')).toEqual(large);
      const loaded = await model.load(id, ['b', 'none', 'large']);
      expect(new Map(loaded.map((each) => [each.deviceId, each]))).toEqual(
        new Map([
          ['b', broken],
          ['large', large],
        ]),
      );
    });

    it('keeps a checkpoint without a proof', async () => {
      const { id } = await model.begin(1);
      await model.write(id, { rows: [], expected: null, checkpoint: { position: 0n, proof: null } });
      expect((await model.generations())[0]?.checkpoint).toEqual({ position: 0n, proof: null });
      await model.write(id, { rows: [], expected: 0n, checkpoint: checkpointAt(2n) });
    });

    it('writes rows and checkpoint together, or nothing where the checkpoint is not as expected', async () => {
      const id = await filled(row('a', 1));
      for (const expected of [null, 9n, 11n]) {
        const write = model.write(id, {
          rows: [row('a', 2), row('b', 1)],
          expected,
          checkpoint: checkpointAt(20n),
        });
        expect(await codeOf(write)).toBe('superseded');
      }
      expect(await model.find('a')).toEqual(row('a', 1));
      expect(await model.find('b')).toBeNull();
      expect((await model.generations())[0]?.checkpoint).toEqual(checkpointAt(10n));
      const missing = model.write(id + 1, { rows: [], expected: null, checkpoint: checkpointAt(1n) });
      expect(await codeOf(missing)).toBe('superseded');
    });

    it('lets one of two writers through', async () => {
      const id = await filled();
      const other = await harness.reopen();
      try {
        const written = { rows: [], expected: 10n, checkpoint: checkpointAt(11n) };
        await other.write(id, written);
        expect(await codeOf(model.write(id, written))).toBe('superseded');
      } finally {
        await other.close();
      }
    });

    it('does not let an event that comes again change a row', async () => {
      const id = await filled(row('a', 5), row('broken', 5));
      const rows = [row('a', 5, { text: 'again' }), row('broken', 5, { status: 'broken', broken: 'x' })];
      await model.write(id, { rows, expected: 10n, checkpoint: checkpointAt(11n) });
      expect((await model.find('a'))?.text).toBe(row('a', 5).text);
      expect((await model.find('broken'))?.broken).toBe('x');
      await model.write(id, { rows: [row('a', 4)], expected: 11n, checkpoint: checkpointAt(12n) });
      expect(await model.find('a')).toEqual(row('a', 5));
      await model.write(id, { rows: [row('a', 6)], expected: 12n, checkpoint: checkpointAt(13n) });
      expect(await model.find('a')).toEqual(row('a', 6));
    });

    it('lists by page, in the order of the ids, whatever order they came in', async () => {
      const names = ['b', 'a', 'A', '_', 'z9', 'z10', 'a.b', 'a-b', 'a:b'];
      await filled(...names.map((deviceId) => row(deviceId, 1)));
      const sorted = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await ids({ limit: 100 })).toEqual(sorted);
      const paged: string[] = [];
      for (let page = await ids({ limit: 2 }); page.length > 0;) {
        expect(page.length).toBeLessThanOrEqual(2);
        paged.push(...page);
        page = await ids({ limit: 2, after: { value: null, deviceId: String(paged.at(-1)) } });
      }
      expect(paged).toEqual(sorted);
      expect(await ids({ limit: 100, after: { value: null, deviceId: 'a.' } })).toEqual(
        sorted.slice(sorted.indexOf('a.b')),
      );
    });

    it('lists and counts by whether a device is in sync; a deleted one not at all', async () => {
      await filled(
        row('in', 1),
        row('out', 1, { status: 'not-in-sync', outstanding: 2 }),
        row('out2', 1, { status: 'not-in-sync', outstanding: 1 }),
        row('bad', 1, { status: 'broken', broken: 'x' }),
        row('gone', 1, { status: 'deleted' }),
      );
      expect(await ids({ limit: 9 })).toEqual(['bad', 'in', 'out', 'out2']);
      expect(await ids({ limit: 9, inSync: true })).toEqual(['in']);
      expect(await ids({ limit: 9, inSync: false })).toEqual(['out', 'out2']);
      expect(await ids({ limit: 9, inSync: false, after: { value: null, deviceId: 'out' } })).toEqual([
        'out2',
      ]);
      expect(await model.count()).toEqual({ inSync: 1, notInSync: 2, broken: 1, position: 10n });
      expect((await model.list({ limit: 1 })).position).toBe(10n);
      expect((await model.find('gone'))?.status).toBe('deleted');
      expect((await model.list({ limit: 9, inSync: false })).rows[0]).toMatchObject({
        deviceId: 'out',
        version: 2,
        status: 'not-in-sync',
        lastReported: 1_800_000_000_001,
        lastDesired: null,
        since: 1_800_000_000_000,
        outstanding: 2,
        broken: null,
      });
    });

    it('gives all whole rows of the active generation by page, deleted and broken ones too', async () => {
      const rows = [
        row('A', 1, { status: 'deleted' }),
        row('_', 2, { status: 'broken', broken: 'x' }),
        row('a', 3, { status: 'not-in-sync', outstanding: 1 }),
        row('a.b', 4),
      ];
      await filled(...[...rows].reverse());
      const building = await model.begin(1);
      await model.write(building.id, { rows: [row('b', 1)], expected: null, checkpoint: checkpointAt(1n) });
      expect(await model.scan('', 9)).toEqual(rows);
      expect(await model.scan('', 3)).toEqual(rows.slice(0, 3));
      expect(await model.scan('a', 9)).toEqual(rows.slice(3));
      expect(await model.scan('a.b', 9)).toEqual([]);
    });

    it('shows nothing of a generation that is built until it is the active one', async () => {
      const first = await filled(row('a', 1), row('old', 1));
      const { id, ...rest } = await model.begin(2);
      expect(rest).toEqual({ isActive: false, schema: 2, checkpoint: null });
      await model.write(id, { rows: [row('a', 0)], expected: null, checkpoint: checkpointAt(5n) });
      expect((await model.find('a'))?.revision).toBe(1);
      expect(await ids({ limit: 9 })).toEqual(['a', 'old']);

      expect(await model.activate(id)).toBe(false);
      expect((await model.find('a'))?.revision).toBe(1);
      await model.write(id, { rows: [row('new', 0)], expected: 5n, checkpoint: checkpointAt(10n) });
      expect(await model.activate(id)).toBe(true);
      expect(await model.activate(id)).toBe(true);
      expect(await ids({ limit: 9 })).toEqual(['a', 'new']);
      expect((await model.generations()).map((each) => [each.id, each.isActive])).toEqual([[id, true]]);

      const late = model.write(first, { rows: [row('a', 9)], expected: 10n, checkpoint: checkpointAt(11n) });
      expect(await codeOf(late)).toBe('superseded');
      expect(await codeOf(model.activate(first))).toBe('superseded');
      await sweepAll();
      expect(await model.load(first, ['a', 'old'])).toEqual([]);
      expect(await ids({ limit: 9 })).toEqual(['a', 'new']);
    });

    it('goes back in time only where it is told to', async () => {
      const first = await filled(row('a', 1));
      const { id } = await model.begin(1);
      expect(await model.activate(id)).toBe(false);
      // Of who believes that there was none, or another one.
      expect(await model.activate(id, { instead: null })).toBe(false);
      expect(await model.activate(id, { instead: id })).toBe(false);
      expect(await ids({ limit: 9 })).toEqual(['a']);
      expect(await model.activate(id, { instead: first })).toBe(true);
      expect(await model.list({ limit: 9 })).toEqual({ rows: [], position: null });
    });

    it('builds one generation at a time, and never gives an id twice', async () => {
      const first = await filled(row('a', 1));
      const second = await model.begin(1);
      await model.write(second.id, { rows: [row('b', 1)], expected: null, checkpoint: checkpointAt(5n) });
      const third = await model.begin(1);
      expect((await model.generations()).map(({ id }) => id)).toEqual([first, third.id]);
      expect(new Set([first, second.id, third.id]).size).toBe(3);
      const late = model.write(second.id, { rows: [], expected: 5n, checkpoint: checkpointAt(6n) });
      expect(await codeOf(late)).toBe('superseded');
      await sweepAll();
      expect(await model.load(second.id, ['b'])).toEqual([]);
      expect(await model.find('a')).toEqual(row('a', 1));
    });

    /** What it has counted, in one order. */
    const counted = async (from: number, to: number): Promise<unknown[]> => {
      const { counts } = await model.settled({ from: from * HOUR, to: to * HOUR });
      return counts
        .map(({ outcome, bucket, count, sumMs }) => [outcome, bucket, count, sumMs])
        .sort((a, b) => (String(a) < String(b) ? -1 : 1));
    };

    it('adds what was settled to what it has, by hour, outcome and bucket', async () => {
      expect(await model.settled({ from: 0, to: HOUR })).toEqual({ counts: [], position: null });
      expect(await model.settledByHour()).toEqual({ counts: [], position: null });
      const id = await filled();
      const first = [reached(5, 3, 2, 700), reached(6, 3, 1, 400), reached(6, 25, 1, 2 ** 50)];
      await model.write(id, { rows: [], settled: first, expected: 10n, checkpoint: checkpointAt(11n) });
      const more: SettledCount[] = [
        reached(6, 3, 4, 1500),
        { ...reached(6, 3, 1, 401), outcome: 'superseded' },
        { ...reached(7, 0, 1, 0), outcome: 'withdrawn' },
      ];
      await model.write(id, { rows: [], settled: more, expected: 11n, checkpoint: checkpointAt(12n) });
      expect(await counted(6, 7)).toEqual([
        ['reached', 25, 1, 2 ** 50],
        ['reached', 3, 5, 1900],
        ['superseded', 3, 1, 401],
      ]);
      expect(await counted(0, 9)).toEqual([
        ['reached', 25, 1, 2 ** 50],
        ['reached', 3, 7, 2600],
        ['superseded', 3, 1, 401],
        ['withdrawn', 0, 1, 0],
      ]);
      expect(await counted(8, 9)).toEqual([]);
      expect((await model.settled({ from: 0, to: 1 })).position).toBe(12n);
      const { counts, position } = await model.settledByHour();
      expect({ counts: [...counts].sort(byKey), position }).toEqual({
        counts: [
          reached(5, 3, 2, 700),
          reached(6, 25, 1, 2 ** 50),
          reached(6, 3, 5, 1900),
          { ...reached(6, 3, 1, 401), outcome: 'superseded' },
          { ...reached(7, 0, 1, 0), outcome: 'withdrawn' },
        ],
        position: 12n,
      });
    });

    it('adds nothing where the checkpoint is not as expected', async () => {
      const id = await filled();
      const settled = [reached(5, 3, 2, 700)];
      const late = model.write(id, { rows: [], settled, expected: 9n, checkpoint: checkpointAt(11n) });
      expect(await codeOf(late)).toBe('superseded');
      expect(await counted(0, 9)).toEqual([]);
    });

    it('counts for each generation by itself, and sweeps what one counted that was given up', async () => {
      const first = await filled();
      const settled = [reached(5, 3, 2, 700)];
      await model.write(first, { rows: [], settled, expected: 10n, checkpoint: checkpointAt(11n) });
      const { id } = await model.begin(1);
      const other = [reached(5, 4, 1, 9), reached(6, 4, 1, 9), reached(7, 4, 1, 9)];
      await model.write(id, { rows: [], settled: other, expected: null, checkpoint: checkpointAt(11n) });
      expect(await counted(0, 9)).toEqual([['reached', 3, 2, 700]]);
      expect(await model.settledByHour()).toEqual({ counts: settled, position: 11n });
      await model.activate(id);
      expect((await model.settledByHour()).counts).toHaveLength(3);
      expect(await counted(0, 9)).toEqual([['reached', 4, 3, 27]]);
      expect(await model.sweep(1)).toBe(true);
      expect(await model.sweep(1)).toBe(false);
      expect(await counted(0, 9)).toEqual([['reached', 4, 3, 27]]);
    });

    it('tells for how long devices are out of sync, and which have been for the longest', async () => {
      const none = await model.outOfSync({ bounds: [1, 2], oldestCount: 9 });
      expect(none).toEqual({ counts: [0, 0, 0], openCount: 0, oldest: [], position: null });
      const out = { status: 'not-in-sync', outstanding: 3, openCount: 2, open: 'x' } as const;
      const id = await filled(
        row('b', 1, { ...out, since: 100 }),
        row('a', 1, { ...out, since: 100 }),
        row('C', 1, { ...out, since: 100, openCount: 0, open: null }),
        row('d', 1, { ...out, since: 101, outstanding: 1 }),
        row('e', 1, { ...out, since: 200 }),
        row('f', 1, { ...out, since: 1_800_000_000_001 }),
        row('in', 1, { since: 100 }),
        row('bad', 1, { ...out, status: 'broken', broken: 'x', since: 100 }),
        row('gone', 1, { status: 'deleted', since: 100 }),
      );
      expect(await model.outOfSync({ bounds: [99, 100, 200, 300], oldestCount: 4 })).toEqual({
        counts: [0, 3, 2, 0, 1],
        openCount: 10,
        oldest: [
          { deviceId: 'C', since: 100, outstanding: 3 },
          { deviceId: 'a', since: 100, outstanding: 3 },
          { deviceId: 'b', since: 100, outstanding: 3 },
          { deviceId: 'd', since: 101, outstanding: 1 },
        ],
        position: 10n,
      });
      const rows = [row('a', 2), row('f', 2, { ...out, since: 50, openCount: 1 })];
      await model.write(id, { rows, expected: 10n, checkpoint: checkpointAt(11n) });
      expect(await model.outOfSync({ bounds: [], oldestCount: 0 })).toEqual({
        counts: [5],
        openCount: 7,
        oldest: [],
        position: 11n,
      });
    });

    fleetContract({
      model: () => model,
      row: (deviceId, rest) => row(deviceId, 1, rest),
      fill: async (rows) => {
        await filled();
        await forgetPresence(model);
        await model.writePresence(written(changesOf(rows), { isAfresh: true }));
        await filled(...rows);
      },
    });
    presenceContract({
      model: () => model,
      reopen: () => harness.reopen(),
      row: (deviceId, rest) => row(deviceId, 1, rest),
      fill: (rows) => filled(...rows),
    });

    it('is closed for good', async () => {
      const id = await filled();
      await model.close();
      await model.close();
      const nothing = { rows: [], expected: 10n, checkpoint: checkpointAt(11n) };
      for (const call of [
        () => model.generations(),
        () => model.begin(1),
        () => model.activate(id),
        () => model.load(id, ['a']),
        () => model.write(id, nothing),
        () => model.sweep(1),
        () => model.find('a'),
        () => model.scan('', 1),
        () => model.list({ limit: 1 }),
        () => model.count(),
        () => model.settled({ from: 0, to: 1 }),
        () => model.settledByHour(),
        () => model.outOfSync({ bounds: [], oldestCount: 0 }),
        () => model.presence('a'),
        () => model.connectedCount(),
        () => model.writePresence(written([])),
      ]) {
        expect(await codeOf(call())).toBe('closed');
      }
    });
  });
}
