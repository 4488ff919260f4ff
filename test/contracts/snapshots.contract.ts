import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  keptSnapshots,
  type SnapshotStore,
  type StoredSnapshot,
} from '../../src/application/ports/snapshots.js';

/** What the contract suite needs of an adapter. */
export interface SnapshotsHarness {
  /** A store that is empty. */
  open(): Promise<SnapshotStore>;
  /** Another store on the storage of the last {@link open}, which is closed by now. */
  reopen(): Promise<SnapshotStore>;
  /** Called once, after the last test. */
  dispose?(): void;
}

const LATEST = Number.MAX_SAFE_INTEGER;

export function snapshot(
  deviceId: string,
  revision: number,
  rest: Partial<StoredSnapshot> = {},
): StoredSnapshot {
  const eventId = `00000000-0000-4000-8000-${String(revision).padStart(12, '0')}`;
  return { deviceId, revision, eventId, level: 0, text: `{"n":${revision},"é":"€😀"}`, ...rest };
}

export function snapshotsContract(name: string, create: () => SnapshotsHarness): void {
  describe(`snapshots: ${name}`, () => {
    const harness = create();
    let store: SnapshotStore;
    beforeEach(async () => {
      store = await harness.open();
    });
    afterEach(() => store.close());
    afterAll(() => harness.dispose?.());

    const revisions = async (deviceId: string): Promise<number[]> => {
      const all: number[] = [];
      for (let at = LATEST; ; at = (all.at(-1) as number) - 1) {
        const found = await store.find(deviceId, at);
        if (found === null) return all;
        all.push(found.revision);
      }
    };

    it('finds nothing of a device that has none', async () => {
      await store.save([snapshot('other', 1)]);
      expect(await store.find('a', LATEST)).toBeNull();
    });

    it('finds what was saved, whole', async () => {
      const saved = snapshot('a', 7, { level: 3 });
      await store.save([saved, snapshot('b', 9)]);
      expect(await store.find('a', LATEST)).toEqual(saved);
    });

    it('keeps an empty text and a long one', async () => {
      const long = snapshot('long', 1, { text: `"${'é€😀x'.repeat(100_000)}"` });
      await store.save([snapshot('empty', 1, { text: '' }), long]);
      expect((await store.find('empty', LATEST))?.text).toBe('');
      expect(await store.find('long', LATEST)).toEqual(long);
    });

    it('finds the latest one up to a revision, inclusive', async () => {
      await store.save([snapshot('a', 20, { level: 1 }), snapshot('a', 10)]);
      for (const [atMost, found] of [
        [9, undefined],
        [10, 10],
        [19, 10],
        [20, 20],
        [LATEST, 20],
      ] as const) {
        expect((await store.find('a', atMost))?.revision).toBe(found);
      }
      expect(await store.find('a', -1)).toBeNull();
    });

    it('replaces one of the same revision', async () => {
      await store.save([snapshot('a', 5, { text: 'old' })]);
      await store.save([snapshot('a', 5, { text: 'new', level: 2 })]);
      expect((await store.find('a', LATEST))?.text).toBe('new');
      expect(await revisions('a')).toEqual([5]);
    });

    it('keeps the latest of each level of each device', async () => {
      const levels = [0, 0, 1, 0, 0, 1, 0, 2, 1, 0, 0];
      for (const [revision, level] of levels.entries()) {
        await store.save([snapshot('a', revision, { level }), snapshot('b', 100 + revision, { level: 4 })]);
      }
      const expected = [0, 1, 2].flatMap((level) =>
        [...levels.keys()].filter((at) => levels[at] === level).slice(-keptSnapshots(level)),
      );
      expect(await revisions('a')).toEqual(expected.sort((a, b) => b - a));
      expect(await revisions('b')).toEqual([...levels.keys()].map((revision) => 100 + revision).reverse());
    });

    it('keeps many of the higher levels, and not all', async () => {
      const kept = keptSnapshots(1);
      const all = Array.from({ length: kept + 3 }, (_, n) => snapshot('a', n, { level: 1 + (n % 2) }));
      await store.save(all);
      expect(await revisions('a')).toHaveLength(kept + 3);
      await store.save(Array.from({ length: kept + 3 }, (_, n) => snapshot('a', 1000 + n, { level: 1 })));
      const left = await revisions('a');
      expect(left.filter((revision) => revision >= 1000)).toHaveLength(kept);
      expect(left.filter((revision) => revision < 1000)).toEqual(
        all
          .filter(({ level }) => level === 2)
          .map(({ revision }) => revision)
          .reverse(),
      );
    });

    it('does not lose a later one for an earlier one that is saved after it', async () => {
      await store.save([snapshot('a', 30), snapshot('a', 20)]);
      await store.save([snapshot('a', 10)]);
      expect(await revisions('a')).toEqual([30, 20]);
    });

    it('removes from a revision on, of one device', async () => {
      await store.save([1, 2, 3].map((level) => snapshot('a', level * 10, { level })));
      await store.save([snapshot('b', 30)]);
      await store.remove('a', 20);
      expect(await revisions('a')).toEqual([10]);
      expect(await revisions('b')).toEqual([30]);
      await store.remove('missing', 0);
    });

    it('saves nothing without complaint', async () => {
      await store.save([]);
      expect(await store.find('a', LATEST)).toBeNull();
    });

    it('is there again after a close', async () => {
      await store.save([snapshot('a', 7)]);
      await store.close();
      await store.close();
      await expect(store.find('a', LATEST)).rejects.toThrow('closed');
      await expect(store.save([snapshot('a', 8)])).rejects.toThrow('closed');
      await expect(store.remove('a', 0)).rejects.toThrow('closed');
      store = await harness.reopen();
      expect(await store.find('a', LATEST)).toEqual(snapshot('a', 7));
    });
  });
}
