import { describe, expect, it } from '@jest/globals';
import { NO_STREAM } from '../../src/application/ports/event-store.js';
import {
  append,
  appendOne,
  brief,
  collect,
  idsOf,
  newEvent,
  newEvents,
  newStream,
  type StoreOf,
} from './event-store.support.js';

export function appendContract(store: StoreOf): void {
  const revisionsOf = async (stream: string): Promise<number[]> =>
    (await collect(store().readStream(stream))).map(({ revision }) => revision);

  describe('append', () => {
    it('records a new stream from revision 0 and gives the revision of the last event', async () => {
      const stream = newStream();
      expect(brief(await appendOne(store(), stream, NO_STREAM, newEvents(3)))).toBe('appended 2');
      expect(await revisionsOf(stream)).toEqual([0, 1, 2]);
    });

    it('goes on at the exact revision', async () => {
      const stream = newStream();
      await appendOne(store(), stream, NO_STREAM, newEvents(2));
      expect(brief(await appendOne(store(), stream, 1, newEvents(2)))).toBe('appended 3');
      expect(await revisionsOf(stream)).toEqual([0, 1, 2, 3]);
    });

    it.each([
      ['lower', 1],
      ['higher', 3],
      ['much higher', 1000],
      ['of no stream', NO_STREAM],
    ])('conflicts where the expected revision is %s, and records nothing', async (_, expected) => {
      const stream = newStream();
      await appendOne(store(), stream, NO_STREAM, newEvents(3));
      expect(brief(await appendOne(store(), stream, expected, newEvents(1)))).toBe('conflict 2');
      expect(await revisionsOf(stream)).toEqual([0, 1, 2]);
    });

    it('conflicts with -1 where a revision is expected of a stream that does not exist', async () => {
      const stream = newStream();
      expect(brief(await appendOne(store(), stream, 0, newEvents(1)))).toBe('conflict -1');
      expect(await revisionsOf(stream)).toEqual([]);
      expect(brief(await appendOne(store(), stream, NO_STREAM, newEvents(1)))).toBe('appended 0');
    });

    it('decides each stream of a call by itself, results in the order of the appends', async () => {
      const streams = Array.from({ length: 40 }, newStream);
      await store().append(streams.slice(0, 20).map((stream) => append(stream, NO_STREAM, newEvent())));
      const results = await store().append(
        streams.map((stream) => append(stream, NO_STREAM, newEvent(), newEvent())),
      );
      expect(results.map(brief)).toEqual(
        streams.map((_, index) => (index < 20 ? 'conflict 0' : 'appended 1')),
      );
      for (const [index, stream] of streams.entries()) {
        expect(await revisionsOf(stream)).toEqual(index < 20 ? [0] : [0, 1]);
      }
    });

    it('gives no result for no append', async () => {
      expect(await store().append([])).toEqual([]);
    });

    it.each([
      ['without an event', append('s', NO_STREAM)],
      ['to a stream without a name', append('', NO_STREAM, newEvent())],
      ['with an id that is no UUID', append('s', NO_STREAM, newEvent({}, 'event-1'))],
      [
        'with an id in capitals',
        append('s', NO_STREAM, newEvent({}, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11')),
      ],
      ['with an event without a type', append('s', NO_STREAM, { ...newEvent(), type: '' })],
      ['at a revision below -1', append('s', -2, newEvent())],
      ['at a fraction of a revision', append('s', 0.5, newEvent())],
    ])('refuses an append %s, and only that one', async (_, wrong) => {
      const stream = wrong.stream === '' ? '' : newStream();
      const good = append(newStream(), NO_STREAM, newEvent());
      const results = await store().append([{ ...wrong, stream }, good]);
      expect(results.map(brief)).toEqual(['failed invalid', 'appended 0']);
      expect(results[0]).toMatchObject({ error: { name: 'EventStoreError', canRetry: false } });
    });

    it('refuses both appends of a call that name one stream, and only those', async () => {
      const twice = newStream();
      const results = await store().append([
        append(twice, NO_STREAM, newEvent()),
        append(newStream(), NO_STREAM, newEvent()),
        append(twice, 0, newEvent()),
      ]);
      expect(results.map(brief)).toEqual(['failed invalid', 'appended 0', 'failed invalid']);
      expect(await revisionsOf(twice)).toEqual([]);
    });

    it('refuses an append over its size limit, and only that one', async () => {
      const large = { ...newEvent(), data: Buffer.alloc(17 * 1024 * 1024, '1') };
      const results = await store().append([
        append(newStream(), NO_STREAM, large),
        append(newStream(), NO_STREAM, newEvent()),
      ]);
      expect(results.map(brief)).toEqual(['failed too-large', 'appended 0']);
    });
  });

  describe('repeats', () => {
    it('answers an exact repeat as the first time and records nothing', async () => {
      const stream = newStream();
      const events = newEvents(3);
      await appendOne(store(), stream, NO_STREAM, events);
      expect(brief(await appendOne(store(), stream, NO_STREAM, events))).toBe('appended 2');
      expect(await revisionsOf(stream)).toEqual([0, 1, 2]);
    });

    it('recognises a repeat after others have appended, with the revision of its own last event', async () => {
      const stream = newStream();
      const events = newEvents(2);
      await appendOne(store(), stream, NO_STREAM, newEvents(1));
      await appendOne(store(), stream, 0, events);
      await appendOne(store(), stream, 2, newEvents(4));
      expect(brief(await appendOne(store(), stream, 0, events))).toBe('appended 2');
      expect(await revisionsOf(stream)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    });

    it('recognises the first part of an append as standing', async () => {
      const stream = newStream();
      const events = newEvents(3);
      await appendOne(store(), stream, NO_STREAM, events);
      expect(brief(await appendOne(store(), stream, NO_STREAM, events.slice(0, 2)))).toBe('appended 1');
    });

    it('conflicts where other ids stand there', async () => {
      const stream = newStream();
      await appendOne(store(), stream, NO_STREAM, newEvents(3));
      expect(brief(await appendOne(store(), stream, NO_STREAM, newEvents(3)))).toBe('conflict 2');
    });

    it('conflicts where only a part stands, and records nothing of the rest', async () => {
      const stream = newStream();
      const events = newEvents(2);
      await appendOne(store(), stream, NO_STREAM, events);
      expect(brief(await appendOne(store(), stream, NO_STREAM, [...events, newEvent()]))).toBe('conflict 1');
      const mixed = [...events.slice(0, 1), newEvent()];
      expect(brief(await appendOne(store(), stream, NO_STREAM, mixed))).toBe('conflict 1');
      expect(await revisionsOf(stream)).toEqual([0, 1]);
    });

    it('conflicts where the same ids stand elsewhere in the stream or in another order', async () => {
      const stream = newStream();
      const events = newEvents(3);
      await appendOne(store(), stream, NO_STREAM, events);
      expect(brief(await appendOne(store(), stream, NO_STREAM, events.slice(1)))).toBe('conflict 2');
      expect(brief(await appendOne(store(), stream, NO_STREAM, [...events].reverse()))).toBe('conflict 2');
    });

    it('takes the same id in another stream as another event', async () => {
      const events = newEvents(1);
      const [first, second] = [newStream(), newStream()];
      expect(brief(await appendOne(store(), first, NO_STREAM, events))).toBe('appended 0');
      expect(brief(await appendOne(store(), second, NO_STREAM, events))).toBe('appended 0');
    });
  });

  describe('concurrent appends', () => {
    it('lets exactly one of many win a revision', async () => {
      const stream = newStream();
      const attempts = Array.from({ length: 20 }, () => newEvents(2));
      const results = await Promise.all(
        attempts.map((events) => appendOne(store(), stream, NO_STREAM, events)),
      );
      const won = results.flatMap((result, index) => (result.kind === 'appended' ? [index] : []));
      expect(won).toHaveLength(1);
      expect(results.filter(({ kind }) => kind === 'conflict')).toHaveLength(19);
      const recorded = await collect(store().readStream(stream));
      expect(idsOf(recorded)).toEqual(idsOf(attempts[won[0] ?? -1] ?? []));
    });

    it('answers the same append called twice at once twice with yes, and records it once', async () => {
      const stream = newStream();
      const events = newEvents(2);
      const results = await Promise.all([1, 2].map(() => appendOne(store(), stream, NO_STREAM, events)));
      expect(results.map(brief)).toEqual(['appended 1', 'appended 1']);
      expect(await revisionsOf(stream)).toEqual([0, 1]);
    });

    it('leaves no gap and no repeat when many writers retry on one stream', async () => {
      const stream = newStream();
      const write = async (): Promise<void> => {
        for (let count = 0, expected = -1; count < 10;) {
          const result = await appendOne(store(), stream, expected, newEvents(1));
          if (result.kind === 'failed') throw result.error;
          expected = result.revision;
          if (result.kind === 'appended') count++;
        }
      };
      await Promise.all(Array.from({ length: 5 }, write));
      const recorded = await collect(store().readStream(stream));
      expect(recorded.map(({ revision }) => revision)).toEqual(Array.from({ length: 50 }, (_, n) => n));
      expect(new Set(idsOf(recorded)).size).toBe(50);
    });

    it('tells at once where a stream stands, if it does at all', async () => {
      if (store().knownRevision === undefined) return;
      const known = (stream: string): number | null | undefined => store().knownRevision?.(stream);
      const [stream, other] = [newStream(), newStream()];
      expect(known(stream)).toBe(NO_STREAM);
      await appendOne(store(), stream, NO_STREAM, newEvents(3));
      expect(known(stream)).toBe(2);
      await appendOne(store(), stream, 0, newEvents(1));
      expect(known(stream)).toBe(2);
      await appendOne(store(), stream, 2, newEvents(1));
      await appendOne(store(), other, NO_STREAM, newEvents(1));
      expect([known(stream), known(other), known(newStream())]).toEqual([3, 0, NO_STREAM]);
      await store().close();
      expect(known(stream)).toBeNull();
    });
  });
}
