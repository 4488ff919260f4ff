import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  bucketOf,
  CONVERGENCE_BOUNDS_MS,
  countSettled,
  hourAfter,
  hourOf,
  quantileMs,
} from '../../../src/application/convergence-counts.js';
import { fleetConvergence, readPeriod } from '../../../src/application/fleet-convergence.js';
import { type OutOfSyncQuery } from '../../../src/application/ports/read-model.js';

const HOUR = 3_600_000;

describe('The buckets of durations', () => {
  it('ascend, and each holds what is not longer than its bound', () => {
    expect([...CONVERGENCE_BOUNDS_MS].sort((a, b) => a - b)).toEqual(CONVERGENCE_BOUNDS_MS);
    for (const [bucket, bound] of CONVERGENCE_BOUNDS_MS.entries()) {
      expect(bucketOf(bound)).toBe(bucket);
      expect(bucketOf(bound + 1)).toBe(bucket + 1);
    }
  });

  it('count by the hour in which a change was settled', () => {
    const at = (askedAt: number, settledAt: number) =>
      ({ version: 1, askedAt, settledAt, outcome: 'reached' }) as const;
    const all = [
      at(HOUR - 10, HOUR - 1),
      at(HOUR - 10, HOUR),
      at(HOUR - 20, HOUR + 1),
      at(HOUR + 5, HOUR + 5),
    ];
    expect(countSettled(all)).toEqual([
      { hour: 0, outcome: 'reached', bucket: 1, count: 1, sumMs: 9 },
      { hour: HOUR, outcome: 'reached', bucket: 1, count: 2, sumMs: 31 },
      { hour: HOUR, outcome: 'reached', bucket: 0, count: 1, sumMs: 0 },
    ]);
    expect([hourOf(HOUR - 1), hourOf(HOUR), hourAfter(HOUR), hourAfter(HOUR + 1)]).toEqual([
      0,
      HOUR,
      HOUR,
      2 * HOUR,
    ]);
  });

  it('give a quantile that is in the bucket of the true one', () => {
    const duration = fc.oneof(
      fc.integer({ min: 0, max: 20_000 }),
      fc.integer({ min: 0, max: 4_000_000_000 }),
    );
    fc.assert(
      fc.property(
        fc.array(duration, { minLength: 1, maxLength: 60 }),
        fc.constantFrom(0.5, 0.9, 0.99),
        (all, share) => {
          const counts = CONVERGENCE_BOUNDS_MS.map(() => 0).concat(0);
          for (const each of all) counts[bucketOf(each)] = (counts[bucketOf(each)] ?? 0) + 1;
          const sorted = [...all].sort((a, b) => a - b);
          const truth = sorted[Math.ceil(share * all.length) - 1] ?? NaN;
          const estimate = quantileMs(counts, share) ?? NaN;
          const bucket = bucketOf(truth);
          const last = CONVERGENCE_BOUNDS_MS.length - 1;
          expect(estimate).toBeGreaterThanOrEqual(CONVERGENCE_BOUNDS_MS[bucket - 1] ?? 0);
          expect(estimate).toBeLessThanOrEqual(CONVERGENCE_BOUNDS_MS[Math.min(bucket, last)] ?? NaN);
        },
      ),
    );
    expect(quantileMs([0, 0], 0.5)).toBeNull();
  });
});

describe('A period', () => {
  it('is made of whole hours, by default the last 24', () => {
    const now = 1_800_000_123_456;
    const value = { from: hourOf(now - 24 * HOUR), to: hourAfter(now) };
    expect(readPeriod({}, now)).toEqual({ ok: true, value });
    expect(readPeriod({ from: '1970-01-01T00:59:59Z', to: String(HOUR) }, now)).toEqual({
      ok: true,
      value: { from: 0, to: HOUR },
    });
  });

  it.each([
    [{ from: 'yesterday' }, 'Invalid from'],
    [{ to: ['1', '2'] }, 'Invalid to'],
    [{ from: '2', to: '1' }, 'Invalid from: it is later than to'],
  ])('is refused: %j', (sent, message) => {
    expect(readPeriod(sent, 5)).toMatchObject({
      refusal: { code: 400, message: expect.stringContaining(message) },
    });
  });
});

describe('The convergence of a fleet', () => {
  it('puts each device into the bar of its age', async () => {
    const now = 1_800_000_000_000;
    const ages = [0, 100, 101, 60_000, 60_001, 31 * 24 * HOUR];
    const model = {
      settled: async () => ({
        counts: [{ outcome: 'reached' as const, bucket: 4, count: 2, sumMs: 1500 }],
        position: 7n,
      }),
      outOfSync: async ({ bounds, oldestCount }: OutOfSyncQuery) => {
        expect(oldestCount).toBe(10);
        const all = [-Infinity, ...bounds, Infinity];
        const counts = all.slice(1).map((upTo, n) => {
          return ages.filter((age) => now - age > Number(all[n]) && now - age <= upTo).length;
        });
        return {
          counts,
          openCount: 9,
          oldest: [{ deviceId: 'a', since: now - 5, outstanding: 1 }],
          position: 8n,
        };
      },
    };
    const { position, body } = await fleetConvergence(model, { from: 0, to: HOUR }, now);
    expect(position).toBe(7n);
    expect(body).toMatchObject({ from: 0, to: HOUR });
    expect(body.settled.reached).toMatchObject({ count: 2, sumMs: 1500, p50Ms: 750 });
    expect(body.settled.superseded).toMatchObject({ count: 0, sumMs: 0, p50Ms: null });
    expect(body.outOfSync).toMatchObject({
      devices: 6,
      openChanges: 9,
      oldest: [{ deviceId: 'a', forMs: 5 }],
    });
    expect(body.outOfSync.histogram.filter(({ count }) => count > 0)).toEqual([
      { upToMs: 100, count: 2 },
      { upToMs: 200, count: 1 },
      { upToMs: 60_000, count: 1 },
      { upToMs: 120_000, count: 1 },
      { upToMs: null, count: 1 },
    ]);
  });
});
