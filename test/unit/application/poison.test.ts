import { describe, expect, it } from '@jest/globals';
import { readEnvelopeOnly, readObject, readUpdate } from '../../../src/application/read-command.js';
import { DEFAULT_LIMITS, isReplicaId } from '../../../src/replica/limits.js';
import { deviceIdOf } from '../../../src/application/incoming.js';
import { ILLEGAL_IDS, LEGAL_IDS, type PoisonCase, poisonCases } from '../../support/poison/index.js';

const CASES = poisonCases();

/** What the reader alone can know: not the version of a device, nor how large its state would be. */
function becomesOf({ bytes }: PoisonCase): PoisonCase['expected'] {
  const reading = readUpdate(bytes, DEFAULT_LIMITS);
  return reading.ok ? 'accepted' : { code: reading.refusal.code, says: reading.refusal.message };
}

function isAsExpected({ expected }: PoisonCase, outcome: PoisonCase['expected']): boolean {
  const isLater =
    expected !== 'accepted' && (expected.code === 409 || expected.says.startsWith('The state would'));
  if (expected === 'accepted' || isLater) return outcome === 'accepted';
  return outcome !== 'accepted' && outcome.code === expected.code && outcome.says.startsWith(expected.says);
}

describe('The corpus of bad updates', () => {
  it('has thousands of them, each once', () => {
    expect(CASES.length).toBeGreaterThan(4000);
    expect(CASES.filter(({ expected }) => expected === 'accepted').length).toBeGreaterThan(1000);
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
  });

  it('is read as it should be, from the first to the last', () => {
    const wrong = CASES.filter((each) => !isAsExpected(each, becomesOf(each)));
    expect(wrong.map((each) => ({ name: each.name, expected: each.expected, was: becomesOf(each) }))).toEqual(
      [],
    );
  });

  it('keeps what it is told to keep', () => {
    for (const { name, bytes, kept } of CASES) {
      if (kept === undefined) continue;
      const reading = readUpdate(bytes, DEFAULT_LIMITS);
      let value: unknown = reading.ok ? reading.request.state : undefined;
      for (const key of kept.path) value = (value as Record<string, unknown>)[key];
      expect({ name, value }).toEqual({ name, value: kept.value });
    }
  });

  it('is refused in the same way where a get, a delete or another request has it for its body', () => {
    const ofState = /^(Missing required node|State|Desired|Reported|The state would)/;
    for (const { name, bytes, expected } of CASES) {
      if (bytes.length === 0) continue;
      const envelope = readEnvelopeOnly(bytes, DEFAULT_LIMITS);
      const other = readObject(bytes);
      const isForState = expected === 'accepted' || ofState.test(expected.says) || expected.code === 409;
      if (isForState) continue;
      expect({ name, ok: envelope.ok, code: envelope.ok ? 0 : envelope.refusal.code }).toEqual({
        name,
        ok: false,
        code: expected.code,
      });
      // It has no version and no token, and its length is the server's business.
      if (
        /^(Invalid [vc]|The request is \d|Key is|Duplicate key: '(state|version|clientToken)')/.test(
          expected.says,
        )
      )
        continue;
      if (expected.says.startsWith('The request is ') && expected.code === 413) continue;
      expect({ name, ok: other.ok }).toEqual({ name, ok: false });
    }
  });
});

describe('An id', () => {
  it.each(LEGAL_IDS)('may be %j', (id) => {
    expect(isReplicaId(id)).toBe(true);
    expect(deviceIdOf(Buffer.from(id))).toBe(id);
  });

  it.each(
    ILLEGAL_IDS.map(
      (id) => [typeof id === 'string' ? id.slice(0, 40) : id.toString('hex').slice(0, 40), id] as const,
    ),
  )('may not be %j', (_, id) => {
    expect(deviceIdOf(typeof id === 'string' ? Buffer.from(id) : id)).toBeNull();
    if (typeof id === 'string') expect(isReplicaId(id)).toBe(false);
  });
});
