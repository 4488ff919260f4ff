import { describe, expect, it } from '@jest/globals';
import { timeOf, unitMs } from '../../support/poison/time-worst.js';
import { WORST_CASES } from '../../support/poison/worst.js';

const BYTES = 120_000;
/**
 * In units of work of the same machine, measured beside it: reading and writing 128 KiB of JSON, which is some 0.7 ms where
 * this was written. Jest's modules run several times slower than the built ones, which `npm run bench:worst` measures; so
 * this bound is for what gets out of hand, and the growth for what grows with the square.
 */
const MAX_UNITS = 500;
/** Four times as much may take four times as long, and as much again for noise; with the square it would be sixteen. */
const MAX_GROWTH = 9;

describe('One message', () => {
  const unit = unitMs();

  it.each(WORST_CASES.map((worst) => [worst.name, worst] as const))(
    'does not hold up the event loop: %s',
    async (_, worst) => {
      const ms = await timeOf(worst, BYTES);
      expect(ms / unit).toBeLessThan(MAX_UNITS);
      // What is done in no time may be all noise.
      if (ms < 5 * unit) return;
      let growth = Infinity;
      for (let tries = 0; tries < 3 && growth > MAX_GROWTH; tries++) {
        growth = Math.min(growth, (await timeOf(worst, BYTES)) / (await timeOf(worst, BYTES / 4)));
      }
      expect(growth).toBeLessThan(MAX_GROWTH);
    },
  );
});
