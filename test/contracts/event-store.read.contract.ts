import { describe, expect, it } from '@jest/globals';
import {
  append,
  appendOne,
  brief,
  collect,
  fill,
  idsOf,
  newEvent,
  newEvents,
  newStream,
  type StoreOf,
} from './event-store.support.js';

/** More than one page of any adapter. */
const MANY = 1100;

export function readContract(store: StoreOf): void {
  describe('what was recorded', () => {
    it.each([
      ['spaces and line ends', '{ "a" : 1,\r\n\t"b":2 }\n'],
      ['UTF-8 of one to four bytes', '{"z":"aéß€漢😀"}'],
      ['escapes that mean the same', '{"z":"\\u0041\\/\\u00e9"}'],
      ['numbers as they were written', '{"n":[1.0,1e2,-0,12345678901234567890]}'],
      ['keys twice and out of order', '{"b":1,"a":2,"b":3}'],
      ['long data', JSON.stringify({ x: 'y'.repeat(200_000) })],
    ])('is kept byte for byte: %s', async (_, text) => {
      const stream = newStream();
      const event = { ...newEvent(), data: Buffer.from(text), metadata: Buffer.from(text) };
      expect(brief(await appendOne(store(), stream, -1, [event]))).toBe('appended 0');
      const [recorded] = await collect(store().readStream(stream));
      expect(recorded?.data.equals(event.data)).toBe(true);
      expect(recorded?.metadata.equals(event.metadata)).toBe(true);
    });

    it('keeps id, type and empty metadata, and adds stream, revision, position and time', async () => {
      const stream = newStream();
      const event = newEvent();
      const before = Date.now();
      await appendOne(store(), stream, -1, [event]);
      const after = Date.now();
      const [recorded] = await collect(store().readStream(stream));
      expect(recorded).toMatchObject({ id: event.id, type: event.type, stream, revision: 0 });
      expect(recorded?.metadata.toString()).toBe('{}');
      expect(typeof recorded?.position).toBe('bigint');
      // A server has a clock of its own.
      expect(Number.isInteger(recorded?.recordedAt)).toBe(true);
      expect(recorded?.recordedAt).toBeGreaterThan(before - 60_000);
      expect(recorded?.recordedAt).toBeLessThan(after + 60_000);
    });

    it('does not change with the buffers of the writer or of a reader', async () => {
      const stream = newStream();
      const event = newEvent({ n: 7 });
      await appendOne(store(), stream, -1, [event]);
      event.data.fill(0);
      const [first] = await collect(store().readStream(stream));
      first?.data.fill(0);
      const [second] = await collect(store().readStream(stream));
      expect(second?.data.toString()).toBe('{"n":7}');
    });
  });

  describe('readStream', () => {
    it('yields nothing for a stream that does not exist', async () => {
      expect(await collect(store().readStream(newStream()))).toEqual([]);
      expect(await collect(store().readStream(newStream(), { direction: 'backwards' }))).toEqual([]);
    });

    it.each([
      ['all', {}, [0, 1, 2, 3, 4]],
      ['from a revision, inclusive', { from: 3 }, [3, 4]],
      ['at most so many', { maxCount: 2 }, [0, 1]],
      ['from a revision, at most so many', { from: 1, maxCount: 2 }, [1, 2]],
      ['from beyond the end', { from: 5 }, []],
      ['none', { maxCount: 0 }, []],
      ['backwards', { direction: 'backwards' }, [4, 3, 2, 1, 0]],
      ['backwards from a revision, inclusive', { direction: 'backwards', from: 2 }, [2, 1, 0]],
      ['the last one', { direction: 'backwards', maxCount: 1 }, [4]],
      ['backwards from the first', { direction: 'backwards', from: 0 }, [0]],
    ] as const)('reads %s', async (_, options, expected) => {
      const stream = newStream();
      await appendOne(store(), stream, -1, newEvents(5));
      await appendOne(store(), newStream(), -1, newEvents(5));
      const recorded = await collect(store().readStream(stream, options));
      expect(recorded.map(({ revision }) => revision)).toEqual(expected);
      expect(recorded.every((event) => event.stream === stream)).toBe(true);
    });

    it.each([-1, 0.5, NaN])('refuses to read at most %p events', async (maxCount) => {
      const reading = collect(store().readStream(newStream(), { maxCount }));
      await expect(reading).rejects.toMatchObject({ code: 'invalid' });
    });

    it('reads across pages, in both directions and with bounds on both sides of their edges', async () => {
      const stream = newStream();
      const ids = idsOf(await fill(store(), stream, MANY));
      expect(idsOf(await collect(store().readStream(stream)))).toEqual(ids);
      const backwards = await collect(store().readStream(stream, { direction: 'backwards' }));
      expect(idsOf(backwards)).toEqual([...ids].reverse());
      for (const maxCount of [255, 256, 257, 512, 1024, MANY, MANY + 1]) {
        const recorded = await collect(store().readStream(stream, { from: 1, maxCount }));
        expect(idsOf(recorded)).toEqual(ids.slice(1, 1 + maxCount));
      }
    });

    it('reads events that are larger together than a page', async () => {
      const stream = newStream();
      for (let n = 0; n < 5; n++) {
        await appendOne(store(), stream, n - 1, [newEvent({ n, x: 'y'.repeat(600_000) })]);
      }
      expect(await collect(store().readStream(stream))).toHaveLength(5);
    });

    it('may be left half way', async () => {
      const stream = newStream();
      await fill(store(), stream, 300);
      for await (const event of store().readStream(stream)) if (event.revision === 10) break;
      expect(brief(await appendOne(store(), stream, 299, newEvents(1)))).toBe('appended 300');
    });
  });

  describe('readAll', () => {
    it('gives the streams in the order they were recorded, positions strictly increasing', async () => {
      const streams = [newStream(), newStream(), newStream()];
      for (let n = 0; n < 9; n++) {
        await appendOne(store(), streams[n % 3] ?? '', Math.floor(n / 3) - 1, [newEvent({ n })]);
      }
      const mine = (await collect(store().readAll())).filter(({ stream }) => streams.includes(stream));
      expect(mine.map(({ data }) => data.toString())).toEqual(
        Array.from({ length: 9 }, (_, n) => JSON.stringify({ n })),
      );
      expect(
        mine.every(({ position }, index) => index === 0 || position > (mine[index - 1]?.position ?? 0n)),
      ).toBe(true);
    });

    it('gives the events of one append side by side, whatever else is appended meanwhile', async () => {
      const [last] = await collect(store().readAll({ direction: 'backwards', maxCount: 1 }));
      const appended: string[][] = [];
      const write = async (streams: readonly string[], size: number): Promise<void> => {
        for (let count = 0; count < 5; count++) {
          const appends = streams.map((stream) => append(stream, count * size - 1, ...newEvents(size)));
          appended.push(...appends.map(({ events }) => idsOf(events)));
          const results = await store().append(appends);
          expect(results.map(brief)).toEqual(streams.map(() => `appended ${(count + 1) * size - 1}`));
        }
      };
      const sizes = [1, 2, 3, 4, 5, 6];
      await Promise.all([
        ...sizes.map((size) => write([newStream()], size)),
        ...sizes.map((size) => write([newStream(), newStream(), newStream()], size)),
      ]);
      const log = idsOf(await collect(store().readAll(last === undefined ? {} : { after: last.position })));
      expect(log).toHaveLength(appended.flat().length);
      for (const ids of appended) {
        const at = log.indexOf(ids[0] ?? '');
        expect(log.slice(at, at + ids.length)).toEqual(ids);
      }
    });

    it('gives the same events as the streams do', async () => {
      const stream = newStream();
      await appendOne(store(), stream, -1, newEvents(3));
      const ofLog = (await collect(store().readAll())).filter((event) => event.stream === stream);
      expect(ofLog).toEqual(await collect(store().readStream(stream)));
    });

    it('starts after a position and ends before it, exclusive both ways', async () => {
      const stream = newStream();
      await appendOne(store(), stream, -1, newEvents(5));
      const [, , third] = await collect(store().readStream(stream));
      const after = third?.position ?? 0n;
      const mine = async (direction: 'forwards' | 'backwards'): Promise<number[]> =>
        (await collect(store().readAll({ after, direction })))
          .filter((event) => event.stream === stream)
          .map(({ revision }) => revision);
      expect(await mine('forwards')).toEqual([3, 4]);
      expect(await mine('backwards')).toEqual([1, 0]);
    });

    it('has the same events page by page, where it reads by pages', async () => {
      const stream = newStream();
      const texts = ['', 'é😀\u2028', '\u0000', 'x'.repeat(700_000), 'y'.repeat(700_000)];
      await appendOne(
        store(),
        stream,
        -1,
        texts.map((text) => newEvent({ text })),
      );
      await fill(store(), newStream(), MANY);
      const all = await collect(store().readAll());
      for (const after of [undefined, all[0]?.position, all.at(-2)?.position, all.at(-1)?.position]) {
        const pages = store().readPages?.(after);
        if (pages === undefined) return;
        const entries = [];
        for await (const page of pages) {
          expect(page.length).toBeGreaterThan(0);
          entries.push(...page);
        }
        const wanted = all.filter(({ position }) => after === undefined || position > after);
        expect(entries).toEqual(
          wanted.map(({ id: _, data, metadata, ...rest }) => ({
            ...rest,
            data: data.toString(),
            metadata: metadata.toString(),
          })),
        );
      }
    });

    it('stops at maxCount, in both directions', async () => {
      const stream = newStream();
      await appendOne(store(), stream, -1, newEvents(3));
      const recorded = await collect(store().readStream(stream));
      const after = recorded[0]?.position ?? 0n;
      expect(await collect(store().readAll({ after, maxCount: 2 }))).toEqual(recorded.slice(1));
      const last = await collect(store().readAll({ direction: 'backwards', maxCount: 2 }));
      expect(last).toEqual(recorded.slice(1).reverse());
      expect(await collect(store().readAll({ maxCount: 0 }))).toEqual([]);
    });

    it('reads across pages, in both directions', async () => {
      const first = newStream();
      await appendOne(store(), first, -1, newEvents(1));
      const [start] = await collect(store().readStream(first));
      const stream = newStream();
      const ids = idsOf(await fill(store(), stream, MANY));
      const forwards = await collect(store().readAll({ after: start?.position ?? 0n }));
      expect(idsOf(forwards)).toEqual(ids);
      const backwards = await collect(store().readAll({ direction: 'backwards', maxCount: MANY }));
      expect(idsOf(backwards)).toEqual([...ids].reverse());
    });

    it('yields nothing after the last position', async () => {
      const stream = newStream();
      await appendOne(store(), stream, -1, newEvents(1));
      const [last] = await collect(store().readStream(stream));
      expect(await collect(store().readAll({ after: last?.position ?? 0n }))).toEqual([]);
    });
  });
}
