import { expect } from 'expect';
import { bind } from 'jest-each';

/**
 * What the unit tests import from `@jest/globals`, for Mocha. Mocha loads the tests once for all mutants, where Jest
 * loads them anew for every one of them.
 */
const describe = Object.assign((...args) => globalThis.describe(...args), {
  each: bind((...args) => globalThis.describe(...args)),
});
const it = Object.assign((...args) => globalThis.it(...args), {
  each: bind((...args) => globalThis.it(...args)),
});
const beforeAll = (...args) => globalThis.before(...args);

export { beforeAll, describe, expect, it };
