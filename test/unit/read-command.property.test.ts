import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readEnvelopeOnly, readUpdate } from '../../src/application/read-command.js';
import { type JsonObject, type JsonValue } from '../../src/replica/json.js';
import { DEFAULT_LIMITS } from '../../src/replica/limits.js';
import { emptyReplica } from '../../src/replica/replica.js';
import { key, patch, requestedState } from './support/arbitraries.js';
import { execute, expectSame, origin, RECORD } from './support/scenario.js';
import { problemsOf } from './support/text-oracle.js';

const read = (text: string) => readUpdate(Buffer.from(text), DEFAULT_LIMITS);

const space = fc.constantFrom<number | string | undefined>(undefined, 1, 4, '\t', ' \n\r');

/** JSON text with members in any order and any number of times, odd numbers and odd strings. */
const { text: oddText } = fc.letrec<{ text: string }>((tie) => ({
  text: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.constantFrom('1', '0', '-0', '1e-400', '1e400', '0e9', '9007199254740992', '0.1', 'true', 'null'),
    fc.constantFrom(
      '"x"',
      '"\\u0000"',
      '"\\ud800"',
      '"\\ud83d\\ude00"',
      '"\\"a\\":1"',
      '"{[:,"',
      '"\\\\"',
      '"é"',
    ),
    fc.array(tie('text'), { maxLength: 3 }).map((items) => `[${items.join(' ,')}]`),
    fc
      .array(
        fc.tuple(
          fc.constantFrom(
            '"a"',
            '"\\u0061"',
            '"b"',
            '"c"',
            '""',
            '"toString"',
            '"\\""',
            '"\\\\"',
            '"__proto__"',
          ),
          tie('text'),
        ),
        { maxLength: 3 },
      )
      .map((members) => `{${members.map(([name, value]) => `${name} :${value}`).join()}}`),
  ),
}));

describe('Any state without what is forbidden', () => {
  it('is read as JSON.parse reads it, however it is written', () => {
    fc.assert(
      fc.property(requestedState, space, fc.option(fc.nat()), (state, indent, version) => {
        const value = { ...(version === null ? {} : { version }), state, clientToken: 'é"' };
        const text = JSON.stringify(value, null, indent);
        expectSame(read(text), { ok: true, request: JSON.parse(text) as unknown });
      }),
      { numRuns: 1_000 },
    );
  });

  it('is read as JSON.parse reads it, whatever its strings and numbers are', () => {
    const value = fc.jsonValue({ maxDepth: 3, stringUnit: 'binary', depthSize: 'small' });
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), value, { maxKeys: 5 }), (section) => {
        const text = JSON.stringify({ state: { reported: section } });
        const isFine = problemsOf(text, DEFAULT_LIMITS.maxDepth + 2).size === 0;
        expect(read(text)).toMatchObject(
          isFine ? { ok: true, request: JSON.parse(text) as object } : { ok: false, refusal: { code: 400 } },
        );
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('Any text', () => {
  it('is accepted only where it has none of the problems of the contract', () => {
    fc.assert(
      fc.property(oddText, fc.boolean(), (odd, inArray) => {
        const text = `{"state":{"desired":{"d":${inArray ? `[${odd}]` : odd}}},"version":1}`;
        const problems = problemsOf(text, DEFAULT_LIMITS.maxDepth + 2);
        const reading = read(text);
        expectSame(reading.ok, problems.size === 0);
        if (reading.ok) expectSame(reading.request, JSON.parse(text));
        else if (problems.size === 1) {
          const says = {
            duplicate: 'Duplicate key',
            'forbidden key': 'Key is not allowed',
            'null in array': 'An array cannot hold null',
            'inexact number': 'A number cannot be held exactly',
            'bad string': 'A string or key holds',
            depth: 'JSON contains too many levels of nesting',
          };
          for (const problem of problems) expect(reading.refusal.message).toContain(says[problem]);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('with a key that stands twice in one object is refused for that', () => {
    /** Writes a value, and in the object that is `at`th in order its first key once more. */
    const doubled = (value: JsonValue, at: { left: number }): string => {
      if (Array.isArray(value)) return `[${value.map((each) => doubled(each, at)).join()}]`;
      if (typeof value !== 'object' || value === null) return JSON.stringify(value);
      const entries = Object.entries(value);
      const first = entries[0];
      const extra = first !== undefined && at.left-- === 0 ? [first] : [];
      const members = [...entries, ...extra].map(
        ([name, each]) => `${JSON.stringify(name)}:${doubled(each, at)}`,
      );
      return `{${members.join()}}`;
    };
    fc.assert(
      fc.property(patch, key, fc.nat({ max: 6 }), (section, name, nth) => {
        const whole: JsonObject = { ...section, [name]: { x: [{ y: 1 }] } };
        const at = { left: nth };
        const text = `{"state":{"reported":${doubled(whole, at)}}}`;
        fc.pre(at.left < 0);
        const reading = read(text);
        expectSame(reading.ok, false);
        if (!reading.ok) expect(reading.refusal.message).toMatch(/^Duplicate key: /);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('Whatever arrives', () => {
  const polluting = [
    '{"state":{"reported":{"__proto__":{"polluted":1}}}}',
    '{"state":{"reported":{"a":{"constructor":{"prototype":{"polluted":1}}}}}}',
    '{"state":{"reported":{"a":[{"__proto__":{"polluted":1}}]}},"__proto__":{"version":1}}',
    '{"__proto__":{"state":{}}}',
    '{"state":{"__proto__":{"reported":{"a":1}}}}',
    '{"state":{"reported":{"toString":{"__proto__":null},"valueOf":{"call":1}}}}',
  ];
  const text = fc.oneof(
    requestedState.map((state) => JSON.stringify({ state, version: 1, clientToken: 't' })),
    fc.json({ stringUnit: 'binary' }),
    oddText.map((odd) => `{"state":{"reported":${odd}},"x":${odd}}`),
    oddText,
    fc.constantFrom(...polluting),
  );
  const mutated = fc
    .tuple(text, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.boolean()), { maxLength: 4 }))
    .map(([whole, cuts]) => {
      const bytes = [...Buffer.from(whole)];
      for (const [at, byte, insert] of cuts) bytes.splice(at % (bytes.length + 1), insert ? 0 : 1, byte);
      return Uint8Array.from(bytes);
    });
  const anything = fc.oneof(
    mutated,
    fc.uint8Array({ maxLength: 40 }),
    text.map((each) => Buffer.from(each)),
  );
  const prototypes = [
    Object.prototype,
    Array.prototype,
    String.prototype,
    Number.prototype,
    Function.prototype,
  ];
  const look = (): unknown[] =>
    prototypes.flatMap((each) =>
      Object.entries(Object.getOwnPropertyDescriptors(each)).flatMap(([name, descriptor]): unknown[] => [
        name,
        ...(Object.values(descriptor) as unknown[]),
      ]),
    );

  it('nothing throws, all is accepted or refused, and no prototype changes', () => {
    const before = look();
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 5 }), (messages) => {
        const replica = emptyReplica('d1');
        messages.forEach((bytes, index) => {
          const envelope = readEnvelopeOnly(bytes, DEFAULT_LIMITS);
          if (!envelope.ok) expectSame([400, 413, 415].includes(envelope.refusal.code), true);
          const reading = readUpdate(bytes, DEFAULT_LIMITS);
          if (!reading.ok) {
            expectSame([400, 413, 415].includes(reading.refusal.code), true);
            expectSame(reading.refusal.message.isWellFormed(), true);
            return;
          }
          const command = { kind: 'update', origin: origin(index), state: reading.request.state } as const;
          const { decision } = execute(replica, command, index, RECORD);
          expectSame(decision.kind, 'accepted');
        });
      }),
      { numRuns: 3_000 },
    );
    const after = look();
    expect(after).toHaveLength(before.length);
    expect(after.every((each, index) => Object.is(each, before[index]))).toBe(true);
    expect({}).not.toHaveProperty('polluted');
  });

  it('what reads it agrees with JSON.parse on what is JSON', () => {
    fc.assert(
      fc.property(anything, (bytes) => {
        const reading = readUpdate(bytes, DEFAULT_LIMITS);
        const isInvalid = !reading.ok && reading.refusal.message === 'Invalid JSON';
        let isObject: boolean;
        try {
          const value = JSON.parse(
            new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes),
          ) as unknown;
          isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
        } catch {
          isObject = false;
        }
        if (isInvalid) expectSame(isObject, false);
        if (reading.ok) expectSame(isObject, true);
      }),
      { numRuns: 3_000 },
    );
  });
});
