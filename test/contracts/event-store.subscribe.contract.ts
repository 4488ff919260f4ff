import { describe, expect, it } from '@jest/globals';
import type { RecordedEvent, SubscriptionItem } from '../../src/application/ports/event-store.js';
import {
  append,
  appendOne,
  brief,
  collect,
  fill,
  follow,
  idsOf,
  newEvent,
  newEvents,
  newStream,
  pullFrom,
  type StoreOf,
} from './event-store.support.js';

const isCaughtUp = (_: unknown, item: SubscriptionItem): boolean => item.kind === 'caught-up';

export function subscribeContract(store: StoreOf): void {
  /** The position of an event recorded just now: what the tests below are measured from. */
  const mark = async (): Promise<bigint> => {
    const stream = newStream();
    await appendOne(store(), stream, -1, newEvents(1));
    const [event] = await collect(store().readStream(stream));
    return event?.position ?? 0n;
  };

  describe('subscribe', () => {
    it('gives everything from the start, then says that it has caught up', async () => {
      const stream = newStream();
      const ids = idsOf(await fill(store(), stream, 1100));
      const events = await follow(store().subscribe({ after: 'start' }), [stream], isCaughtUp);
      expect(idsOf(events)).toEqual(ids);
      expect(events[5]).toEqual((await collect(store().readStream(stream, { from: 5, maxCount: 1 })))[0]);
    });

    it('starts after a position, exclusive', async () => {
      const stream = newStream();
      await appendOne(store(), stream, -1, newEvents(4));
      const recorded = await collect(store().readStream(stream));
      const events = await follow(
        store().subscribe({ after: recorded[1]?.position ?? 0n }),
        [stream],
        isCaughtUp,
      );
      expect(events).toEqual(recorded.slice(2));
    });

    it('starts at the end with what is recorded from now on', async () => {
      const stream = newStream();
      await appendOne(store(), stream, -1, newEvents(2));
      let caughtUp = false;
      const events = await follow(store().subscribe({ after: 'end' }), [stream], async (seen, item) => {
        if (item.kind === 'caught-up' && !caughtUp) {
          caughtUp = true;
          expect(seen).toEqual([]);
          await appendOne(store(), stream, 1, newEvents(2));
        }
        return seen.length === 2;
      });
      expect(events.map(({ revision }) => revision)).toEqual([2, 3]);
    });

    it('goes live: each event recorded while it waits arrives', async () => {
      const stream = newStream();
      const items = pullFrom(store().subscribe({ after: await mark() }));
      const nextRevision = async (): Promise<number> => {
        for (;;) {
          const item = await items.next();
          if (item.kind === 'event' && item.event.stream === stream) return item.event.revision;
        }
      };
      for (let revision = 0; revision < 5; revision++) {
        const waiting = nextRevision();
        await new Promise((resolve) => setTimeout(resolve, 5));
        await appendOne(store(), stream, revision - 1, newEvents(1));
        expect(await waiting).toBe(revision);
      }
      await items.end();
    });

    it('has no gap and no repeat between catch-up and live while others append at load', async () => {
      const after = await mark();
      const streams = Array.from({ length: 20 }, newStream);
      const rounds = 60;
      const write = async (): Promise<void> => {
        for (let round = 0; round < rounds; round++) {
          const results = await store().append(
            streams.map((stream) => append(stream, round - 1, newEvent())),
          );
          expect(results.map(brief)).toEqual(streams.map(() => `appended ${round}`));
        }
      };
      const subscribers = [0, 1, 2].map(async (delayTurns) => {
        let count = 0;
        return follow(store().subscribe({ after }), streams, async (seen) => {
          // Different speeds: one reaches the end over and over, another one hardly ever.
          if (delayTurns > 0 && ++count % (10 * delayTurns) === 0) await new Promise(setImmediate);
          return seen.length === rounds * streams.length;
        });
      });
      const [, ...seen] = await Promise.all([write(), ...subscribers]);
      const log = (await collect(store().readAll({ after }))).filter(({ stream }) =>
        streams.includes(stream),
      );
      for (const events of seen) expect(idsOf(events)).toEqual(idsOf(log));
    });

    it('gives many subscribers the same', async () => {
      const after = await mark();
      const stream = newStream();
      const all = Array.from({ length: 50 }, () =>
        follow(store().subscribe({ after }), [stream], (seen) => seen.length === 10),
      );
      for (let n = 0; n < 10; n++) await appendOne(store(), stream, n - 1, newEvents(1));
      const expected = idsOf(await collect(store().readStream(stream)));
      for (const events of await Promise.all(all)) expect(idsOf(events)).toEqual(expected);
    });

    it('does not let a slow subscriber hold up appends, nor loses what it has not asked for', async () => {
      const after = await mark();
      const stream = newStream();
      const slow = pullFrom(store().subscribe({ after }));
      let pulled = slow.next();
      await fill(store(), stream, 1500);
      const seen: RecordedEvent[] = [];
      while (seen.length < 1500) {
        const item = await pulled;
        if (item.kind === 'event' && item.event.stream === stream) seen.push(item.event);
        pulled = slow.next();
      }
      // The last of these waits for an event that never comes.
      pulled.catch(() => undefined);
      await slow.end();
      expect(seen.map(({ revision }) => revision)).toEqual(Array.from({ length: 1500 }, (_, n) => n));
    });
  });

  describe('the end of a subscription', () => {
    it('comes at once with the signal, without an error, while it waits', async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const ended = collect(store().subscribe({ after: 'end', signal }));
      setTimeout(() => controller.abort(), 20);
      const items = await ended;
      expect(items.every(({ kind }) => kind === 'caught-up')).toBe(true);
    });

    it('comes with the signal in the middle of a catch-up', async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const after = await mark();
      await fill(store(), newStream(), 600);
      let count = 0;
      for await (const _ of store().subscribe({ after, signal })) if (++count === 10) controller.abort();
      expect(count).toBe(10);
    });

    it('comes at once where the signal was given before', async () => {
      const items = await collect(store().subscribe({ after: 'start', signal: AbortSignal.abort() }));
      expect(items).toEqual([]);
    });

    it('comes with the close of the store, without an error, while it waits', async () => {
      const subscriptions = Array.from({ length: 3 }, () => collect(store().subscribe({ after: 'end' })));
      setTimeout(() => void store().close(), 20);
      const all = await Promise.all(subscriptions);
      expect(all.flat().every(({ kind }) => kind === 'caught-up')).toBe(true);
    });

    it('comes with return() while next() waits, as when a stream over it is destroyed', async () => {
      const iterator = store().subscribe({ after: 'end' })[Symbol.asyncIterator]();
      await iterator.next();
      const waiting = iterator.next();
      await iterator.return?.();
      expect((await waiting).done).toBe(true);
      expect((await iterator.next()).done).toBe(true);
    });

    it('leaves the store and the other subscriptions alone', async () => {
      const after = await mark();
      const stream = newStream();
      const other = follow(store().subscribe({ after }), [stream], (seen) => seen.length === 2);
      await follow(store().subscribe({ after }), [stream], isCaughtUp);
      expect(brief(await appendOne(store(), stream, -1, newEvents(2)))).toBe('appended 1');
      expect(await other).toHaveLength(2);
    });
  });
}
