import fc from '../../node_modules/fast-check/lib/fast-check.js';

const MAX_RUN_COUNT = 100;

/**
 * fast-check as the mutants meet it: at most 100 runs of a property, the same for all of them and each time, and the
 * first failure ends it.
 */
export default {
  ...fc,
  assert: (property, { numRuns = MAX_RUN_COUNT, ...options } = {}) =>
    fc.assert(property, {
      seed: 1,
      ...options,
      numRuns: Math.min(numRuns, MAX_RUN_COUNT),
      endOnFailure: true,
    }),
};
