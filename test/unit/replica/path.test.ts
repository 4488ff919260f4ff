import { describe, expect, it } from '@jest/globals';
import { type ReplicaEvent, type SectionChanged } from '../../../src/replica/events.js';
import {
  arrayAbove,
  effectOn,
  parsePath,
  pointerOf,
  timeAt,
  valueAt,
  type ValuePath,
} from '../../../src/replica/path.js';
import { type Replica } from '../../../src/replica/replica.js';
import { given, update } from '../support/scenario.js';

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

const reported = (...keys: string[]): ValuePath => ({ section: 'reported', keys });
const desired = (...keys: string[]): ValuePath => ({ section: 'desired', keys });

describe('At a path', () => {
  const replica = (): Replica =>
    given(update({ reported: { a: 1, o: { b: 'x' }, list: [{ c: 1 }] } })).when(
      update({ desired: { a: 2, deep: { list: [1] } } }),
    ).replica;

  it.each([
    [reported('a'), 1, 100],
    [desired('a'), 2, 200],
    [reported('o', 'b'), 'x', 100],
    [reported('list'), [{ c: 1 }], 100],
    [desired('deep', 'list'), [1], 200],
    // An object's members have times, it has none.
    [reported('o'), { b: 'x' }, undefined],
    [reported('deep'), undefined, undefined],
    [reported('toString'), undefined, undefined],
    [reported('none', 'b'), undefined, undefined],
    [reported('a', 'length'), undefined, undefined],
    [reported('o', 'b', 'length'), undefined, undefined],
    [reported('list', '0'), undefined, undefined],
    [reported('list', 'length'), undefined, undefined],
  ])('%j is the value, and its time', (path, value, time) => {
    expect(valueAt(replica(), path)).toStrictEqual(value);
    expect(timeAt(replica(), path)).toBe(time);
  });

  it.each([
    [reported('list', '0', 'c'), reported('list')],
    [desired('deep', 'list', '0'), desired('deep', 'list')],
    [reported('list'), null],
    [reported('a', 'b'), null],
    [reported('none', 'b'), null],
    [reported('deep', 'list', '0'), null],
    [reported('a', 'b', 'c'), null],
  ])('%j: the array on the way is %j', (path, array) => {
    expect(arrayAbove(replica(), path)).toStrictEqual(array);
  });
});

describe('What an event does to the value at a path', () => {
  const report = (rest: Partial<SectionChanged>): ReplicaEvent => ({
    type: 'ReportedStateChanged',
    version: 1,
    timestamp: 1,
    state: {},
    ...rest,
  });

  it.each<[what: string, event: ReplicaEvent, effect: string]>([
    ['a delete', { type: 'ReplicaDeleted', version: 1, timestamp: 1 }, 'removes'],
    ['its value', report({ state: { a: { b: 1 } } }), 'sets'],
    ['an object, also an empty one', report({ state: { a: { b: {} } } }), 'sets'],
    ['a member of it', report({ state: { a: { b: { c: null } } } }), 'sets'],
    ['null', report({ state: { a: { b: null } } }), 'removes'],
    ['null above it', report({ state: { a: null } }), 'removes'],
    ['a scalar above it', report({ state: { a: 1 } }), 'removes'],
    ['an array above it', report({ state: { a: [{ b: 1 }] } }), 'removes'],
    ['its section removed', report({ state: null }), 'removes'],
    ['both sections removed', report({ state: null, scope: 'all' }), 'removes'],
    ['its neighbour', report({ state: { a: { c: 1 } } }), 'nothing'],
    ['another key', report({ state: { c: 1 } }), 'nothing'],
    ['an update that names no section', report({ scope: 'none' }), 'nothing'],
    ['the other section', report({ type: 'DesiredStateChanged', state: { a: { b: 1 } } }), 'nothing'],
    ['the other section removed', report({ type: 'DesiredStateChanged', state: null }), 'nothing'],
  ])('%s', (_what, event, effect) => {
    expect(effectOn(event, reported('a', 'b'))).toBe(effect);
  });

  it('is also told of a desired value', () => {
    const event = report({ type: 'DesiredStateChanged', state: { a: 1 } });
    expect(effectOn(event, desired('a'))).toBe('sets');
  });
});
