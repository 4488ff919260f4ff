import { describe, expect, it } from '@jest/globals';
import { FAULTS } from './faults.js';
import { simulate } from './support.js';

/** Within so many seeds each planted fault must be found. */
const SEED_COUNT = '400';
/** Where to begin with what few seeds find, to be there sooner. */
const FROM: Readonly<Record<string, string>> = { 'a refusal is decided on what memory kept': '1301' };
const TIMEOUT_MS = 300_000;

describe('a planted fault', () => {
  it.each(Object.keys(FAULTS).map((name, index) => [name, String(index + 1)]))(
    'is found: %s',
    async (name, fault) => {
      const { code, output } = await simulate(
        '--seeds',
        SEED_COUNT,
        '--from',
        FROM[name] ?? '1',
        '--stop-at-first',
        '--fault',
        fault,
      );

      expect(output).toMatch(/^seed \d+: .+$/m);
      expect(output).toMatch(new RegExp(`npm run simulate -- --seed \\d+.* --fault ${fault}$`, 'm'));
      expect(code).toBe(1);
    },
    TIMEOUT_MS,
  );
});
