import { describe, expect, it } from '@jest/globals';
import { equal, isObject, jsonBytes, type JsonValue, own, parsedOrNull } from '../../../src/replica/json.js';

describe('Equality', () => {
  it.each<[a: JsonValue, b: JsonValue]>([
    [1, 1],
    [0, -0],
    [null, null],
    [{}, {}],
    [[], []],
    [
      { a: 1, b: [{ c: 1, d: null }] },
      { b: [{ d: null, c: 1 }], a: 1 },
    ],
  ])('holds between %j and %j', (a, b) => {
    expect(equal(a, b)).toBe(true);
    expect(equal(b, a)).toBe(true);
  });

  it.each<[a: JsonValue, b: JsonValue]>([
    [1, '1'],
    [1, true],
    [1, 2],
    [null, {}],
    [null, []],
    [null, 0],
    [{}, []],
    // They have the same keys and the same length.
    [[1], { 0: 1 }],
    [[1], { 0: 1, length: 1 }],
    [[1], [1, 1]],
    [
      [1, 2],
      [2, 1],
    ],
    [{ a: 1 }, { b: 1 }],
    [{ a: 1 }, { a: 2 }],
    [{ a: 1 }, { a: 1, b: 1 }],
    [{ toString: 1 }, { valueOf: 1 }],
  ])('does not hold between %j and %j', (a, b) => {
    expect(equal(a, b)).toBe(false);
    expect(equal(b, a)).toBe(false);
  });

  it('does not hold between a value and none', () => {
    for (const value of [null, 0, '', false, {}, []]) expect(equal(value, undefined)).toBe(false);
  });
});

describe('An object', () => {
  it('is neither null nor an array nor a scalar', () => {
    expect([{}, null, [], 1, '', undefined].map(isObject)).toStrictEqual([
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });

  it('has no value but its own', () => {
    for (const key of ['toString', 'constructor', '__proto__', 'a']) expect(own({}, key)).toBeUndefined();
    const full = JSON.parse('{"toString":1,"constructor":{},"__proto__":null,"a":[]}') as object;
    expect(Object.keys(full).map((key) => own({ ...full }, key))).toStrictEqual([1, {}, null, []]);
  });
});

describe('Text', () => {
  const texts = [
    '',
    'abc',
    'a b',
    'a"b',
    'a\\b',
    ' ',
    '\u001f',
    '\0',
    '\b\t\n\v\f\r\u0007\u000e',
    '~\u007f\u0080',
    '\u07ff\u0800',
    '\ud7ff\ue000\uffff',
    // The first and the last of each half of a pair.
    '\u{10000}\u{103ff}\u{10fc00}\u{10ffff}',
  ];

  it.each(texts)('%j is as many bytes as its JSON has in UTF-8', (text) => {
    expect(jsonBytes(text)).toBe(Buffer.byteLength(JSON.stringify(text)));
    expect(jsonBytes({ [text]: text })).toBe(Buffer.byteLength(JSON.stringify({ [text]: text })));
  });

  it('that is no JSON reads as null', () => {
    expect(parsedOrNull('{"a":[1]}')).toStrictEqual({ a: [1] });
    expect(parsedOrNull('{"a":[1]')).toBeNull();
    expect(parsedOrNull('')).toBeNull();
  });
});

describe('The bytes of a value', () => {
  it.each<JsonValue>([
    null,
    true,
    false,
    0,
    -1.5,
    1e21,
    [],
    {},
    [1],
    [1, [2, {}]],
    { a: {} },
    { a: 1, b: [] },
  ])('%j are those of its JSON', (value) => {
    expect(jsonBytes(value)).toBe(JSON.stringify(value).length);
  });
});
