import { describe, expect, it } from '@jest/globals';
import { guard } from '../../../bench/support/guarding.js';

/** A bench that measures these ratios, one after the other; an error is a run that fails. */
function benchOf(...runs: readonly (number | Error)[]): {
  measure: () => Promise<number>;
  count: () => number;
} {
  let count = 0;
  const measure = async (): Promise<number> => {
    const run = runs[count++];
    if (run === undefined || run instanceof Error) throw run ?? new Error('one run too many');
    return run;
  };
  return { measure, count: () => count };
}

describe('The guard of the benches', () => {
  it('takes what is not far below the recorded ratio, in one run', async () => {
    const { measure, count } = benchOf(0.51);
    expect(await guard('throughput', 0.55, measure)).toEqual({
      isKept: true,
      text: 'bench guard: throughput 0.51 (recorded 0.55, line 0.33) ok',
    });
    expect(count()).toBe(1);
  });

  it.each([
    ['the first run was disturbed', [0.2, 0.4], 2],
    ['two were', [0.2, 0.1, 0.33], 3],
    ['a run failed', [new Error('no broker'), 0.4], 2],
  ])('measures again and takes the best where %s', async (_, runs, tries) => {
    const { measure, count } = benchOf(...runs);
    expect(await guard('read', 0.5, measure)).toMatchObject({ isKept: true });
    expect(count()).toBe(tries);
  });

  it.each([
    ['is too low in three runs', [0.29, 0.21, 0.25], '0.29 (recorded 0.50, line 0.30) SLOWER'],
    ['is none', [NaN, NaN, NaN], 'failed: no ratio (recorded 0.50, line 0.30) SLOWER'],
    [
      'cannot be had',
      Array(3).fill(new Error('no broker')),
      'failed: no broker (recorded 0.50, line 0.30) SLOWER',
    ],
  ])('fails where the ratio %s', async (_, runs: (number | Error)[], text) => {
    const { measure, count } = benchOf(...runs);
    expect(await guard('read', 0.5, measure)).toEqual({ isKept: false, text: `bench guard: read ${text}` });
    expect(count()).toBe(3);
  });

  it('fails for a bench without a recorded ratio', async () => {
    expect(await guard('other', NaN, benchOf(1, 1, 1).measure)).toMatchObject({ isKept: false });
  });
});
