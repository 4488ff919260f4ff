import { describe, expect, it } from '@jest/globals';
import { readUpdate } from '../../src/application/read-command.js';
import { DEFAULT_LIMITS } from '../../src/replica/limits.js';
import { mutate, randomOf } from '../fuzz/mutate.js';
import { complaintAbout } from '../fuzz/oracle.js';
import { poisonCases } from '../support/poison/index.js';

const CASES = poisonCases();

describe('What the fuzzer holds the reader against', () => {
  it('has nothing to say of what the corpus of bad updates becomes', () => {
    for (const { name, bytes } of CASES) {
      const complaint = complaintAbout(bytes, readUpdate(bytes, DEFAULT_LIMITS));
      expect({ name, complaint }).toEqual({ name, complaint: null });
    }
  });

  it('has something to say of every other outcome', () => {
    for (const { name, bytes } of CASES) {
      const wrong = readUpdate(bytes, DEFAULT_LIMITS).ok
        ? ({ ok: false, refusal: { code: 400, message: 'Invalid JSON' } } as const)
        : ({ ok: true, request: { state: {} } } as const);
      expect({ name, complains: complaintAbout(bytes, wrong) !== null }).toEqual({ name, complains: true });
    }
    const bytes = Buffer.from('{"state":{"reported":{"a":1}},"version":2}');
    for (const request of [
      { state: { reported: { a: 2 } }, version: 2 },
      { state: { reported: { a: 1 } } },
      { state: { reported: { a: 1 } }, version: 2, clientToken: 't' },
    ]) {
      expect(complaintAbout(bytes, { ok: true, request })).not.toBeNull();
    }
  });

  it('makes the same inputs of the same seed', () => {
    const made = [1, 1, 2].map((seed) => {
      const random = randomOf(seed);
      const corpus = [Buffer.from('{"state":{}}'), Buffer.from('[1,2]')];
      return Array.from({ length: 50 }, () =>
        mutate(Buffer.from('{"a":1}'), corpus, random).toString('hex'),
      ).join();
    });
    expect(made[0]).toBe(made[1]);
    expect(made[0]).not.toBe(made[2]);
  });
});
