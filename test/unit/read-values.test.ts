import { describe, expect, it } from '@jest/globals';
import { readUpdate } from '../../src/application/read-command.js';
import { DEFAULT_LIMITS } from '../../src/replica/limits.js';

/** The refusal's message; null: accepted. */
function message(text: string, limits = DEFAULT_LIMITS): string | null {
  const reading = readUpdate(Buffer.from(text), limits);
  if (!reading.ok) expect(reading.refusal.code).toBe(400);
  return reading.ok ? null : reading.refusal.message;
}

const reported = (value: string): string => `{"state":{"reported":{"a":${value}}}}`;
const nested = (open: string, inner: string, close: string, levels: number): string =>
  open.repeat(levels) + inner + close.repeat(levels);

describe('The depth of a section', () => {
  const tooDeep = 'JSON contains too many levels of nesting; maximum is 6';

  it.each([
    ['objects', nested('{"a":', '1', '}', 6), nested('{"a":', '1', '}', 7)],
    ['empty objects', nested('{"a":', '{}', '}', 5), nested('{"a":', '{}', '}', 6)],
    ['arrays', `{"a":${nested('[', '1', ']', 5)}}`, `{"a":${nested('[', '1', ']', 6)}}`],
    [
      'both',
      `{"a":${nested('[{"b":', '1', '}]', 2)}}`,
      `{"a":[${nested('[{"b":', '1', '}]', 2)},[[[[[1]]]]]]}`,
    ],
  ])('is at most 6 levels of %s, the section being the first', (_what, six, seven) => {
    for (const section of ['reported', 'desired']) {
      expect(message(`{"state":{"${section}":${six}}}`)).toBeNull();
      expect(message(`{"state":{"${section}":${seven}}}`)).toBe(tooDeep);
    }
  });

  it('is configurable', () => {
    const limits = { ...DEFAULT_LIMITS, maxDepth: 2 };
    expect(message('{"state":{"reported":{"a":{}}}}', limits)).toBeNull();
    expect(message('{"state":{"reported":{"a":{"b":{}}}}}', limits)).toBe(
      'JSON contains too many levels of nesting; maximum is 2',
    );
  });

  it('does not count brackets in strings', () => {
    expect(message(reported('"{{{{{{{{{[[[[[[[[[\\"{{{{{{"'))).toBeNull();
    expect(message('{"state":{"reported":{"{{{{{{[[[[[[\\\\":{"a":1}}}}')).toBeNull();
  });

  it('does not count what stands side by side', () => {
    expect(message(reported(`[${Array<string>(50).fill('[{}]').join()}]`))).toBeNull();
  });

  it('is bounded also in members that are ignored', () => {
    expect(message(`{"state":{},"x":${nested('[', '', ']', 7)}}`)).toBeNull();
    expect(message(`{"state":{},"x":${nested('[', '', ']', 8)}}`)).toBe(tooDeep);
  });

  it('may be tried with 100 000 levels', () => {
    expect(message(nested('[', '', ']', 60_000))).toBe(tooDeep);
    expect(message('['.repeat(100_000))).toBe(tooDeep);
    expect(message('{"a":'.repeat(26_000))).toBe(tooDeep);
    expect(message(']'.repeat(100_000))).toBe('Invalid JSON');
    expect(message(']'.repeat(60_000) + '['.repeat(60_000))).toBe('Invalid JSON');
  });
});

describe('A duplicate key', () => {
  it.each([
    ['at the top', '{"state":{},"state":{}}', 'state'],
    ['in an ignored member', '{"state":{},"x":{"b":1,"b":1}}', 'b'],
    ['in the state', '{"state":{"reported":{},"reported":{}}}', 'reported'],
    ['in a section', '{"state":{"reported":{"a":1,"b":2,"a":1}}}', 'a'],
    ['in an inner object', reported('{"b":{"c":1,"c":2}}'), 'c'],
    ['in an array', reported('[1,{"b":1},{"c":1,"c":2}]'), 'c'],
    ['in an array of arrays', reported('[[{"c":1,"c":{}}]]'), 'c'],
    ['whose first value is an object', reported('{"b":{"x":{"y":1}},"b":1}'), 'b'],
    ['with an escape', '{"state":{"reported":{"a":1,"\\u0061":2}}}', 'a'],
    ['with two escapes of one character', '{"state":{"reported":{"\\/":1,"\\u002F":2}}}', '/'],
    ['of escaped quotes', '{"state":{"reported":{"\\"":1,"\\u0022":2}}}', '"'],
    ['of backslashes', '{"state":{"reported":{"\\\\":1,"\\u005c":2}}}', '\\'],
    ['of a pair of surrogates', '{"state":{"reported":{"😀":1,"\\ud83d\\ude00":2}}}', '😀'],
    ['that is empty', '{"state":{"reported":{"":1,"":2}}}', ''],
    ['that looks like an integer', '{"state":{"reported":{"1":1,"0":0,"1":1}}}', '1'],
    ['after a key of colons and quotes', '{"state":{"reported":{":\\":{}[],":":","b":1,"b":2}}}', 'b'],
    ['with spaces', '{"state":{"reported":{ "a" : 1 ,\n"a"\t:\r2 }}}', 'a'],
    ['with an inherited name', '{"state":{"reported":{"toString":1,"toString":2}}}', 'toString'],
  ])('is refused %s', (_where, text, key) => {
    expect(message(text)).toBe(`Duplicate key: '${key}'`);
  });

  it.each([
    ['in another object', reported('{"a":{"a":1},"b":{"a":1}}')],
    ['in both sections', '{"state":{"reported":{"a":1},"desired":{"a":1}}}'],
    ['in each object of an array', reported('[{"a":1},{"a":1}]')],
    ['once in an object, once as a value', reported('{"a":"a","b":"b"}')],
    ['but for its case', reported('{"b":1,"B":1}')],
    ['but for its normal form', reported('{"\\u00e9":1,"e\\u0301":1}')],
    ['with colons in strings only', reported('{"x:y":"{\\"a\\":1,\\"a\\":2}","y":"::::"}')],
  ])('is none %s', (_where, text) => {
    expect(message(text)).toBeNull();
  });
});

describe('A number', () => {
  it.each([
    '9007199254740991',
    '-9007199254740991',
    '9007199254740991.0',
    '0',
    '-0',
    '0.0',
    '0e5',
    '0E-400',
    '-0.0e400',
    '0.1',
    '1E5',
    '1e-7',
    '5e-324',
    '1e15',
    '0.30000000000000004',
    `0.${'0'.repeat(400)}`,
    `0.${'0'.repeat(300)}1`,
    '100e-2',
  ])('may be %s', (number) => {
    const reading = readUpdate(Buffer.from(reported(number)), DEFAULT_LIMITS);
    expect(reading).toMatchObject({ ok: true });
    if (reading.ok) expect(reading.request.state).toStrictEqual({ reported: { a: Number(number) } });
  });

  it.each([
    '9007199254740992',
    '-9007199254740992',
    '9007199254740993',
    '12345678901234567890',
    '1.5e300',
    '-1.5e300',
    '1e400',
    '-1e400',
    '1e16',
  ])('may not be %s', (number) => {
    const expected = "A number cannot be held exactly (integers go to ±9007199254740991): 'a'";
    expect(message(reported(number))).toBe(expected);
    expect(message(reported(`[1,[${number}]]`))).toBe(expected);
    expect(message(reported(`[{"a":${number}}]`))).toBe(expected);
  });

  it.each(['1e-400', '-1E-400', '1e-325', '123.456e-999', '0.1e-330'])(
    'may not be %s, which would become 0',
    (number) => {
      expect(message(reported(number))).toBe(
        `A number cannot be held exactly (integers go to ±9007199254740991): '${number}'`,
      );
      expect(message(reported(`[0,0e5,"1e-400",${number}]`))).toContain(number);
    },
  );

  it('may not become 0 without an exponent either', () => {
    expect(message(reported(`0.${'0'.repeat(323)}1`))).toContain('cannot be held exactly');
    expect(message(reported(`0.${'0'.repeat(323)}3`))).toBeNull();
  });

  it('may stand in a string as it likes', () => {
    expect(message(reported('["1e-400","1e400",0,0e1]'))).toBeNull();
    expect(message('{"state":{"reported":{"1e-400":0e1}}}')).toBeNull();
  });
});

describe('A string or key', () => {
  it.each([
    '"\\ud83d\\ude00"',
    '"\\uD83D\\uDE00"',
    '"😀"',
    '"\\\\u0000"',
    '"\\\\ud800"',
    '"\\uffff"',
    '"\\u0001"',
    '"\\ufeff"',
  ])('may be %s', (string) => {
    expect(message(reported(string))).toBeNull();
    expect(message(`{"state":{"reported":{${string}:1}}}`)).toBeNull();
  });

  it.each([
    ['"\\u0000"', 'NUL character'],
    ['"x\\u0000y"', 'NUL character'],
    ['"\\ud800"', 'lone surrogate'],
    ['"\\udc00"', 'lone surrogate'],
    ['"\\ude00\\ud83d"', 'lone surrogate'],
    ['"\\ud83d\\ud83d\\ude00"', 'lone surrogate'],
    ['"\\ud83dx"', 'lone surrogate'],
    ['"\\ud83d\\\\ude00"', 'lone surrogate'],
  ])('may not be %s', (string, what) => {
    expect(message(reported(string))).toBe(`A string or key holds a ${what}: 'a'`);
    expect(message(reported(`[[${string}]]`))).toBe(`A string or key holds a ${what}: 'a'`);
    expect(message(`{"state":{"reported":{"b":{${string}:1}}}}`)).toContain(
      `A string or key holds a ${what}`,
    );
    expect(message(`{"state":{},"x":${string}}`)).toContain(what);
  });
});

describe('A key', () => {
  it.each(['__proto__', 'constructor', 'prototype'])('may not be %s', (key) => {
    const expected = `Key is not allowed: '${key}'`;
    expect(message(`{"state":{},"${key}":1}`)).toBe(expected);
    expect(message(`{"state":{"reported":{"${key}":1}}}`)).toBe(expected);
    expect(message(`{"state":{"desired":{"${key}":null}}}`)).toBe(expected);
    expect(message(reported(`{"b":{"${key}":{}}}`))).toBe(expected);
    expect(message(reported(`[[{"${key}":{"x":1}}]]`))).toBe(expected);
    expect(
      message(`{"state":{"reported":{"\\u00${key.charCodeAt(0).toString(16)}${key.slice(1)}":1}}}`),
    ).toBe(expected);
    expect(message(`{"state":{"${key}":{}}}`)).toBe(`State contains an invalid node: '${key}'`);
  });

  it.each(['proto', '__proto', '__PROTO__', 'Constructor', 'prototypes', '__defineGetter__'])(
    'may be %s',
    (key) => {
      expect(message(`{"state":{"reported":{"${key}":{}}}}`)).toBeNull();
    },
  );
});

describe('A null', () => {
  it.each(['null', '{"b":null}', '{"b":{"c":null}}'])('may be or stand in a value: %s', (value) => {
    expect(message(reported(value))).toBeNull();
  });

  it.each([
    ['[null]', 'a'],
    ['[1,null]', 'a'],
    ['[[[null]]]', 'a'],
    ['{"b":[{"c":[null]}]}', 'c'],
    ['[{"b":null}]', 'b'],
    ['[{"b":{"c":null}}]', 'c'],
  ])('may not stand in an array: %s', (value, key) => {
    expect(message(reported(value))).toBe(`An array cannot hold null: '${key}'`);
  });
});
