import { describe, expect, it } from '@jest/globals';
import { diff } from '../../../src/replica/delta.js';
import { type JsonObject, type JsonValue } from '../../../src/replica/json.js';
import { type RequestedState } from '../../../src/replica/commands.js';
import { given, remove, SKIP, update } from '../support/scenario.js';

describe('The delta', () => {
  const cases: [rule: string, desired: JsonObject, reported: JsonObject, delta: JsonObject][] = [
    ['holds a value that reported lacks', { a: 1 }, {}, { a: 1 }],
    ['holds a value that reported has otherwise', { a: 1 }, { a: 2 }, { a: 1 }],
    ['holds nothing that is equal', { a: 1, b: [1] }, { a: 1, b: [1] }, {}],
    ['never counts keys only in reported', { a: 1 }, { a: 1, b: 2 }, {}],
    ['never counts inner keys only in reported', { a: { b: 1 } }, { a: { b: 1, c: 2 } }, {}],
    [
      'is recursive to the differing leaf',
      { a: { b: { c: 1, d: 2 } } },
      { a: { b: { c: 1, d: 3 } } },
      { a: { b: { d: 2 } } },
    ],
    ['holds the whole object that reported lacks', { a: { b: { c: 1 } } }, { a: {} }, { a: { b: { c: 1 } } }],
    ['holds the whole object where reported has a scalar', { a: { b: 1 } }, { a: 1 }, { a: { b: 1 } }],
    ['holds the whole object where reported has an array', { a: { 0: 1 } }, { a: [1] }, { a: { 0: 1 } }],
    ['holds the scalar where reported has an object', { a: 1 }, { a: { b: 1 } }, { a: 1 }],
    ['holds a differing array whole', { a: [1, 2, 3] }, { a: [1, 2] }, { a: [1, 2, 3] }],
    ['holds an array whole that is shorter', { a: [1, 2] }, { a: [1, 2, 3] }, { a: [1, 2] }],
    ['compares arrays in order', { a: [1, 2] }, { a: [2, 1] }, { a: [1, 2] }],
    ['compares the objects of an array whole', { a: [{ b: 1 }] }, { a: [{ b: 1, c: 2 }] }, { a: [{ b: 1 }] }],
    [
      'compares the objects of an array whatever the order of keys',
      { a: [{ b: 1, c: 2 }] },
      { a: [{ c: 2, b: 1 }] },
      {},
    ],
    ['tells true from 1', { a: true }, { a: 1 }, { a: true }],
    ['tells 1 from "1"', { a: 1 }, { a: '1' }, { a: 1 }],
    ['takes 0 and -0 for equal', { a: 0 }, { a: -0 }, {}],
    ['holds {} that reported lacks', { a: {} }, {}, { a: {} }],
    ['holds {} where reported has a scalar', { a: {} }, { a: 1 }, { a: {} }],
    ['finds {} fulfilled by any object', { a: {} }, { a: { b: 1 } }, {}],
    [
      'does not take an inherited name for a reported value',
      { toString: 1, valueOf: {} },
      {},
      { toString: 1, valueOf: {} },
    ],
    ['takes the empty key and integer keys', { '': 1, 7: { '': 2 } }, { 7: {} }, { '': 1, 7: { '': 2 } }],
    ['is the whole of desired without reported', { a: 1, b: { c: [1] } }, {}, { a: 1, b: { c: [1] } }],
    ['is empty without desired', {}, { a: 1 }, {}],
  ];

  it.each(cases)('%s', (_rule, desired, reported, delta) => {
    expect(diff(desired, reported)).toStrictEqual(delta);
  });

  it.each(cases)('%s: also when desired comes after reported', (_rule, desired, reported, delta) => {
    expect(given(update({ reported })).when(update({ desired })).replica.delta).toStrictEqual(delta);
  });

  it.each(cases)('%s: also when reported comes after desired', (_rule, desired, reported, delta) => {
    expect(given(update({ desired })).when(update({ reported })).replica.delta).toStrictEqual(delta);
  });

  it.each(cases)('%s: also when both come at once', (_rule, desired, reported, delta) => {
    expect(given().when(update({ desired, reported })).replica.delta).toStrictEqual(delta);
  });

  it('takes 1 and 1.0 for equal', () => {
    const a = JSON.parse('1.0') as JsonValue;
    expect(diff({ a }, { a: 1 })).toStrictEqual({});
  });

  it('is no member of get where nothing is outstanding', () => {
    const { get } = given(update({ desired: { a: 1 } })).when(update({ reported: { a: 1 } }));
    expect(get.state).toStrictEqual({ desired: { a: 1 }, reported: { a: 1 } });
    expect(get.metadata).not.toHaveProperty('delta');
  });
});

describe('A delta that is kept from event to event', () => {
  const desired = (section: JsonObject | null) => update({ desired: section });
  const reported = (section: JsonObject | null) => update({ reported: section });
  const cases: [rule: string, steps: ReturnType<typeof update>[], delta: JsonObject][] = [
    [
      'is the whole of desired once reported goes',
      [desired({ a: { b: 1 } }), reported({ a: { b: 1 } }), reported(null)],
      { a: { b: 1 } },
    ],
    [
      'follows a change of desired after reported went',
      [desired({ a: { b: 1 } }), reported({ a: 1 }), reported(null), desired({ a: { c: 2 } })],
      { a: { b: 1, c: 2 } },
    ],
    [
      'finds what is fulfilled after reported went',
      [desired({ a: { b: 1, c: 1 } }), reported(null), reported({ a: { b: 1 } })],
      { a: { c: 1 } },
    ],
    ['is empty once desired goes', [desired({ a: 1 }), desired(null)], {}],
    ['is empty once both go', [desired({ a: 1 }), update(null)], {}],
    ['shrinks where a desired key goes', [desired({ a: 1, b: 2 }), desired({ a: null })], { b: 2 }],
    [
      'loses a node whose last outstanding key goes',
      [desired({ a: { b: 1, c: 1 } }), reported({ a: { c: 1 } }), desired({ a: { b: null } })],
      {},
    ],
    [
      'grows where a reported key goes',
      [desired({ a: { b: 1 } }), reported({ a: { b: 1 } }), reported({ a: { b: null } })],
      { a: { b: 1 } },
    ],
    [
      'sees a scalar become an object in reported',
      [desired({ a: { b: 1, c: 1 } }), reported({ a: 1 }), reported({ a: { b: 1 } })],
      { a: { c: 1 } },
    ],
    [
      'sees an object become a scalar in reported',
      [desired({ a: { b: 1, c: 1 } }), reported({ a: { b: 1 } }), reported({ a: 1 })],
      { a: { b: 1, c: 1 } },
    ],
    [
      'sees a scalar become an object in desired',
      [desired({ a: 1 }), reported({ a: { b: 1 } }), desired({ a: { b: 2, c: 3 } })],
      { a: { b: 2, c: 3 } },
    ],
    [
      'sees an equal scalar become {} in desired',
      [desired({ a: 1 }), reported({ a: 1 }), desired({ a: {} })],
      { a: {} },
    ],
    ['sees {} fulfilled by {}', [desired({ a: {} }), reported({ a: {} })], {}],
    [
      'does not share its nodes with desired',
      [
        desired({ a: { b: 1, c: 1 } }),
        reported({ a: {} }),
        reported({ a: { b: 1 } }),
        reported({ a: { b: null } }),
      ],
      { a: { b: 1, c: 1 } },
    ],
    ['is empty after a delete', [desired({ a: 1 }), remove()], {}],
  ];

  it.each(cases)('%s', (_rule, steps, delta) => {
    const last = steps[steps.length - 1] ?? update({});
    const { replica } = given(...steps.slice(0, -1)).when(last);
    expect(replica.delta).toStrictEqual(delta);
    expect(replica.delta).toStrictEqual(diff(replica.desired, replica.reported));
  });

  const same = update({ reported: { o: { a: 1, b: 1, c: 1 } }, desired: { o: { a: 1, b: 1, c: 1 } } });
  it.each([
    [[reported({ o: { c: 2 } }), reported({ o: { a: 2 } })], 'ca'],
    [[reported({ o: { c: 2, a: 2 } })], 'ca'],
    [[reported({ o: { c: 2, a: 2 } }), reported({ o: { b: 2 } })], 'cab'],
    [[reported({ o: { b: 2, a: 2 } }), reported({ o: { b: 1 } }), reported({ o: { b: 2 } })], 'ab'],
  ])('keeps its keys in the order of the updates that made them: %j', (steps, order) => {
    const last = steps[steps.length - 1] ?? update({});
    const { replica } = given(same, ...steps.slice(0, -1)).when(last);
    expect(Object.keys(replica.delta['o'] ?? {}).join('')).toBe(order);
  });
});

describe('A delta message', () => {
  const first = update({ reported: { a: 1, b: 1 }, desired: { a: 2, b: 1 } });
  const sent = (state: RequestedState | null) => given(first).when(update(state)).delta;

  it('holds all that is outstanding, not only the keys of its update', () => {
    expect(sent({ desired: { c: 3 } })?.state).toStrictEqual({ a: 2, c: 3 });
  });

  it('holds the desired metadata of the outstanding paths', () => {
    expect(sent({ desired: { c: { d: [1, 2] } } })?.metadata).toStrictEqual({
      a: { timestamp: 100 },
      c: { d: [{ timestamp: 200 }, { timestamp: 200 }] },
    });
  });

  it('is sent again by an update that changes nothing, while something is outstanding', () => {
    expect(sent({ reported: { a: 1 } })).toMatchObject({ state: { a: 2 }, changed: {}, version: 2 });
  });

  it('is sent with an empty state where a value changed and nothing is outstanding', () => {
    expect(sent({ reported: { a: 2 } })).toStrictEqual({
      state: {},
      changed: { reported: { a: 2 } },
      metadata: {},
      version: 2,
      timestamp: 200,
    });
  });

  it('is not sent where nothing changed and nothing is outstanding', () => {
    expect(given(update({ reported: { a: 1 } })).when(update({ reported: { a: 1 } })).delta).toBeUndefined();
  });

  it('is not sent by a delete', () => {
    expect(given(first).when(remove()).delta).toBeUndefined();
  });

  it('is sent again by an update that is skipped, while something is outstanding', () => {
    const { delta, events } = given(first).when(update({ reported: { a: 1 } }, { clientToken: 't' }), SKIP);
    expect(events).toStrictEqual([]);
    expect(delta).toMatchObject({ state: { a: 2 }, changed: {}, version: 1, clientToken: 't' });
  });

  it.each<[rule: string, state: RequestedState | null, changed: JsonObject]>([
    [
      'only the values that really changed',
      { reported: { a: 1, b: 5, c: { d: 1 } } },
      { reported: { b: 5, c: { d: 1 } } },
    ],
    ['null where a value was removed', { desired: { a: null, x: null } }, { desired: { a: null } }],
    [
      'both sections where both changed',
      { reported: { a: 2 }, desired: { b: 2 } },
      { reported: { a: 2 }, desired: { b: 2 } },
    ],
    ['no section that stayed', { reported: { a: 1 }, desired: { b: 2 } }, { desired: { b: 2 } }],
    ['null for a section that went', { reported: null }, { reported: null }],
    ['null for each section that went', null, { reported: null, desired: null }],
    ['a new empty object', { reported: { x: {} } }, { reported: { x: {} } }],
    [
      'no null of what was never there',
      { reported: { x: { y: null, z: 1 } } },
      { reported: { x: { z: 1 } } },
    ],
  ])('names as changed %s', (_rule, state, changed) => {
    expect(sent(state)?.changed).toStrictEqual(changed);
  });

  it('does not name a section as changed that was empty and is removed', () => {
    const { delta } = given(update({ desired: { a: 1 } })).when(update({ reported: null }));
    expect(delta?.changed).toStrictEqual({});
  });

  it('bears the version, time and token of its update, as accepted and documents do', () => {
    const { accepted, delta, documents } = given(first).when(
      update({ desired: { a: 3 } }, { clientToken: 't' }),
    );
    const stamp = { version: 2, timestamp: 200, clientToken: 't' };
    expect(accepted).toMatchObject(stamp);
    expect(delta).toMatchObject(stamp);
    expect(documents).toMatchObject({ current: { version: 2 }, timestamp: 200, clientToken: 't' });
  });
});
