import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { EventStore } from '../../src/application/ports/event-store.js';
import { appendContract } from './event-store.append.contract.js';
import { modelContract } from './event-store.model.contract.js';
import { readContract } from './event-store.read.contract.js';
import { subscribeContract } from './event-store.subscribe.contract.js';
import {
  append,
  appendOne,
  brief,
  collect,
  idsOf,
  newEvent,
  newEvents,
  newStream,
  type EventStoreHarness,
} from './event-store.support.js';

export type { EventStoreHarness } from './event-store.support.js';

/** The event store port's promises. An adapter's test calls this, and nothing else is needed. */
export function eventStoreContract(
  name: string,
  createHarness: () => EventStoreHarness | Promise<EventStoreHarness>,
): void {
  describe(`event store: ${name}`, () => {
    let harness: EventStoreHarness;
    let store: EventStore;

    beforeAll(async () => {
      harness = await createHarness();
    });
    beforeEach(async () => {
      store = await harness.open();
    });
    afterEach(async () => {
      await store.close();
    });
    afterAll(async () => {
      await harness.dispose?.();
    });

    appendContract(() => store);
    readContract(() => store);
    subscribeContract(() => store);
    modelContract(() => store);

    describe('health and close', () => {
      it('is healthy while it takes appends', async () => {
        expect(await store.health()).toBeNull();
      });

      it('says in one line that it was closed', async () => {
        await store.close();
        expect(await store.health()).toMatch(/^.+$/);
      });

      it('closes twice without complaint', async () => {
        await store.close();
        await store.close();
      });

      it('finishes the appends that were called before the close', async () => {
        const appending = appendOne(store, newStream(), -1, newEvents(1));
        await store.close();
        expect(brief(await appending)).toBe('appended 0');
      });

      it('fails every append after the close', async () => {
        await store.close();
        const results = await store.append([
          append(newStream(), -1, newEvent()),
          append(newStream(), 0, newEvent()),
        ]);
        expect(results.map(brief)).toEqual(['failed closed', 'failed closed']);
        expect(results[0]).toMatchObject({ error: { canRetry: false } });
      });

      it('throws from reads and subscriptions after the close', async () => {
        await store.close();
        await expect(collect(store.readStream(newStream()))).rejects.toMatchObject({ code: 'closed' });
        await expect(collect(store.readAll())).rejects.toMatchObject({ code: 'closed' });
        await expect(collect(store.subscribe({ after: 'start' }))).rejects.toMatchObject({ code: 'closed' });
      });

      it('ends an open read with an error, so that it does not look complete', async () => {
        const stream = newStream();
        await appendOne(store, stream, -1, newEvents(3));
        const reading = async (): Promise<void> => {
          for await (const _ of store.readStream(stream)) await store.close();
        };
        await expect(reading()).rejects.toMatchObject({ code: 'closed' });
      });
    });

    it('shows a later store on the same storage what an earlier one recorded', async () => {
      if (harness.reopen === undefined) return;
      const stream = newStream();
      const events = newEvents(3);
      await appendOne(store, stream, -1, events);
      const [before] = await collect(store.readStream(stream));
      await store.close();

      store = await harness.reopen();
      const recorded = await collect(store.readStream(stream));
      expect(idsOf(recorded)).toEqual(idsOf(events));
      expect(recorded[0]).toEqual(before);
      expect(brief(await appendOne(store, stream, -1, newEvents(1)))).toBe('conflict 2');
      expect(brief(await appendOne(store, stream, -1, events))).toBe('appended 2');
      expect(brief(await appendOne(store, stream, 2, newEvents(1)))).toBe('appended 3');
      const [last] = await collect(store.readAll({ after: recorded[2]?.position ?? 0n, maxCount: 1 }));
      expect(last).toMatchObject({ stream, revision: 3 });
    });
  });
}
