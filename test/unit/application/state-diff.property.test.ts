import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import jsonPatch from 'fast-json-patch';
import { diffStates } from '../../../src/application/state-diff.js';
import { equal, type JsonObject, type JsonValue } from '../../../src/replica/json.js';
import { section } from '../support/arbitraries.js';
import { applyMergePatch } from '../support/merge-patch.js';
import { deepFreeze } from '../support/scenario.js';

const state = fc
  .record({ reported: section, desired: section }, { requiredKeys: [] })
  .map((sections) => sections as JsonObject);

describe('The difference of two states', () => {
  it('makes the one of the other, as a JSON Patch and as a merge patch', () => {
    fc.assert(
      fc.property(state, state, (from, to) => {
        deepFreeze(from);
        deepFreeze(to);
        const { patch, mergePatch } = diffStates(from, to);
        const sent = JSON.parse(JSON.stringify({ patch, mergePatch })) as typeof mergePatch;
        // Not structuredClone: what stands twice in it would be one object in the clone too.
        const copy = JSON.parse(JSON.stringify(from)) as JsonObject;
        const patched = jsonPatch.applyPatch(copy, sent['patch'] as never, true).newDocument;
        expect(equal(patched, to)).toBe(true);
        expect(equal(applyMergePatch(from, sent['mergePatch'] as JsonValue), to)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it('is empty where they are equal', () => {
    fc.assert(
      fc.property(state, (from) => {
        expect(diffStates(from, structuredClone(from))).toEqual({ patch: [], mergePatch: {} });
      }),
    );
  });

  it('names no more than what differs', () => {
    const from = { reported: { a: { b: 1, c: 2 }, d: [1, 2] } };
    const to = { reported: { a: { b: 1, c: 3 }, d: [1, 2], e: {} } };
    expect(diffStates(from, to).mergePatch).toEqual({ reported: { a: { c: 3 }, e: {} } });
  });
});
