import { describe, expect, it } from '@jest/globals';
import { type SectionChanged } from '../../../src/replica/events.js';
import { type Changed, countBytes, evolve } from '../../../src/replica/evolve.js';
import { jsonBytes } from '../../../src/replica/json.js';
import { emptyReplica, type Replica } from '../../../src/replica/replica.js';
import { applyAndRespond } from '../../../src/replica/respond.js';
import { deepFreeze, given, origin, remove, update } from '../support/scenario.js';

const event = (rest: Partial<SectionChanged> = {}): SectionChanged => ({
  type: 'ReportedStateChanged',
  version: 1,
  timestamp: 10,
  state: { a: 1 },
  ...rest,
});

function fold(...events: SectionChanged[]): Replica {
  const replica = emptyReplica('d1');
  events.forEach((each, index) => evolve(replica, each, origin(index), index));
  return replica;
}

describe('Folding an event', () => {
  it('takes over its version, time and revision', () => {
    const replica = evolve(emptyReplica('d1'), event({ version: 7, timestamp: 70 }), origin(0), 12);
    expect(replica).toMatchObject({ exists: true, version: 7, timestamp: 70, revision: 12 });
  });

  it('returns the replica that it was given', () => {
    const replica = emptyReplica('d1');
    expect(evolve(replica, event(), origin(0), 0)).toBe(replica);
  });

  it('changes only the section that it names', () => {
    const replica = fold(event(), event({ type: 'DesiredStateChanged', state: { d: 1 } }));
    expect(replica).toMatchObject({ reported: { a: 1 }, desired: { d: 1 }, delta: { d: 1 } });
  });

  it('of scope none makes the replica exist and changes nothing', () => {
    const replica = fold(event({ scope: 'none', state: {} }));
    expect(replica).toMatchObject({ exists: true, version: 1, reported: {}, desired: {}, delta: {} });
  });

  it('takes the size that was counted for it, and knows none otherwise', () => {
    expect(fold(event({ bytesAfter: 7 })).reportedBytes).toBe(7);
    expect(fold(event({ bytesAfter: 7 }), event({ state: { b: 1 } })).reportedBytes).toBe(-1);
    expect(fold(event({ state: null })).reportedBytes).toBe(0);
    expect(fold(event({ bytesAfter: 7 }), event({ scope: 'none', state: {} })).reportedBytes).toBe(7);
  });

  it('takes what both sections have at the most, and knows no bound otherwise', () => {
    expect(fold(event({ bytesAtMost: 9 })).bytesAtMost).toBe(9);
    expect(fold(event({ bytesAtMost: 9 }), event()).bytesAtMost).toBe(Infinity);
  });

  it('takes what both sections have together, once both are known', () => {
    const desired = (bytesAfter?: number) => event({ type: 'DesiredStateChanged', bytesAfter });
    const none = event({ bytesAfter: 0 });
    expect(fold(event({ bytesAfter: 7 })).bytesCounted).toBe(7);
    expect(fold(event({ bytesAfter: 7 }), desired(8)).bytesCounted).toBe(15);
    expect(fold(event({ bytesAfter: 7 }), desired(8), none).bytesCounted).toBe(8);
    expect(fold(event({ bytesAfter: 7 }), desired(8), none, desired(0)).bytesCounted).toBe(0);
    // It stays what it was: of one of them it is not known what it takes.
    expect(fold(event({ bytesAfter: 7 }), desired(8), event()).bytesCounted).toBe(15);
    expect(fold(event({ bytesAfter: 7 }), desired(8), desired()).bytesCounted).toBe(15);
    expect(fold(event({ bytesAfter: 7 }), desired(8), event(), desired(9)).bytesCounted).toBe(15);
  });

  it('that did not know the sizes can have them counted', () => {
    const replica = fold(event(), event({ type: 'DesiredStateChanged', state: { dd: 1 } }));
    countBytes(replica);
    expect(replica).toMatchObject({ reportedBytes: 7, desiredBytes: 8, bytesAtMost: 15, bytesCounted: 15 });
    const empty = fold(event({ state: {} }));
    countBytes(empty);
    expect(empty).toMatchObject({ reportedBytes: 0, desiredBytes: 0, bytesAtMost: 0, bytesCounted: 0 });
  });

  it('of a delete leaves the version and nothing of the state', () => {
    const { replica } = given(update({ reported: { a: 1 }, desired: { b: 1 } })).when(remove());
    expect(replica).toMatchObject({ exists: false, version: 1, timestamp: 200, revision: 2 });
    expect(replica).toMatchObject({
      reported: {},
      desired: {},
      reportedMeta: {},
      desiredMeta: {},
      delta: {},
      reportedBytes: 0,
      desiredBytes: 0,
    });
  });

  it('never changes the event’s own state, nor does a later one', () => {
    const first = deepFreeze(event({ state: { a: { b: { c: 1 } }, l: [{ x: 1 }] } }));
    const second = deepFreeze(event({ state: { a: { b: { d: 1 } }, l: [{ x: 2 }] } }));
    const desired = deepFreeze(event({ type: 'DesiredStateChanged', state: { a: { b: { c: 2 } } } }));
    const replica = fold(first, desired, second, desired, first, event({ state: { a: { b: null } } }));
    expect(replica.reported).toStrictEqual({ a: {}, l: [{ x: 1 }] });
  });

  it('gathers what both events of a command changed', () => {
    const replica = fold(event());
    const changed: Changed = {};
    evolve(replica, event({ state: { a: 2 } }), origin(1), 1, changed);
    evolve(replica, event({ type: 'DesiredStateChanged', state: { b: 1 } }), origin(1), 2, changed);
    expect(changed).toStrictEqual({ reported: { a: 2 }, desired: { b: 1 } });
  });

  it('does not name as changed what stayed', () => {
    const changed: Changed = {};
    evolve(fold(event()), event(), origin(1), 1, changed);
    expect(changed).toStrictEqual({});
  });

  it('answers without the documents where they are not wanted', () => {
    const respond = (withDocuments: boolean): unknown =>
      applyAndRespond(emptyReplica('d1'), [event()], origin(0), 0, withDocuments);
    expect(respond(true)).toHaveProperty('documents');
    expect(respond(false)).not.toHaveProperty('documents');
  });

  it('refuses to answer for no events', () => {
    expect(() => applyAndRespond(emptyReplica('d1'), [], origin(0), 0, false)).toThrow('at least one event');
  });
});

describe('Metadata', () => {
  const metaAfter = (...states: SectionChanged['state'][]): unknown =>
    fold(...states.map((state, index) => event({ state, timestamp: index + 1 }))).reportedMeta;

  it.each<[rule: string, states: SectionChanged['state'][], meta: unknown]>([
    ['has the time of the update at each leaf', [{ a: 1, b: { c: 2 } }], { a: 1, b: { c: 1 } }],
    ['keeps the time of what is not named', [{ a: 1, b: 1 }, { b: 2 }], { a: 1, b: 2 }],
    [
      'has the new time also for an equal value',
      [
        { a: 1, b: [1] },
        { a: 1, b: [1] },
      ],
      { a: 2, b: 2 },
    ],
    [
      'goes with a removed key',
      [
        { a: 1, b: { c: 1 } },
        { a: null, b: { c: null } },
      ],
      { b: {} },
    ],
    ['goes with the section', [{ a: 1 }, null], {}],
    ['has one time for a whole array', [{ a: [1, { b: 2 }] }], { a: 1 }],
    ['has no time for an empty object', [{ a: {} }], { a: {} }],
    ['is made anew where a scalar becomes an object', [{ a: 1 }, { a: { b: 1 } }], { a: { b: 2 } }],
    ['is made anew where an object becomes a scalar', [{ a: { b: 1 } }, { a: 1 }], { a: 2 }],
    ['keeps the inner times by {}', [{ a: { b: 1 } }, { a: {} }], { a: { b: 1 } }],
    [
      'takes inherited names for keys like others',
      [{ toString: { valueOf: 1 } }],
      { toString: { valueOf: 1 } },
    ],
  ])('%s', (_rule, states, meta) => {
    expect(metaAfter(...states)).toStrictEqual(meta);
  });
});

describe('The size of JSON', () => {
  it.each([
    [null],
    [true],
    [false],
    [0],
    [-0],
    [-1.5],
    [1e21],
    [1e-7],
    [5e-324],
    [''],
    ['é€😀'],
    ['"\\/\b\f\n\r\t\u000b\u0000\u001f\u007f\u0080\u07ff\u0800\u2028'],
    [[]],
    [{}],
    [[[], {}, 1]],
    [{ a: {}, 'é"': [1, 2], '': null }],
  ])('of %j is that of its UTF-8 text', (value) => {
    expect(jsonBytes(value)).toBe(Buffer.byteLength(JSON.stringify(value)));
  });
});
