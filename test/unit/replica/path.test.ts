import { describe, expect, it } from '@jest/globals';
import { parsePath, pointerOf } from '../../../src/replica/path.js';

describe('A path', () => {
  it.each([
    ['reported.temp', 'reported', ['temp']],
    ['desired.a.b', 'desired', ['a', 'b']],
    ['reported.a\\.b.c\\\\d', 'reported', ['a.b', 'c\\d']],
    ['reported.', 'reported', ['']],
    ['/reported/temp', 'reported', ['temp']],
    ['/desired/a~1b/c~0d/e.f', 'desired', ['a/b', 'c~d', 'e.f']],
    ['/desired/~01', 'desired', ['~1']],
  ])('is read from %s', (text, section, keys) => {
    const path = parsePath(text);
    expect(path).toEqual({ section, keys });
    if (path !== null) expect(parsePath(pointerOf(path))).toEqual(path);
  });

  it.each([
    '',
    'temp',
    'reported',
    '/reported',
    '.reported.a',
    'delta.a',
    'reported.a\\b',
    'reported.a\\',
    '/reported/~2',
  ])('is not read from %p', (text) => {
    expect(parsePath(text)).toBeNull();
  });
});
