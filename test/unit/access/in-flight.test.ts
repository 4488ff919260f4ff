import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { InFlight } from '../../../src/application/access/in-flight.js';

const OVERHEAD = 4096;

describe('what is in flight', () => {
  it('is bounded by its bytes and what each takes besides', () => {
    const inFlight = new InFlight(3 * OVERHEAD + 100);
    expect([inFlight.take(50), inFlight.take(50), inFlight.take(1), inFlight.take(0)]).toEqual([
      true,
      true,
      false,
      true,
    ]);
    inFlight.give(0);
    expect(inFlight.take(1)).toBe(false);
    inFlight.give(50);
    expect(inFlight.take(50)).toBe(true);
  });

  it('lets those in who wait, in their turn, and nobody before them', () => {
    const inFlight = new InFlight(2 * OVERHEAD);
    const order: string[] = [];
    expect([inFlight.take(0), inFlight.take(0)]).toEqual([true, true]);
    inFlight.wait(OVERHEAD, () => order.push('large'));
    const leave = inFlight.wait(0, () => order.push('gone'));
    inFlight.wait(0, () => order.push('small'));
    inFlight.give(0);
    expect(order).toEqual([]);
    expect(inFlight.take(0)).toBe(false);
    leave();
    inFlight.give(0);
    expect(order).toEqual(['large']);
    inFlight.give(OVERHEAD);
    expect(order).toEqual(['large', 'small']);
    expect(inFlight.take(0)).toBe(true);
  });

  it('goes on to the next where the first of those who wait has gone', () => {
    const inFlight = new InFlight(2 * OVERHEAD);
    let isIn = false;
    inFlight.take(0);
    const leave = inFlight.wait(OVERHEAD, () => undefined);
    inFlight.wait(0, () => (isIn = true));
    leave();
    expect(isIn).toBe(true);
  });

  it('is never more than there may be, and all who wait come in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 9000 }), fc.boolean()), { maxLength: 60 }),
        fc.infiniteStream(fc.boolean()),
        (asked, coins) => {
          const max = 5 * OVERHEAD;
          const inFlight = new InFlight(max);
          const held: number[] = [];
          let waitingCount = 0;
          const check = (): void => {
            const used = held.reduce((sum, bytes) => sum + bytes + OVERHEAD, 0);
            expect(used).toBeLessThanOrEqual(max);
          };
          const release = (): void => {
            const bytes = held.shift();
            if (bytes !== undefined) inFlight.give(bytes);
            check();
          };
          for (const [bytes, isPatient] of asked) {
            if (inFlight.take(bytes)) held.push(bytes);
            else if (isPatient) {
              waitingCount++;
              inFlight.wait(bytes, () => {
                waitingCount--;
                held.push(bytes);
              });
            }
            check();
            if (coins.next().value === true) release();
          }
          while (held.length > 0) release();
          expect(waitingCount).toBe(0);
        },
      ),
    );
  });
});
