import { describe, expect, it } from '@jest/globals';
import {
  closeLeaves,
  decodeOpenChanges,
  encodeOpenChanges,
  noOpenChanges,
  type OpenChanges,
  openLeaves,
} from '../../../src/replica/convergence.js';
import { decide } from '../../../src/replica/decide.js';
import { type Changed, evolve } from '../../../src/replica/evolve.js';
import { type JsonObject } from '../../../src/replica/json.js';
import { emptyReplica } from '../../../src/replica/replica.js';
import { commandOf, origin, RECORD, type Step, update } from '../support/scenario.js';

const report = (reported: JsonObject | null): Step => update({ reported });
const desire = (desired: JsonObject | null): Step => update({ desired });

/** What is open after steps at 100, 200, … */
function openAfter(...steps: Step[]): OpenChanges {
  const replica = emptyReplica('d1');
  const open = noOpenChanges();
  steps.forEach((step, index) => {
    const decision = decide(replica, commandOf(step, origin(index)), (index + 1) * 100, RECORD);
    if (decision.kind === 'refused') throw new Error(decision.refusal.message);
    for (const event of decision.events) {
      const changed: Changed = {};
      evolve(replica, event, origin(index), index, changed);
      closeLeaves(open, event, changed, replica.delta);
      openLeaves(open, event, changed, replica.delta);
    }
  });
  return open;
}

describe('The open leaves of a device', () => {
  it.each<[what: string, steps: Step[], leaves: unknown]>([
    ['bear the version that asked for them', [desire({ a: 1, b: { c: 1 } })], { a: 1, b: { c: 1 } }],
    ['are not those that reported has', [report({ a: 1 }), desire({ a: 1, b: 1 })], { b: 2 }],
    [
      'of a later change stand beside',
      [desire({ a: { b: 1 } }), desire({ a: { c: 1 } })],
      { a: { b: 1, c: 2 } },
    ],
    [
      'hold no object of which nothing is open',
      [report({ a: { b: 1 } }), desire({ a: { b: 1 }, c: 1 })],
      { c: 2 },
    ],
    [
      'hold no object whose last leaf was reached, also where another is outstanding again',
      [
        desire({ a: { b: 1, c: 1 }, d: 1 }),
        report({ a: { b: 1 } }),
        report({ a: { b: 2 } }),
        report({ a: { c: 1 } }),
      ],
      { d: 1 },
    ],
    [
      'hold no object whose last leaf was withdrawn',
      [desire({ a: { b: 1 }, d: 1 }), desire({ a: { b: null } })],
      { d: 1 },
    ],
    [
      'stay where a scalar is reported above them',
      [desire({ a: { b: 1 } }), report({ a: 1 })],
      { a: { b: 1 } },
    ],
  ])('%s', (_what, steps, leaves) => {
    expect(openAfter(...steps).leaves).toStrictEqual(leaves);
  });
});

describe('Open changes as text', () => {
  it('are read back as they were', () => {
    const open = openAfter(desire({ a: 1, b: { c: 1 } }), desire({ a: 2 }), desire({ b: null, d: 1 }));
    const text = encodeOpenChanges(open);
    expect(text).toBe('{"changes":[[2,200,1,0,0],[3,300,1,0,0]],"leaves":{"a":2,"d":3}}');
    expect(decodeOpenChanges(text)).toStrictEqual(open);
  });

  it.each([
    ['no JSON', '{'],
    ['no object', 'null'],
    ['no changes', '{"leaves":{}}'],
    ['changes that are an object', '{"changes":{},"leaves":{}}'],
    ['changes that are a text', '{"changes":"","leaves":{}}'],
    ['no leaves', '{"changes":[]}'],
    ['leaves that are a list', '{"changes":[],"leaves":[]}'],
    ['a row that is an object', '{"changes":[{"length":5}],"leaves":{}}'],
    ['a row of four', '{"changes":[[1,2,3,4]],"leaves":{}}'],
    ['a row of six', '{"changes":[[1,2,3,4,5,6]],"leaves":{}}'],
    ['a row with a fraction', '{"changes":[[1,2,3,4,0.5]],"leaves":{}}'],
    ['a row with a text', '{"changes":[["1",2,3,4,5]],"leaves":{}}'],
  ])('are none from %s', (_what, text) => {
    expect(decodeOpenChanges(text)).toBeNull();
  });
});
