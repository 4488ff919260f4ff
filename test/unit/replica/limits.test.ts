import { describe, expect, it } from '@jest/globals';
import { refusals } from '../../../src/replica/commands.js';
import {
  checkValue,
  DEFAULT_LIMITS,
  deviceOfReplica,
  inexact,
  isIdPrefix,
  isReplicaId,
  MAX_REPLICA_ID_BYTES,
  shown,
} from '../../../src/replica/limits.js';
import { type JsonValue } from '../../../src/replica/json.js';

describe('The default limits', () => {
  it('are those of the contract', () => {
    expect(DEFAULT_LIMITS).toStrictEqual({ maxRequestBytes: 131_072, maxStateBytes: 32_768, maxDepth: 6 });
  });
});

describe('The refusals', () => {
  it('have the texts of the contract', () => {
    expect(refusals.notFound('x')).toStrictEqual({ code: 404, message: "No state exists for device: 'x'" });
    expect(refusals.versionConflict).toStrictEqual({ code: 409, message: 'Version conflict' });
    expect(refusals.messageIdReused('x').code).toBe(409);
    expect(refusals.stateTooLarge(2, 1).code).toBe(413);
    expect(refusals.illegalDeviceId).toStrictEqual({
      code: 400,
      message: 'Illegal deviceId: 1 to 128 of [A-Za-z0-9:._-], not . or ..',
    });
  });
});

describe('A deviceId', () => {
  it.each(['a', '0', 'A:b.c_d-e', '...', '.a', '-', 'x'.repeat(128), '__proto__'])('may be %j', (id) => {
    expect(isReplicaId(id)).toBe(true);
  });

  it.each(['', '.', '..', 'x'.repeat(129), 'a b', 'a/b', 'a\n', '\na', 'é', 'a\0', 'a#', 'a+', 'a%20'])(
    'may not be %j',
    (id) => {
      expect(isReplicaId(id)).toBe(false);
    },
  );
});

describe('The id of a named replica', () => {
  const longest = `${'x'.repeat(128)}/name/${'y'.repeat(64)}`;
  it.each(['a/name/b', 'a/name/$b', 'name/name/name', '..a/name/..b', longest])('may be %j', (id) => {
    expect(isReplicaId(id)).toBe(true);
    expect(isIdPrefix(id)).toBe(true);
    expect(id.length).toBeLessThanOrEqual(MAX_REPLICA_ID_BYTES);
  });

  it.each([
    'a/name',
    'a/name/',
    'a/name/b/',
    'a/name/b/c',
    'a/name/b/name/c',
    'a/Name/b',
    'a//b',
    '/name/b',
    '../name/b',
    './name/b',
    '$a',
    'a/name/.',
    'a/name/..',
    'a/name/b c',
    'a/name/b\n',
    `a/name/${'x'.repeat(65)}`,
    `${'x'.repeat(129)}/name/b`,
  ])('may not be %j', (id) => {
    expect(isReplicaId(id)).toBe(false);
  });
});

describe('The device of a replica', () => {
  it('is its id up to the first slash', () => {
    expect(deviceOfReplica('a:1')).toBe('a:1');
    expect(deviceOfReplica('a:1/name/b')).toBe('a:1');
  });
});

describe('What ids may begin with', () => {
  it.each(['a', 'a/na', '/', '$', 'x'.repeat(MAX_REPLICA_ID_BYTES)])('may be %j', (text) => {
    expect(isIdPrefix(text)).toBe(true);
  });

  it.each(['', ' a', 'a ', 'a*b', 'é', 'x'.repeat(MAX_REPLICA_ID_BYTES + 1)])('may not be %j', (text) => {
    expect(isIdPrefix(text)).toBe(false);
  });
});

describe('A walk over a value', () => {
  const walk = (value: JsonValue, checkStrings = true): string | undefined =>
    checkValue(value, checkStrings, { members: 0, hasZero: false }, '')?.message;

  it('counts the members of all objects, and sees zeros', () => {
    const seen = { members: 0, hasZero: false };
    checkValue({ a: { b: [{ c: 1 }, { c: 2 }] } }, false, seen, '');
    expect(seen).toStrictEqual({ members: 4, hasZero: false });
    checkValue([{ a: -0 }], false, seen, '');
    expect(seen.hasZero).toBe(true);
  });

  it('finds a null in an array at any depth', () => {
    expect(walk({ a: [1, null] })).toBe("An array cannot hold null: 'a'");
    expect(walk({ a: [[[null]]] })).toBe("An array cannot hold null: 'a'");
    expect(walk({ a: null })).toBeUndefined();
  });

  it('finds a null in an object of an array, where no merge would remove it', () => {
    expect(walk({ a: [{ b: null }] })).toBe("An array cannot hold null: 'b'");
    expect(walk({ a: [{ b: { c: null } }] })).toBe("An array cannot hold null: 'c'");
  });

  it.each(['__proto__', 'constructor', 'prototype'])('finds the key %s', (key) => {
    const message = `Key is not allowed: '${key}'`;
    expect(walk(JSON.parse(`{"${key}":1}`) as JsonValue)).toBe(message);
    expect(walk(JSON.parse(`{"a":[{"b":1,"${key}":1}]}`) as JsonValue)).toBe(message);
  });

  it('finds a number that is not exact', () => {
    const message = "A number cannot be held exactly (integers go to ±9007199254740991): 'a'";
    expect(inexact('a')).toStrictEqual({ code: 400, message });
    for (const a of [2 ** 53, -(2 ** 53), Infinity, -Infinity]) expect(walk({ a })).toBe(message);
    for (const a of [2 ** 53 - 1, -(2 ** 53 - 1), 0.1, 0]) expect(walk({ a })).toBeUndefined();
    expect(walk({ b: 1, c: [1, { d: true }], a: 2 ** 53 })).toBe(message);
  });

  it('looks at keys only where it is told to', () => {
    expect(walk({ 'a\0': 1 }, false)).toBeUndefined();
    expect(walk({ 'a\0': 1 })).toBe("A string or key holds a NUL character: 'a\ufffd'");
    expect(walk({ b: [{ 'a\ud800': 1 }] })).toBe("A string or key holds a lone surrogate: 'a\ufffd'");
  });

  it('looks at strings only where it is told to', () => {
    expect(walk({ a: '\0' }, false)).toBeUndefined();
    expect(walk({ a: '\0' })).toBe("A string or key holds a NUL character: 'a'");
    expect(walk({ a: '\ud800' })).toBe("A string or key holds a lone surrogate: 'a'");
  });
});

describe('A key in a message', () => {
  it('stands as it is', () => {
    expect(shown('a "key" é😀')).toBe('a "key" é😀');
    expect(shown('x'.repeat(64))).toBe('x'.repeat(64));
    expect(shown('😀'.repeat(64))).toBe('😀'.repeat(64));
  });

  it('is cut after 64 characters, between characters', () => {
    expect(shown('x'.repeat(65))).toBe(`${'x'.repeat(64)}…`);
    expect(shown('😀'.repeat(65))).toBe(`${'😀'.repeat(64)}…`);
    expect(shown(`x${'😀'.repeat(1_000)}`)).toBe(`x${'😀'.repeat(63)}…`);
  });

  it('holds no NUL and no half character', () => {
    expect(shown('a\0b\ud800')).toBe('a\ufffdb\ufffd');
  });
});
