import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  parseFleetFilter,
  parseStatePath,
  printFleetFilter,
} from '../../../src/application/parse-fleet-filter.js';
import { sayableFilter } from '../../support/fleet-arbitraries.js';

const battery = { kind: 'state', path: { section: 'reported', keys: ['battery'] } };

function refusalOf(text: string): string {
  const parsed = parseFleetFilter(text);
  if (parsed.ok) throw new Error(`Not refused: ${text}`);
  expect(parsed.refusal.code).toBe(400);
  return parsed.refusal.message;
}

describe('A filter', () => {
  it('is read', () => {
    expect(parseFleetFilter('reported.battery<20')).toEqual({
      ok: true,
      value: { kind: 'compare', operand: battery, op: '<', value: 20 },
    });
    expect(parseFleetFilter(' not ( delta["a key"].in.0 in ("x\\n" ,-1.5e1,true) )\n')).toEqual({
      ok: true,
      value: {
        kind: 'not',
        term: {
          kind: 'in',
          operand: { kind: 'state', path: { section: 'delta', keys: ['a key', 'in', '0'] } },
          values: ['x\n', -15, true],
        },
      },
    });
  });

  it('says != as not ==', () => {
    expect(parseFleetFilter('reported.battery != 1')).toEqual(parseFleetFilter('not reported.battery == 1'));
  });

  it('binds not before and, and and before or', () => {
    expect(parseFleetFilter('not exists(reported) and version>1 or since<2')).toEqual(
      parseFleetFilter('((not exists(reported)) and (version>1)) or (since<2)'),
    );
  });

  it('takes times as ISO 8601 or in milliseconds', () => {
    expect(parseFleetFilter('lastReported >= "1970-01-01T00:00:01Z"')).toEqual(
      parseFleetFilter('lastReported >= 1000'),
    );
    expect(parseFleetFilter('disconnectedSince < "1970-01-01T00:00:01Z"')).toEqual(
      parseFleetFilter('disconnectedSince < 1000'),
    );
  });

  it('is the same when it is printed and read again', () => {
    fc.assert(
      fc.property(sayableFilter, (filter) => {
        const text = printFleetFilter(filter);
        fc.pre(Buffer.byteLength(text) <= 4096);
        expect(plain(parseFleetFilter(text))).toEqual({ ok: true, value: plain(filter) });
      }),
      { numRuns: 2000 },
    );
  });

  it('is refused with one line that names the column, whatever the text is', () => {
    const piece = fc.constantFrom(
      ...[
        'reported',
        'delta',
        'version',
        'since',
        '.',
        '["',
        '"]',
        '(',
        ')',
        'and',
        'or',
        'not',
        'in',
        'exists',
      ],
      ...[
        '==',
        '<',
        '!',
        '=',
        ',',
        '1',
        '-',
        '1e9',
        '"',
        '"x"',
        '\\',
        ' ',
        '\n',
        'é',
        '😀',
        '\ud800',
        '\0',
        'true',
      ],
    );
    const text = fc.oneof(
      fc.array(piece, { maxLength: 12 }).map((parts) => parts.join('')),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(text, (any) => {
        const parsed = parseFleetFilter(any);
        if (parsed.ok) expect(plain(parseFleetFilter(printFleetFilter(parsed.value)))).toEqual(plain(parsed));
        else expect(parsed.refusal.message).toMatch(/^Invalid filter at column \d+: [^\p{Cc}]+$/u);
      }),
      { numRuns: 5000 },
    );
  });

  it.each([
    ['', 'Invalid filter at column 1: expected reported, desired or delta with a path, version'],
    ['reported.a', 'at column 11: expected a test: ==, !=, <, <=, >, >= or in (…); found the end'],
    ['reported.a = 1', "at column 12: expected a test: ==, !=, <, <=, >, >= or in (…); found '='"],
    ['reported. == 1', 'at column 11: expected a key'],
    ['reported[a] == 1', "at column 10: expected a key as a JSON string; found 'a'"],
    ['reported.a == b', "at column 15: expected a value: a JSON string, a number, true or false; found 'b'"],
    ["reported.a == 'b'", 'at column 15: expected a value'],
    ['reported["😀"] == "😀" x', "at column 22: expected and, or, or the end; found 'x'"],
    ['reported.a == "b', 'at column 15: expected a JSON string'],
    ['reported.a == "\\x"', 'at column 15: expected a JSON string'],
    ['reported.a == "\\ud800"', 'at column 15: a string holds a lone surrogate'],
    ['reported.a == 01', "at column 15: expected a JSON number; found '01'"],
    ['reported.a == 1e400', "at column 15: the number '1e400' cannot be held exactly"],
    ['reported.a == 9007199254740993', 'cannot be held exactly'],
    ['reported.a == 1e-400', 'cannot be held exactly'],
    ['reported.a < true', 'at column 14: true and false have no order'],
    ['version == "1"', 'at column 12: expected a number, as version is; found \'"1"\''],
    ['since > "yesterday"', 'at column 9: expected a time in ISO 8601'],
    ['since > true', 'at column 9: expected a time'],
    ['(version > 1', 'at column 13: expected and, or, or ); found the end'],
    ['exists(reported.a', 'at column 18: expected ., [ or ); found the end'],
    ['reported.a in ()', 'at column 16: expected a value'],
    ['reported.a in (1 2)', "at column 18: expected , or ); found '2'"],
    ['version > 1 AND version < 3', "at column 13: expected and, or, or the end; found 'AND'"],
  ])('is refused: %s', (text, message) => {
    expect(refusalOf(text)).toContain(message);
  });

  it('is bounded', () => {
    expect(refusalOf(`reported.a == "${'é'.repeat(2050)}"`)).toBe('Invalid filter: longer than 4096 bytes');
    expect(refusalOf(`${'('.repeat(33)}version > 1${')'.repeat(33)}`)).toBe(
      'Invalid filter at column 33: nested more than 32 levels deep',
    );
    expect(refusalOf(`${'not '.repeat(33)}version > 1`)).toContain('nested more than 32 levels deep');
    expect(parseFleetFilter(`${'('.repeat(32)}version > 1${')'.repeat(32)}`).ok).toBe(true);
    const tests = (count: number): string => Array.from({ length: count }, () => 'version>1').join(' or ');
    expect(refusalOf(tests(201))).toContain('more than 200 tests and values');
    expect(parseFleetFilter(tests(200)).ok).toBe(true);
    expect(refusalOf(`version in (${'1,'.repeat(200)}1)`)).toContain('more than 200 tests and values');
    expect(refusalOf(`exists(reported${'.a'.repeat(65)})`)).toContain('more than 64 keys');
  });
});

describe('A place in a state', () => {
  it('is read, and refused under the name of its parameter', () => {
    expect(parseStatePath('fields', 'desired["a,b"].c')).toEqual({
      ok: true,
      value: { section: 'desired', keys: ['a,b', 'c'] },
    });
    expect(parseStatePath('fields', 'state.a')).toMatchObject({
      refusal: { message: "Invalid fields at column 1: expected reported, desired or delta; found 'state'" },
    });
  });
});

/** Without the prototypes that the arbitraries' objects do not have. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}
