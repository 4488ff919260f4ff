import { describe, expect, it } from '@jest/globals';
import { type JsonObject } from '../../../src/replica/json.js';
import { mergePatchBetween } from '../../../src/replica/merge-patch.js';

describe('The merge patch between two sections', () => {
  it.each<[rule: string, from: JsonObject, to: JsonObject, patch: JsonObject]>([
    ['is empty where they are equal', { a: 1, b: [1], c: { d: 1 } }, { c: { d: 1 }, b: [1], a: 1 }, {}],
    ['removes what is gone', { a: 1, b: 2 }, { b: 2 }, { a: null }],
    ['removes only the member that is gone', { a: { b: 1, c: 2 } }, { a: { c: 2 } }, { a: { b: null } }],
    ['sets what is new', {}, { a: 1, b: { c: {} } }, { a: 1, b: { c: {} } }],
    ['sets only the member that differs', { a: { b: 1, c: 2 } }, { a: { b: 1, c: 3 } }, { a: { c: 3 } }],
    ['sets an object where a scalar stood', { a: 1 }, { a: { b: 1 } }, { a: { b: 1 } }],
    ['sets a scalar where an object stood', { a: { b: 1 } }, { a: 1 }, { a: 1 }],
    ['sets an array whole', { a: [1, 2] }, { a: [1, 3] }, { a: [1, 3] }],
    ['does not take an inherited name for a value', {}, { toString: 1 }, { toString: 1 }],
    ['removes what has an inherited name', { toString: 1 }, {}, { toString: null }],
  ])('%s', (_rule, from, to, patch) => {
    expect(mergePatchBetween(from, to)).toStrictEqual(patch);
  });
});
