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
const TRIES = 12;

describe('One message', () => {
  const unit = unitMs();

  it.each(WORST_CASES.map((worst) => [worst.name, worst] as const))(
    'does not hold up the event loop: %s',
    async (_, worst) => {
      const ms = await timeOf(worst, BYTES);
      expect(ms / unit).toBeLessThan(MAX_UNITS);
      // What is done in no time may be all noise.
      if (ms < 5 * unit) return;
      // The least of several is what it takes; the rest is what else the machine does.
      let [whole, quarter] = [ms, Infinity];
      for (let tries = 0; tries < TRIES && !(whole / quarter < MAX_GROWTH); tries++) {
        whole = Math.min(whole, await timeOf(worst, BYTES));
        quarter = Math.min(quarter, await timeOf(worst, BYTES / 4));
      }
      const growth = whole / quarter;
      expect(growth).toBeLessThan(MAX_GROWTH);
    },
  );
});
