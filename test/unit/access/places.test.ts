import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Places } from '../../../src/application/access/places.js';

describe('places', () => {
  it('are bounded for each, and those of nobody else', () => {
    const places = new Places(3);
    expect([places.take('a', 2), places.take('a', 2), places.take('a')]).toEqual([true, false, true]);
    expect(places.take('a')).toBe(false);
    expect(places.take('b', 3)).toBe(true);
    places.give('a', 2);
    expect([places.take('a', 2), places.take('a')]).toEqual([true, false]);
  });

  it('are without bounds at 0', () => {
    const places = new Places(0);
    expect(Array.from({ length: 1000 }, () => places.take('a')).every(Boolean)).toBe(true);
    places.give('a', 1000);
  });

  it('hold never more than there may be, and nothing when all is given back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10 }),
        fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 0, max: 4 }), fc.boolean())),
        (max, steps) => {
          const places = new Places(max);
          const held = { a: [] as number[], b: [] as number[] };
          const sum = (list: readonly number[]): number => list.reduce((all, one) => all + one, 0);
          for (const [who, count, isTaken] of steps) {
            const list = held[who];
            if (isTaken) {
              const hasRoom = sum(list) + count <= max;
              expect(places.take(who, count)).toBe(hasRoom);
              if (hasRoom) list.push(count);
            } else {
              const given = list.pop();
              if (given !== undefined) places.give(who, given);
            }
          }
          for (const who of ['a', 'b'] as const) for (const count of held[who]) places.give(who, count);
          expect((places as unknown as { held: Map<string, number> }).held.size).toBe(0);
        },
      ),
    );
  });
});
