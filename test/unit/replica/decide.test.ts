import { describe, expect, it } from '@jest/globals';
import { decide } from '../../../src/replica/decide.js';
import { emptyReplica } from '../../../src/replica/replica.js';
import {
  commandOf,
  execute,
  given,
  origin,
  RECORD,
  remove,
  SKIP,
  update,
  withLimit,
} from '../support/scenario.js';

const conflict = { code: 409, message: 'Version conflict' };

describe('Versions', () => {
  const once = update({ reported: { a: 1 } });

  it('start at 1', () => {
    expect(given().when(once).accepted?.version).toBe(1);
  });

  it('grow by one for every accepted update', () => {
    expect(given(once, once, update({ desired: { b: 1 } })).when(once).accepted?.version).toBe(4);
  });

  it('grow by one for an update of both sections', () => {
    const { events } = given(once).when(update({ reported: { a: 2 }, desired: { a: 3 } }));
    expect(events.map(({ version }) => version)).toStrictEqual([2, 2]);
  });

  it('grow also by an update that changes nothing', () => {
    expect(given(once).when(once).accepted?.version).toBe(2);
    expect(given(once).when(update({})).accepted?.version).toBe(2);
  });

  it('do not grow by what is refused', () => {
    const device = given(once);
    device.when(update({}, { version: 7 }));
    expect(device.when(once).accepted?.version).toBe(2);
  });

  it.each([
    ['equal to the current one is accepted', 2, null],
    ['lower than the current one is a conflict', 1, conflict],
    ['higher than the current one is a conflict', 3, conflict],
    ['0 is a conflict where a replica exists', 0, conflict],
  ])('of a request: %s', (_rule, version, refusal) => {
    expect(given(once, once).when(update({}, { version })).refusal).toStrictEqual(refusal);
    expect(given(once, once).when(remove({ version })).refusal).toStrictEqual(refusal);
  });

  it('of a request are checked against 0 where there is no replica yet', () => {
    expect(given().when(update({}, { version: 0 })).accepted?.version).toBe(1);
    expect(given().when(update({}, { version: 1 })).refusal).toStrictEqual(conflict);
  });

  it('go on after a delete', () => {
    expect(given(once, once, remove()).when(once).accepted?.version).toBe(3);
    expect(given(once, remove(), once, remove()).when(once).accepted?.version).toBe(3);
  });

  it('of a request are checked against the kept version after a delete', () => {
    expect(given(once, remove()).when(update({}, { version: 1 })).refusal).toBeNull();
    expect(given(once, remove()).when(update({}, { version: 0 })).refusal).toStrictEqual(conflict);
  });

  it('are no matter where the replica must only exist', () => {
    expect(given(once).when(update({}, { mustExist: true })).refusal).toBeNull();
    expect(given().when(update({}, { mustExist: true })).refusal).toStrictEqual(conflict);
    expect(given(once, remove()).when(update({}, { mustExist: true })).refusal).toStrictEqual(conflict);
  });
});

describe('Recording', () => {
  it('is one event with the section of the request', () => {
    const { events } = given().when(update({ desired: { a: 1, b: null } }, { clientToken: 't' }));
    expect(events).toMatchObject([
      { type: 'DesiredStateChanged', version: 1, timestamp: 100, state: { a: 1, b: null }, clientToken: 't' },
    ]);
  });

  it('is two events of one version and time for both sections, reported first', () => {
    const { events } = given().when(update({ desired: { d: 1 }, reported: { r: 1 } }));
    expect(events).toMatchObject([
      { type: 'ReportedStateChanged', version: 1, timestamp: 100, state: { r: 1 } },
      { type: 'DesiredStateChanged', version: 1, timestamp: 100, state: { d: 1 } },
    ]);
  });

  it('is two events for state: null', () => {
    const { events } = given().when(update(null));
    expect(events).toMatchObject([
      { type: 'ReportedStateChanged', state: null, scope: 'all' },
      { type: 'DesiredStateChanged', state: null, scope: 'all' },
    ]);
  });

  it('is one event that changes nothing for state: {}', () => {
    const { events } = given().when(update({}));
    expect(events).toMatchObject([{ type: 'ReportedStateChanged', state: {}, scope: 'none', version: 1 }]);
  });

  it('takes place by default for an update that changes no value', () => {
    const { events } = given(update({ reported: { a: 1 } })).when(update({ reported: { a: 1 } }), RECORD);
    expect(events).toHaveLength(1);
  });
});

describe('A decision', () => {
  const first = commandOf(update({ desired: { a: 1 } }), origin(0));

  it('says that a command is accepted, and its events', () => {
    const replica = emptyReplica('d1');
    const event = {
      type: 'DesiredStateChanged',
      version: 1,
      timestamp: 5,
      state: { a: 1 },
      stateJson: '{"a":1}',
      bytesAfter: undefined,
      bytesAtMost: 21,
    };
    expect(decide(replica, first, 5, RECORD)).toStrictEqual({ kind: 'accepted', events: [event] });
    execute(replica, first, 5, RECORD);
    expect(decide(replica, first, 5, SKIP)).toStrictEqual({ kind: 'accepted', events: [] });
    expect(decide(replica, commandOf(remove(), origin(1)), 6, RECORD)).toStrictEqual({
      kind: 'accepted',
      events: [{ type: 'ReplicaDeleted', version: 1, timestamp: 6 }],
    });
  });

  it('says that a command is refused, and why', () => {
    expect(decide(emptyReplica('d1'), { ...first, version: 1 }, 5, RECORD)).toStrictEqual({
      kind: 'refused',
      refusal: conflict,
    });
  });

  it('counts sizes exactly only where they may be over half the limit', () => {
    // {"a":1} is 7 bytes, and 21 at the most.
    const { replica: far } = given().when(update({ desired: { a: 1 } }), withLimit(42));
    expect(far).toMatchObject({ desiredBytes: -1, bytesAtMost: 21 });
    const { replica: near } = given().when(update({ desired: { a: 1 } }), withLimit(41));
    expect(near).toMatchObject({ desiredBytes: 7, bytesAtMost: 7 });
  });
});

describe('UNCHANGED_UPDATES=skip', () => {
  const first = update({ reported: { a: 1, o: { x: 1 } }, desired: { a: 1 } });

  it.each([
    ['an equal value', update({ reported: { a: 1 } })],
    ['an equal value in both sections', update({ reported: { a: 1 }, desired: { a: 1 } })],
    ['a null for what is not there', update({ reported: { b: null } })],
    ['{} where an object stands', update({ reported: { o: {} } })],
    ['an empty section', update({ desired: {} })],
    ['no section', update({})],
  ])('records nothing for %s, and accepts it with the same version', (_what, step) => {
    const { events, accepted, refusal, delta } = given(first).when(step, SKIP);
    expect({ events, refusal, delta }).toStrictEqual({ events: [], refusal: null, delta: undefined });
    expect(accepted).toMatchObject({ version: 1, timestamp: 100 });
  });

  it.each([
    ['a changed value', update({ reported: { a: 2 } })],
    ['a changed value in the second section', update({ reported: { a: 1 }, desired: { a: 2 } })],
    ['a removed value', update({ reported: { a: null } })],
    ['{} where a scalar stands', update({ reported: { a: {} } })],
    ['{} where nothing stands', update({ reported: { n: {} } })],
    ['true where 1 stands', update({ reported: { a: true } })],
    ['a removed section', update({ desired: null })],
    ['both sections removed', update(null)],
  ])('records %s', (_what, step) => {
    expect(given(first).when(step, SKIP).accepted?.version).toBe(2);
  });

  it('records the first update, whatever it holds', () => {
    expect(given().when(update({}), SKIP).events).toHaveLength(1);
    expect(given(update({}), remove()).when(update({}), SKIP).events).toHaveLength(1);
  });

  it('records a removed section only once', () => {
    expect(given(first, update(null)).when(update(null), SKIP).events).toStrictEqual([]);
  });

  it('checks the version all the same', () => {
    expect(given(first).when(update({}, { version: 2 }), SKIP).refusal).toStrictEqual(conflict);
  });

  it('records a delete', () => {
    expect(given(first).when(remove(), SKIP).events).toHaveLength(1);
  });
});

describe('A delete', () => {
  const once = update({ reported: { a: 1 } });

  it('is an event with the version of what it deletes', () => {
    const { events, accepted, documents } = given(once, once).when(remove({ clientToken: 't' }));
    expect(events).toStrictEqual([{ type: 'ReplicaDeleted', version: 2, timestamp: 300, clientToken: 't' }]);
    expect(accepted).toStrictEqual({ version: 2, timestamp: 300, clientToken: 't' });
    expect(documents).toBeNull();
  });

  it('of what does not exist is refused', () => {
    const refusal = { code: 404, message: "No state exists for device: 'd1'" };
    expect(given().when(remove()).refusal).toStrictEqual(refusal);
    expect(given(once, remove()).when(remove()).refusal).toStrictEqual(refusal);
  });
});

describe('Times', () => {
  it('are the clock’s', () => {
    expect(given().when(update({}, { at: 1234 })).accepted?.timestamp).toBe(1234);
  });

  it('never go backwards when the clock does', () => {
    const device = given(update({ reported: { a: 1 } }, { at: 500 }));
    const { accepted, replica } = device.when(update({ reported: { b: 1 } }, { at: 400 }));
    expect(accepted?.timestamp).toBe(500);
    expect(replica.reportedMeta).toStrictEqual({ a: 500, b: 500 });
    expect(device.when(remove({ at: 1 })).accepted?.timestamp).toBe(500);
    expect(device.when(update({}, { at: 2 })).accepted?.timestamp).toBe(500);
    expect(device.when(update({}, { at: 501 })).accepted?.timestamp).toBe(501);
  });
});

describe('The size limit', () => {
  const sized = (value: string) => update({ reported: { a: value } });

  it.each([
    ['ASCII', 'xxxxx', 13],
    ['two-byte characters', 'éé', 12],
    ['three-byte characters', '€', 11],
    ['surrogate pairs', '😀', 12],
    ['short escapes', '"\\\n\t\b\f\r', 22],
    ['long escapes', '\u0001\u001f\u000b', 26],
    ['DEL and line separators, which are not escaped', '\u007f\u2028', 12],
  ])('counts %s as UTF-8 JSON, exactly', (_what, value, bytes) => {
    expect(given().when(sized(value), withLimit(bytes)).refusal).toBeNull();
    expect(given().when(sized(value), withLimit(bytes - 1)).refusal).toStrictEqual({
      code: 413,
      message: `The state would be ${bytes} bytes; maximum is ${bytes - 1}`,
    });
  });

  it('is 32 KiB by default', () => {
    expect(given().when(sized('x'.repeat(32 * 1024 - 8))).refusal).toBeNull();
    expect(given().when(sized('x'.repeat(32 * 1024 - 7))).refusal?.code).toBe(413);
  });

  it('counts both sections together, after the merge', () => {
    const device = given(update({ reported: { a: 1, b: 2 } }));
    // {"a":1,"b":2} is 13 bytes, {"a":1} is 7.
    expect(device.when(update({ desired: { a: 1 } }), withLimit(19)).refusal?.code).toBe(413);
    expect(device.when(update({ desired: { a: 1 } }), withLimit(20)).refusal).toBeNull();
    expect(
      device.when(update({ reported: { b: null }, desired: { bb: 2 } }), withLimit(21)).refusal,
    ).toBeNull();
  });

  it('does not count nulls of the request, nor a section that goes', () => {
    const device = given(update({ reported: { a: 1 } }));
    expect(device.when(update({ reported: { longest: null } }), withLimit(7)).refusal).toBeNull();
    expect(device.when(update({ reported: null, desired: { b: 2 } }), withLimit(7)).refusal).toBeNull();
  });

  it('counts a section without keys as nothing', () => {
    const { replica, refusal } = given(update({ reported: { a: 1 } })).when(
      update({ reported: { a: null }, desired: { b: {} } }),
      withLimit(8),
    );
    expect(refusal).toBeNull();
    expect([replica.reportedBytes, replica.desiredBytes]).toStrictEqual([0, 8]);
  });

  it('does not count metadata or events', () => {
    const device = given(update({ reported: { a: 1 } }));
    for (let i = 0; i < 100; i++)
      expect(device.when(update({ reported: { a: 2 } }), withLimit(7)).refusal).toBeNull();
  });

  it('lets a state that is over a lowered limit shrink, and not grow or stay', () => {
    const device = given(update({ reported: { a: 'xxxxxxxxxx' } }));
    expect(device.when(update({ reported: { a: 'yyyyyyyyyyy' } }), withLimit(10)).refusal?.code).toBe(413);
    expect(device.when(update({ reported: { a: 'yyyyyyyyyy' } }), withLimit(10)).refusal?.code).toBe(413);
    expect(device.when(update({ reported: { a: 'yyyyyyyyy' } }), withLimit(10)).refusal).toBeNull();
  });

  it('lets one section shrink also where the other is large', () => {
    const device = given(update({ reported: { a: 'xxxx' }, desired: { b: 'xxxx' } }));
    expect(device.when(update({ reported: { a: 'yyyyy' } }), withLimit(10)).refusal?.code).toBe(413);
    expect(device.when(update({ reported: { a: 'yyy' } }), withLimit(10)).refusal).toBeNull();
  });

  it('comes after the version', () => {
    expect(given().when(update({ reported: { a: 1 } }, { version: 3 }), withLimit(1)).refusal).toStrictEqual(
      conflict,
    );
  });
});
