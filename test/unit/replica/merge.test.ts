import { describe, expect, it } from '@jest/globals';
import { type JsonObject, type JsonValue } from '../../../src/replica/json.js';
import { growth, merge, wouldChange } from '../../../src/replica/merge.js';
import { type MetaObject } from '../../../src/replica/replica.js';
import { given, remove, update } from '../support/scenario.js';

/** Merges a patch into a copy of a section; says what came out of it, and what changed. */
function merged(target: JsonObject, patch: JsonObject): { section: JsonObject; change: JsonObject } {
  const section: JsonObject = {};
  const meta: MetaObject = {};
  merge(section, meta, target, 1, null);
  const change: JsonObject = {};
  merge(section, meta, patch, 2, change);
  return { section, change };
}

describe('A merge', () => {
  const cases: [
    rule: string,
    target: JsonObject,
    patch: JsonObject,
    section: JsonObject,
    change: JsonObject,
  ][] = [
    ['adds a key', { a: 1 }, { b: 2 }, { a: 1, b: 2 }, { b: 2 }],
    ['leaves unnamed keys', { a: 1, b: 2 }, { b: 3 }, { a: 1, b: 3 }, { b: 3 }],
    [
      'is recursive for objects',
      { a: { b: 1, c: 2 } },
      { a: { b: 3 } },
      { a: { b: 3, c: 2 } },
      { a: { b: 3 } },
    ],
    ['removes a key by null', { a: 1, b: 2 }, { a: null }, { b: 2 }, { a: null }],
    [
      'removes an inner key by null',
      { a: { b: 1, c: 2 } },
      { a: { b: null } },
      { a: { c: 2 } },
      { a: { b: null } },
    ],
    [
      'leaves {} where the last inner key goes',
      { a: { b: 1 } },
      { a: { b: null } },
      { a: {} },
      { a: { b: null } },
    ],
    ['ignores a null for a key that is not there', { a: 1 }, { b: null }, { a: 1 }, {}],
    [
      'stores no null of a first write',
      {},
      { a: null, b: { c: null, d: 1 } },
      { b: { d: 1 } },
      { b: { d: 1 } },
    ],
    ['makes {} of an object of nulls', {}, { a: { b: { c: null } } }, { a: { b: {} } }, { a: { b: {} } }],
    ['creates an object by {}', {}, { a: {} }, { a: {} }, { a: {} }],
    ['replaces a scalar by {}', { a: 1 }, { a: {} }, { a: {} }, { a: {} }],
    ['replaces an array by {}', { a: [1] }, { a: {} }, { a: {} }, { a: {} }],
    ['leaves an object as it is by {}', { a: { b: 1 } }, { a: {} }, { a: { b: 1 } }, {}],
    ['leaves all as it is by an empty patch', { a: 1 }, {}, { a: 1 }, {}],
    ['replaces a scalar by an object', { a: 1 }, { a: { b: 2 } }, { a: { b: 2 } }, { a: { b: 2 } }],
    ['replaces an object by a scalar', { a: { b: 1 } }, { a: 2 }, { a: 2 }, { a: 2 }],
    ['replaces an array whole', { a: [1, 2, 3] }, { a: [4] }, { a: [4] }, { a: [4] }],
    ['replaces an object by an array', { a: { 0: 1 } }, { a: [1] }, { a: [1] }, { a: [1] }],
    [
      'does not merge into the objects of an array',
      { a: [{ b: 1 }] },
      { a: [{ c: 2 }] },
      { a: [{ c: 2 }] },
      { a: [{ c: 2 }] },
    ],
    ['finds no change in an equal scalar', { a: 'x' }, { a: 'x' }, { a: 'x' }, {}],
    [
      'finds no change in an equal array',
      { a: [1, { b: 2, c: 3 }] },
      { a: [1, { c: 3, b: 2 }] },
      { a: [1, { b: 2, c: 3 }] },
      {},
    ],
    ['finds a change of order in an array', { a: [1, 2] }, { a: [2, 1] }, { a: [2, 1] }, { a: [2, 1] }],
    ['tells true from 1', { a: 1 }, { a: true }, { a: true }, { a: true }],
    ['tells "1" from 1', { a: 1 }, { a: '1' }, { a: '1' }, { a: '1' }],
    ['tells false, 0 and "" apart', { a: false, b: 0 }, { a: 0, b: '' }, { a: 0, b: '' }, { a: 0, b: '' }],
    ['tells {} from []', { a: [] }, { a: {} }, { a: {} }, { a: {} }],
    ['takes the empty key', { '': 1 }, { '': { '': 2 } }, { '': { '': 2 } }, { '': { '': 2 } }],
    [
      'takes keys that look like integers',
      { 10: 1, 9: 1 },
      { 10: null, 1: 2 },
      { 9: 1, 1: 2 },
      { 10: null, 1: 2 },
    ],
    [
      'takes a key that every object inherits',
      {},
      { toString: { valueOf: 1 } },
      { toString: { valueOf: 1 } },
      { toString: { valueOf: 1 } },
    ],
    [
      'sees no inherited key to remove',
      {},
      { hasOwnProperty: null, a: { toString: null } },
      { a: {} },
      { a: {} },
    ],
    ['creates {} under an inherited name', {}, { valueOf: {} }, { valueOf: {} }, { valueOf: {} }],
  ];

  it.each(cases)('%s', (_rule, target, patch, section, change) => {
    expect(merged(target, patch)).toStrictEqual({ section, change });
  });

  it.each(cases)('%s: as wouldChange foresees', (_rule, target, patch, _section, change) => {
    expect(wouldChange(target, patch)).toBe(Object.keys(change).length > 0);
  });

  it.each(cases)('%s: growing by what growth foresees', (_rule, target, patch, section) => {
    const bytes = (value: JsonValue): number => Buffer.byteLength(JSON.stringify(value));
    expect(growth(target, patch)).toBe(bytes(section) - bytes(target));
  });

  it('takes 1 and 1.0, and 0 and -0, for equal', () => {
    expect(
      wouldChange({ a: JSON.parse('1') as JsonValue, b: 0 }, { a: JSON.parse('1.0') as JsonValue, b: -0 }),
    ).toBe(false);
  });

  it('keeps no object of the patch', () => {
    const patch = { a: { b: { c: 1 } } };
    const section: JsonObject = {};
    merge(section, {}, patch, 1, null);
    merge(section, { a: { b: { c: 1 } } }, { a: { b: { c: 2, d: 3 } } }, 2, null);
    expect(patch).toStrictEqual({ a: { b: { c: 1 } } });
  });
});

describe('A section', () => {
  const both = update({ reported: { r: 1 }, desired: { d: 1 } });

  it('goes by null; the other one, the replica and its version stay', () => {
    const { get } = given(both).when(update({ desired: null }));
    expect(get).toMatchObject({ state: { reported: { r: 1 } }, version: 2 });
    expect(get.state).toStrictEqual({ reported: { r: 1 } });
  });

  it('goes with the other one by state: null; the replica and its version stay', () => {
    const { get, refusal } = given(both).when(update(null));
    expect({ get, refusal }).toStrictEqual({
      get: { state: {}, metadata: {}, version: 2, timestamp: 0 },
      refusal: null,
    });
  });

  it('disappears from documents with its last key', () => {
    const { get, documents } = given(both).when(update({ reported: { r: null } }));
    expect(get.state).toStrictEqual({ desired: { d: 1 }, delta: { d: 1 } });
    expect(documents?.current).toMatchObject({ state: { desired: { d: 1 } } });
    expect(get.metadata).not.toHaveProperty('reported');
  });

  it('is not there after {} on a first write, though the replica is', () => {
    const { get } = given().when(update({ reported: {}, desired: {} }));
    expect(get).toStrictEqual({ state: {}, metadata: {}, version: 1, timestamp: 0 });
  });

  it('is not there after only nulls on a first write', () => {
    const { get } = given().when(update({ reported: { a: null } }));
    expect(get).toStrictEqual({ state: {}, metadata: {}, version: 1, timestamp: 0 });
  });

  it('comes back after it was removed, with nothing of what it had', () => {
    const { get } = given(both, update({ reported: null })).when(update({ reported: { x: 1 } }));
    expect(get.state).toMatchObject({ reported: { x: 1 } });
    expect(get.metadata).toMatchObject({ reported: { x: { timestamp: 300 } } });
  });

  it('comes back after a delete with nothing of what it had', () => {
    const { get } = given(both, remove()).when(update({ reported: { x: 1 } }));
    expect(get.state).toStrictEqual({ reported: { x: 1 } });
  });
});
