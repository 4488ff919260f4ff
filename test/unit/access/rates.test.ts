import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Rates } from '../../../src/application/access/rates.js';

describe('rates of callers', () => {
  let now = 0;
  beforeEach(() => {
    now = 1_000_000;
  });
  const clock = (): number => now;
  const times = (count: number, rates: Rates, caller = 'a'): number[] =>
    Array.from({ length: count }, () => rates.take(caller));

  it('let as many through at once as there may be in a second, and then one each interval', () => {
    const rates = new Rates(4, clock);
    expect(times(6, rates)).toEqual([0, 0, 0, 0, 250, 250]);
    now += 249;
    expect(rates.take('a')).toBe(1);
    now += 1;
    expect(times(2, rates)).toEqual([0, 250]);
    now += 10_000;
    expect(times(5, rates)).toEqual([0, 0, 0, 0, 250]);
  });

  it('are of each caller alone', () => {
    const rates = new Rates(1, clock);
    expect(times(2, rates, 'a')).toEqual([0, 1000]);
    expect(times(2, rates, 'b')).toEqual([0, 1000]);
  });

  it.each([3, 7, 1000, 999_999])('hold for %d a second, whatever that is in milliseconds', (perSecond) => {
    const rates = new Rates(perSecond, clock);
    const count = Math.min(perSecond, 5000);
    expect(times(count, rates).every((wait) => wait === 0)).toBe(true);
    if (count === perSecond) expect(rates.take('a')).toBeGreaterThan(0);
  });

  it('forget callers that are due nothing, and none of the others', () => {
    const rates = new Rates(1, clock);
    expect(times(1, rates, 'late')).toEqual([0]);
    for (let caller = 0; caller < 30_000; caller++) rates.take(String(caller));
    expect(rates.take('late')).toBe(1000);
    now += 1000;
    for (let caller = 30_000; caller < 80_000; caller++) rates.take(String(caller));
    const { size } = (rates as unknown as { busyUntil: Map<string, number> }).busyUntil;
    expect(size).toBeLessThanOrEqual(60_000);
    expect(rates.take('late')).toBe(0);
  });

  it('let who is patient wait for its turn, in order, and count it', () => {
    const rates = new Rates(2, clock);
    const waits = Array.from({ length: 5 }, () => rates.reserve('a'));
    expect(waits).toEqual([0, 0, 500, 1000, 1500]);
    expect(rates.take('a')).toBe(2000);
    now += 1999;
    expect(rates.take('a')).toBe(1);
    now += 1;
    expect(rates.take('a')).toBe(0);
  });

  it('are never more in any time than fit into it and a second besides, patient or not', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), fc.boolean()), { maxLength: 300 }),
        fc.integer({ min: 1, max: 5000 }),
        (perSecond, asked, windowMs) => {
          now = 0;
          const rates = new Rates(perSecond, clock);
          const gone: number[] = [];
          for (const [pause, isPatient] of asked) {
            now += pause;
            const wait = isPatient ? rates.reserve('a') : rates.take('a');
            if (isPatient || wait === 0) gone.push(now + wait);
          }
          // Those that wait go after those that went before.
          expect(gone).toEqual([...gone].sort((a, b) => a - b));
          const most = Math.ceil((perSecond * windowMs) / 1000) + perSecond;
          for (const [index, time] of gone.entries()) {
            const within = gone.slice(index).filter((later) => later < time + windowMs - 0.01).length;
            expect(within).toBeLessThanOrEqual(most);
          }
        },
      ),
    );
  });

  it('are never more than twice the count in any second', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 300 }),
        (perSecond, pauses) => {
          now = 0;
          const rates = new Rates(perSecond, clock);
          const taken: number[] = [];
          for (const pause of pauses) {
            now += pause;
            if (rates.take('a') === 0) taken.push(now);
          }
          for (const [index, time] of taken.entries()) {
            const inSecond = taken.slice(index).filter((later) => later < time + 1000).length;
            expect(inSecond).toBeLessThanOrEqual(2 * perSecond);
          }
        },
      ),
    );
  });
});
