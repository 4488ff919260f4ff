import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EventStoreDBClient } from '@eventstore/db-client';
import type { EventStore, RecordedEvent } from '../../src/application/ports/event-store.js';
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
} from '../contracts/event-store.support.js';
import { withFaultyStore } from './eventstoredb.support.js';

describe('reads of EventStoreDB that fails', () => {
  const at = withFaultyStore();

  describe('a stream that was deleted', () => {
    let client: EventStoreDBClient;
    beforeEach(() => {
      client = EventStoreDBClient.connectionString(at.server.connectionString);
    });
    afterEach(async () => {
      await client.dispose();
    });

    it('for good, is told by reads and appends', async () => {
      const stream = newStream();
      await appendOne(at.store, stream, -1, newEvents(2));
      await client.tombstoneStream(stream);
      await expect(collect(at.store.readStream(stream))).rejects.toMatchObject({ code: 'stream-deleted' });
      expect(brief(await appendOne(at.store, stream, 1, newEvents(1)))).toBe('failed stream-deleted');
    });

    it('for good, leaves no mark among the events of the log', async () => {
      const [stream, later] = [newStream(), newStream()];
      await appendOne(at.store, stream, -1, newEvents(2));
      await client.tombstoneStream(stream);
      await appendOne(at.store, later, -1, newEvents(1));
      const names = [stream, later];
      const isCaughtUp = (_: unknown, { kind }: { kind: string }): boolean => kind === 'caught-up';
      const followed = await follow(at.store.subscribe({ after: 'start' }), names, isCaughtUp);
      expect(followed.map(({ type }) => type)).toEqual(['ThingHappened', 'ThingHappened', 'ThingHappened']);
      expect(idsOf(await collect(at.store.readAll()))).toEqual(idsOf(followed));
      expect(idsOf(await collect(at.store.readAll({ maxCount: 3 })))).toEqual(idsOf(followed));
    });

    it('softly, reads as one that is not there', async () => {
      const stream = newStream();
      await appendOne(at.store, stream, -1, newEvents(2));
      await client.deleteStream(stream);
      expect(await collect(at.store.readStream(stream))).toEqual([]);
    });

    it('in part, by $maxCount, shows the rest with its numbers', async () => {
      const stream = newStream();
      await appendOne(at.store, stream, -1, newEvents(5));
      await client.setStreamMetadata(stream, { maxCount: 2 });
      const numbers = (events: RecordedEvent[]): number[] => events.map(({ revision }) => revision);
      expect(numbers(await collect(at.store.readStream(stream)))).toEqual([3, 4]);
      expect(numbers(await collect(at.store.readStream(stream, { direction: 'backwards' })))).toEqual([4, 3]);
      expect(brief(await appendOne(at.store, stream, 4, newEvents(1)))).toBe('appended 5');
    });
  });

  describe('a subscription', () => {
    const revisionsOf = async (
      items: ReturnType<EventStore['subscribe']>,
      stream: string,
      count: number,
    ): Promise<number[]> =>
      (await follow(items, [stream], (seen) => seen.length === count)).map(({ revision }) => revision);

    it('goes on after restarts, without a gap and without a repeat', async () => {
      const stream = newStream();
      await fill(at.store, stream, 300);
      const seen = revisionsOf(at.store.subscribe({ after: 'start' }), stream, 340);
      for (let n = 300; n < 340; n++) {
        if (n % 10 === 0) await at.server.restart();
        await at.appendUntilKnown([append(stream, n - 1, newEvent())]);
      }
      expect(await seen).toEqual(Array.from({ length: 340 }, (_, n) => n));
      expect(at.lines.some((line) => line.startsWith('warn A subscription broke'))).toBe(true);
    });

    it('goes on where the server takes it for too slow', async () => {
      const stream = newStream();
      await fill(at.store, stream, 1200);
      const items = pullFrom(at.store.subscribe({ after: 'start' }));
      const seen: number[] = [];
      while (seen.length < 1200) {
        const item = await items.next();
        if (item.kind === 'event' && item.event.stream === stream) seen.push(item.event.revision);
        if (seen.length % 500 === 1) at.server.faults.abortSubscriptionsAsSlow();
      }
      await items.end();
      expect(seen).toEqual(Array.from({ length: 1200 }, (_, n) => n));
    });

    it('from the end misses nothing that was recorded while it was away, though it had seen no event', async () => {
      const stream = newStream();
      const items = pullFrom(at.store.subscribe({ after: 'end' }));
      expect((await items.next()).kind).toBe('caught-up');
      const pulled = items.next();
      at.server.faults.unavailable(Infinity, ['subscribe']);
      at.server.faults.abortSubscriptionsAsSlow();
      expect(await at.appendUntilKnown([append(stream, -1, newEvent())])).toEqual(['appended 0']);
      at.server.faults.clear();
      let item = await pulled;
      while (item.kind !== 'event') item = await items.next();
      expect(item.event).toMatchObject({ stream, revision: 0 });
      await items.end();
    });

    it('begins when the server comes', async () => {
      const stream = newStream();
      await appendOne(at.store, stream, -1, newEvents(1));
      await at.server.stop();
      const seen = revisionsOf(at.store.subscribe({ after: 'start' }), stream, 1);
      await new Promise((resolve) => setTimeout(resolve, 200));
      await at.server.restart();
      expect(await seen).toEqual([0]);
    });

    it('ends while it waits to be tried again', async () => {
      await at.server.stop();
      const controller = new AbortController();
      const ended = collect(at.store.subscribe({ after: 'start', signal: controller.signal }));
      setTimeout(() => controller.abort(), 200);
      expect(await ended).toEqual([]);
    });
  });

  describe('a read', () => {
    it('is unavailable while nobody listens, and goes through afterwards', async () => {
      const stream = newStream();
      await appendOne(at.store, stream, -1, newEvents(1));
      await at.server.stop();
      await expect(collect(at.store.readStream(stream))).rejects.toMatchObject({ code: 'unavailable' });
      await at.server.restart();
      for (;;) {
        const read = await collect(at.store.readStream(stream)).catch(() => null);
        if (read !== null) {
          expect(read).toHaveLength(1);
          return;
        }
      }
    });

    it('does not look complete where the server breaks it off', async () => {
      const stream = newStream();
      await fill(at.store, stream, 1000);
      let count = 0;
      const reading = (async () => {
        for await (const _ of at.store.readStream(stream)) if (++count === 10) await at.server.stop();
      })();
      await expect(reading).rejects.toMatchObject({ name: 'EventStoreError', code: 'unavailable' });
      expect(count).toBeLessThan(1000);
    });
  });

  it('does not break off a read whose last event was taken: servers bear few of those', async () => {
    const stream = newStream();
    await fill(at.store, stream, 3);
    // Node's own HTTP/2 server, which the test server is on, closes a connection on which some 1,000 calls were.
    for (let n = 0; n < 1_500; n++) {
      for await (const { revision } of at.store.readStream(stream, { from: 1, maxCount: 1 })) {
        expect(revision).toBe(1);
        break;
      }
    }
  });
});
