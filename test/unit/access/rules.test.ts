import { describe, expect, it } from '@jest/globals';
import { readCaller } from '../../../src/application/access/caller.js';
import {
  type Action,
  ACTIONS,
  type Caller,
  mayEver,
  mayOnDevice,
  mayOnPrefix,
  mayUpdate,
  type Role,
  ROLES,
} from '../../../src/application/access/rules.js';
import { maySendUpdate } from '../../../src/application/access/sent-update.js';

const CALLERS: Readonly<Record<Role, Caller>> = {
  device: { id: 'lamp-1', role: 'device', devices: ['lamp-1'] },
  component: { id: 'panel', role: 'component', devices: ['lamp-*', 'hub'] },
  analyst: { id: 'ana', role: 'analyst', devices: [] },
  operator: { id: 'ops', role: 'operator', devices: [] },
};

/** For each role: its own device, a foreign one; `yes` or `no`. */
const EXPECTED: Readonly<Record<Action, Readonly<Record<Role, readonly [own: string, foreign: string]>>>> = {
  read: {
    device: ['yes', 'no'],
    component: ['yes', 'no'],
    analyst: ['yes', 'yes'],
    operator: ['yes', 'yes'],
  },
  history: {
    device: ['no', 'no'],
    component: ['yes', 'no'],
    analyst: ['yes', 'yes'],
    operator: ['yes', 'yes'],
  },
  follow: {
    device: ['yes', 'no'],
    component: ['yes', 'no'],
    analyst: ['yes', 'yes'],
    operator: ['yes', 'yes'],
  },
  report: {
    device: ['yes', 'no'],
    component: ['yes', 'no'],
    analyst: ['no', 'no'],
    operator: ['yes', 'yes'],
  },
  desire: {
    device: ['no', 'no'],
    component: ['yes', 'no'],
    analyst: ['no', 'no'],
    operator: ['yes', 'yes'],
  },
  delete: {
    device: ['no', 'no'],
    component: ['yes', 'no'],
    analyst: ['no', 'no'],
    operator: ['yes', 'yes'],
  },
  revert: {
    device: ['no', 'no'],
    component: ['yes', 'no'],
    analyst: ['no', 'no'],
    operator: ['yes', 'yes'],
  },
  'list-fleet': {
    device: ['no', 'no'],
    component: ['yes', 'no'],
    analyst: ['yes', 'yes'],
    operator: ['yes', 'yes'],
  },
  'follow-fleet': {
    device: ['no', 'no'],
    component: ['yes', 'no'],
    analyst: ['yes', 'yes'],
    operator: ['yes', 'yes'],
  },
  operate: {
    device: ['no', 'no'],
    component: ['no', 'no'],
    analyst: ['no', 'no'],
    operator: ['yes', 'yes'],
  },
  metrics: {
    device: ['no', 'no'],
    component: ['no', 'no'],
    analyst: ['yes', 'yes'],
    operator: ['yes', 'yes'],
  },
  docs: {
    device: ['no', 'no'],
    component: ['yes', 'yes'],
    analyst: ['yes', 'yes'],
    operator: ['yes', 'yes'],
  },
};

const matrix = ROLES.flatMap((role) => ACTIONS.map((action) => ({ role, action })));

describe('who may do what', () => {
  it.each(matrix)('$role: $action', ({ role, action }) => {
    const caller = CALLERS[role];
    const answers = ['lamp-1', 'pump-1'].map((id) => (mayOnDevice(caller, action, id) ? 'yes' : 'no'));
    expect(answers).toEqual(EXPECTED[action][role]);
    expect(mayEver(caller, action)).toBe(EXPECTED[action][role].includes('yes'));
  });

  it.each([
    ['lamp-', true],
    ['lamp-1', true],
    ['lamp', false],
    ['', false],
    ['pump-', false],
    // One device, and a prefix of others: hub-2 begins so.
    ['hub', false],
    ['hub/', false],
    ['hub/name/', true],
    ['lamp-1/name/', true],
  ])('a component asks over all devices with the prefix %j: %p', (prefix, may) => {
    expect(mayOnPrefix(CALLERS.component, 'list-fleet', prefix)).toBe(may);
    expect(mayOnPrefix(CALLERS.component, 'follow-fleet', prefix)).toBe(may);
    expect(mayOnPrefix(CALLERS.analyst, 'list-fleet', prefix)).toBe(true);
    expect(mayOnPrefix(CALLERS.device, 'list-fleet', prefix)).toBe(false);
  });

  it('a component of all devices may ask without a prefix', () => {
    expect(mayOnPrefix({ id: 'all', role: 'component', devices: ['*'] }, 'list-fleet', '')).toBe(true);
  });

  it.each([
    ['lamp-1', 'lamp-1', true],
    ['lamp-1', 'lamp-10', false],
    ['lamp-1', 'LAMP-1', false],
    ['lamp-*', 'lamp-', true],
    ['lamp-*', 'lamp', false],
    ['*', 'anything', true],
    ['l.mp', 'lamp', false],
    ['lamp-1', 'lamp-1/name/firmware', true],
    ['lamp-1', 'lamp-10/name/firmware', false],
    ['lamp-1', 'lamp-1/nameless', false],
    ['lamp-*', 'lamp-1/name/firmware', true],
    ['lamp-*', 'pump/name/lamp-1', false],
  ])('%s reaches %s: %p', (pattern, deviceId, does) => {
    expect(mayOnDevice({ id: 'c', role: 'component', devices: [pattern] }, 'read', deviceId)).toBe(does);
  });
});

describe('an update of a caller', () => {
  it.each([
    [{ reported: {} }, 'yes', 'no'],
    [{ reported: null }, 'yes', 'no'],
    [{ desired: {} }, 'no', 'no'],
    [{ desired: null }, 'no', 'no'],
    [{ reported: {}, desired: {} }, 'no', 'no'],
    [null, 'no', 'no'],
    [{}, 'yes', 'no'],
  ])('that is a device: %j, of its own: %s, of another: %s', (state, own, foreign) => {
    const answers = ['lamp-1', 'pump-1'].map((id) => (mayUpdate(CALLERS.device, id, state) ? 'yes' : 'no'));
    expect(answers).toEqual([own, foreign]);
    const sent = Buffer.from(JSON.stringify({ state }));
    expect(maySendUpdate(CALLERS.device, 'lamp-1', sent)).toBe(own === 'yes');
    expect(maySendUpdate(CALLERS.component, 'lamp-1', sent)).toBe(true);
    expect(maySendUpdate(CALLERS.analyst, 'lamp-1', sent)).toBe(false);
  });

  it.each([
    '{"state":{"desired":{"a":1}},"state":{"reported":{}}',
    'no JSON',
    '[]',
    '{}',
    '{"state":1}',
    '{"desired":{}}',
  ])('that is no update is left to be refused as a command: %s', (text) => {
    expect(maySendUpdate(CALLERS.device, 'lamp-1', Buffer.from(text))).toBe(true);
  });

  it('is seen whatever its depth and its escapes', () => {
    const deep = `{"state":{"reported":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)},"desired":{}}}`;
    expect(maySendUpdate(CALLERS.device, 'lamp-1', Buffer.from(deep))).toBe(false);
    expect(maySendUpdate(CALLERS.device, 'lamp-1', Buffer.from('{"st\\u0061te":{"d\\u0065sired":{}}}'))).toBe(
      false,
    );
  });
});

describe('a caller', () => {
  it.each([
    [{ id: 'lamp-1', role: 'device', devices: ['lamp-1'] }],
    [{ id: 'panel 2', role: 'component', devices: ['lamp-*', 'hub', '*'] }],
    [{ id: 'a', role: 'analyst', devices: [] }],
  ])('is read: %j', (claims) => {
    expect(readCaller(claims)).toEqual(claims);
  });

  it.each([
    [{ id: '', role: 'analyst', devices: [] }, 'id must'],
    [{ id: 'x\ny', role: 'analyst', devices: [] }, 'id must'],
    [{ id: 5, role: 'analyst', devices: [] }, 'id must'],
    [{ id: 'x', role: 'root', devices: [] }, 'role must be device, component, analyst or operator'],
    [{ id: 'x', role: 'constructor', devices: [] }, 'role must'],
    [{ id: 'x', role: ['operator'], devices: [] }, 'role must'],
    [{ id: 'x', role: 'component', devices: 'lamp-*' }, 'devices must be an array'],
    [{ id: 'x', role: 'component', devices: [5] }, 'devices must be an array'],
    [{ id: 'x', role: 'component', devices: [] }, 'one or more'],
    [{ id: 'x', role: 'component', devices: undefined }, 'one or more'],
    [{ id: 'x', role: 'component', devices: ['a*b'] }, 'neither'],
    [{ id: 'x', role: 'component', devices: ['**'] }, 'neither'],
    [{ id: 'x', role: 'component', devices: [''] }, 'neither'],
    [{ id: 'x', role: 'component', devices: ['a/name/*'] }, 'neither'],
    [{ id: 'x', role: 'device', devices: ['a/name/b'] }, 'neither'],
    [{ id: 'x', role: 'device', devices: ['lamp-*'] }, 'exactly one'],
    [{ id: 'x', role: 'device', devices: ['a', 'b'] }, 'exactly one'],
    [{ id: 'x', role: 'device', devices: [] }, 'exactly one'],
    [{ id: 'x', role: 'analyst', devices: ['lamp-1'] }, 'no devices'],
    [{ id: 'x', role: 'operator', devices: ['*'] }, 'no devices'],
  ])('is not read: %j', (claims, problem) => {
    expect(readCaller(claims)).toContain(problem);
  });
});
