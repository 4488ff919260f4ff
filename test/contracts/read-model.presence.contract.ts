import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type Presence,
  type PresenceChange,
  type PresenceWritten,
} from '../../src/application/ports/presence.js';
import { type DeviceRow, type ReadModel } from '../../src/application/ports/read-model.js';
import { ended, opened, told, written } from '../support/presence.js';

export interface PresenceSubject {
  readonly model: () => ReadModel;
  /** Another one on the same storage, beside the first. */
  readonly reopen: () => Promise<ReadModel>;
  /** Makes a generation of these rows the active one. */
  readonly fill: (rows: readonly DeviceRow[]) => Promise<number>;
  readonly row: (deviceId: string, rest?: Partial<DeviceRow>) => DeviceRow;
}

export function presenceContract({ model, reopen, fill, row }: PresenceSubject): void {
  describe('presence', () => {
    const write = (changes: readonly PresenceChange[], rest?: Partial<PresenceWritten>): Promise<boolean> =>
      model().writePresence(written(changes, rest));
    const shown = ({ connected, since, clientId, ended: how, will }: PresenceChange): Presence => ({
      connected,
      since,
      clientId,
      ended: how,
      will,
    });
    const isShown = async (change: PresenceChange): Promise<void> =>
      expect(await model().presence(change.deviceId)).toEqual(shown(change));

    it('is not known of a device that never connected', async () => {
      expect(await model().presence('a')).toBeNull();
      expect(await model().connectedCount()).toBe(0);
    });

    it('is that of the connection, with how it ended, whether there is a replica or not', async () => {
      const a = opened('a', 10);
      const b = opened('b', 11, { clientId: 'é€😀"\'' });
      expect(await write([a, b], { isAfresh: true })).toBe(true);
      await isShown(a);
      await isShown(b);
      expect(await model().connectedCount()).toBe(2);
      for (const how of ['clean', 'lost', 'taken-over', 'stopped'] as const) {
        const c = opened(`c-${how}`, 12);
        await write([c]);
        const over = ended(c, 20, { ended: how, will: how === 'lost' });
        expect(await write([over])).toBe(true);
        await isShown(over);
      }
      expect(await model().connectedCount()).toBe(2);
    });

    it('is the device’s for its named replicas, and for no other device', async () => {
      await write([opened('a', 10), ended(opened('a-b', 10), 20)]);
      await fill(['a', 'a-b', 'a-b/name/x', 'a.c', 'a/name/x', 'a0', 'aa/name/x'].map((id) => row(id)));
      expect(await model().presence('a/name/x')).toMatchObject({ connected: true });
      const of = async (connected: boolean): Promise<string[]> =>
        (await model().list({ limit: 10, connected })).rows.map(({ deviceId }) => deviceId);
      expect(await of(true)).toEqual(['a', 'a/name/x']);
      expect(await of(false)).toEqual(['a-b', 'a-b/name/x']);
      expect(await model().count({ connected: true })).toMatchObject({ inSync: 2 });
      const { rows } = await model().list({ limit: 2 });
      expect(rows).toMatchObject([
        { deviceId: 'a', connectedSince: 10, disconnectedSince: null },
        { deviceId: 'a-b', connectedSince: null, disconnectedSince: 20 },
      ]);
    });

    it('outlives generations, and a close', async () => {
      const change = ended(opened('a', 10), 20);
      await write([change]);
      await fill([row('a')]);
      await fill([]);
      while (await model().sweep(10));
      await isShown(change);
      const other = await reopen();
      expect(await other.presence('a')).toEqual(shown(change));
      await other.close();
    });

    it('is that of the connection that began last, in whatever order things come, and how often', async () => {
      const connection = fc.record({ openedAt: fc.integer({ min: 1, max: 4 }), isOver: fc.boolean() });
      let count = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(connection, { minLength: 1, maxLength: 5 }),
          fc.infiniteStream(fc.nat()),
          async (connections, order) => {
            const deviceId = `d${count++}`;
            const changes = connections.flatMap(({ openedAt, isOver }, index) => {
              const change = opened(deviceId, openedAt, { connection: `c${index}` });
              return isOver ? [change, ended(change, openedAt + 100)] : [change];
            });
            const last = changes.reduce((a, b) =>
              b.openedAt > a.openedAt || (b.openedAt === a.openedAt && b.connection >= a.connection) ? b : a,
            );
            const shuffled = [...changes, ...changes]
              .map((change) => ({ change, at: (order.next().value as number | undefined) ?? 0 }))
              .sort((a, b) => a.at - b.at)
              .map(({ change }) => change);
            // The end of a connection is never written before its beginning is, but may be written in its place.
            for (const change of shuffled) await write([change]);
            await isShown(last);
          },
        ),
        { numRuns: 50, endOnFailure: true },
      );
    });

    it('changes by what is told only where that is news', async () => {
      await write([told('a', true, 10)]);
      await write([told('a', true, 20)]);
      await isShown(told('a', true, 10));
      await write([told('a', false, 30)]);
      await write([told('a', false, 40)]);
      await isShown(told('a', false, 30));
      await write([told('a', true, 25)]);
      await isShown(told('a', false, 30));
      const connection = opened('a', 50);
      await write([connection]);
      await write([told('a', false, 45)]);
      await isShown(connection);
    });

    it('ends what was connected at an instance that begins afresh, when that was seen last', async () => {
      const a = opened('a', 10);
      const late = opened('late', 900);
      const over = ended(opened('over', 10), 20);
      const others = opened('others', 10);
      const ofTopic = told('topic', true, 10);
      await write([a, late, over, ofTopic], { at: 500 });
      await write([others], { instance: 'two' });
      expect(await write([opened('new', 1100)], { at: 1200, isAfresh: true })).toBe(true);
      await isShown(ended(a, 500, { ended: 'unknown' }));
      await isShown(ended(late, 900, { ended: 'unknown' }));
      await isShown(over);
      await isShown(others);
      await isShown(ofTopic);
      await isShown(opened('new', 1100));
    });

    it('ends what was connected at an instance that is silent, which is told so, and may tell it anew', async () => {
      const a = opened('a', 10);
      const moved = opened('moved', 10);
      await write([a, moved], { at: 500, isAfresh: true });
      expect(await write([], { instance: 'two', silentMs: 1e9 })).toBe(false);
      await isShown(a);
      const here = opened('moved', 600);
      expect(await write([here], { instance: 'two', silentMs: 0 })).toBe(true);
      await isShown(ended(a, 500, { ended: 'unknown' }));
      await isShown(here);
      expect(await write([])).toBe(false);
      expect(await write([a, moved], { isAfresh: true })).toBe(true);
      await isShown(a);
      await isShown(here);
      expect(await write([])).toBe(true);
    });

    it('is that of the connection that came last, also where the clock was put back while the service was away', async () => {
      const [left, over] = [opened('left', 900), ended(opened('over', 900), 950)];
      const others = opened('others', 900);
      await write([left, over], { at: 990, isAfresh: true });
      await write([others], { at: 990, instance: 'two', isAfresh: true });
      await write([], { at: 400, isAfresh: true });
      await isShown(over);
      const again = [opened('left', 410), opened('over', 420)];
      await write([...again, opened('others', 430)], { at: 500 });
      for (const change of again) await isShown(change);
      // Of another instance it is not known which clock is wrong.
      await isShown(others);
    });

    it('is forgotten where a device is long away and has no replica', async () => {
      const away = ['gone', 'kept', 'deleted', 'named', 'late'].map((id) => ended(opened(id, 1), 10));
      const late = ended(opened('late', 1), 20);
      const connected = opened('connected', 1);
      await write([...away.slice(0, 4), late, connected], { forgetBefore: 20 });
      // Without rows of devices it is not known which have none.
      expect(await model().presence('gone')).not.toBeNull();
      await fill([
        row('kept'),
        row('deleted', { status: 'deleted' }),
        row('named/name/x'),
        row('gone-x/name/y'),
      ]);
      await write([], { forgetBefore: 20 });
      expect(await model().presence('gone')).toBeNull();
      for (const change of [...away.slice(1, 4), late, connected]) await isShown(change);
    });

    it('is written by several at once', async () => {
      const other = await reopen();
      const ids = Array.from({ length: 50 }, (_, n) => `d${n}`);
      const rounds = Array.from({ length: 10 }, (_, n) => n);
      try {
        await Promise.all(
          [model(), other].map(async (each, index) => {
            for (const round of rounds) {
              const changes = ids.map((id) => opened(id, 2 * round + index));
              await each.writePresence(written(changes, { instance: `i${index}`, silentMs: 1e9 }));
            }
          }),
        );
        for (const id of ids) await isShown(opened(id, 19));
        expect(await model().connectedCount()).toBe(50);
      } finally {
        await other.close();
      }
    });
  });
}
