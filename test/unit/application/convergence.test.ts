import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { countSettled } from '../../../src/application/convergence-counts.js';
import {
  type DeviceView,
  emptyView,
  evolveView,
  rowOfView,
  viewOfRow,
} from '../../../src/application/device-view.js';
import { type Settled } from '../../../src/replica/convergence.js';
import { decide } from '../../../src/replica/decide.js';
import { type ReplicaEvent } from '../../../src/replica/events.js';
import { type JsonObject } from '../../../src/replica/json.js';
import { history } from '../support/arbitraries.js';
import { convergenceOf } from '../support/convergence-oracle.js';
import { live } from '../support/model.js';
import { commandOf, expectSame, origin, RECORD, remove, type Step, update } from '../support/scenario.js';

const report = (reported: JsonObject | null): Step => update({ reported });
const desire = (desired: JsonObject | null): Step => update({ desired });

/** What is settled by steps at 100, 200, …, as `version outcome asked-settled`, and what is open then. */
function after(...steps: Step[]): { settled: string[]; open: number[] } {
  const view = emptyView('a');
  const settled: Settled[] = [];
  steps.forEach((step, index) => {
    const decision = decide(view.replica, commandOf(step, origin(index)), (index + 1) * 100, RECORD);
    if (decision.kind === 'refused') throw new Error(decision.refusal.message);
    for (const event of decision.events) {
      const copy = JSON.parse(JSON.stringify(event)) as ReplicaEvent;
      settled.push(...evolveView(view, copy, view.replica.revision + 1));
    }
  });
  return {
    settled: settled.map((each) => `${each.version} ${each.outcome} ${each.askedAt}-${each.settledAt}`),
    open: [...(view.open?.changes.keys() ?? [])],
  };
}

describe('A desired change', () => {
  it.each<[string, Step[], string[], number[]]>([
    ['is open until it is reported', [desire({ a: 1 }), report({ b: 1 })], [], [1]],
    [
      'is reached when it is',
      [desire({ a: 1 }), report({ a: 2 }), report({ a: 1 })],
      ['1 reached 100-300'],
      [],
    ],
    ['is reached at once where it was', [report({ a: 1 }), desire({ a: 1 })], ['2 reached 200-200'], []],
    [
      'is reached with its last leaf, in whatever order',
      [
        desire({ a: 1, b: { c: 2, d: 3 } }),
        report({ b: { d: 3 } }),
        report({ a: 1 }),
        report({ b: { c: 2 } }),
      ],
      ['1 reached 100-400'],
      [],
    ],
    [
      'keeps a leaf that was reached, also where the device goes back',
      [desire({ a: 1, b: 1 }), report({ a: 1 }), report({ a: 2 }), report({ b: 1 })],
      ['1 reached 100-400'],
      [],
    ],
    [
      'keeps a member that was reached, also where the device goes back',
      [
        desire({ a: { b: 1, c: 1 } }),
        report({ a: { b: 1 } }),
        report({ a: { b: 2 } }),
        report({ a: { c: 1 } }),
      ],
      ['1 reached 100-400'],
      [],
    ],
    ['is none where the same is wanted again', [desire({ a: 1 }), desire({ a: 1 })], [], [1]],
    [
      'is none where that was reached, and lost',
      [report({ a: 1 }), desire({ a: 1 }), report({ a: 2 }), desire({ a: 1 })],
      ['2 reached 200-200'],
      [],
    ],
    ['is none where something is only removed', [report({ a: 1 }), desire({ a: null })], [], []],
    ['is superseded by another value', [desire({ a: 1 }), desire({ a: 2 })], ['1 superseded 100-200'], [2]],
    [
      'is superseded by a value above, and by members below',
      [desire({ a: { b: 1 }, c: 1 }), desire({ a: 2, c: { d: 1 } })],
      ['1 superseded 100-200'],
      [2],
    ],
    [
      'is superseded, as an empty object, by a member',
      [desire({ a: {} }), desire({ a: { b: 1 } })],
      ['1 superseded 100-200'],
      [2],
    ],
    [
      'is reached, as an empty object, by any',
      [desire({ a: {} }), report({ a: { x: 1 } })],
      ['1 reached 100-200'],
      [],
    ],
    ['is not reached, as an array, by a part', [desire({ a: [1, 2] }), report({ a: [1] })], [], [1]],
    ['is withdrawn by null', [desire({ a: 1 }), desire({ a: null })], ['1 withdrawn 100-200'], []],
    [
      'is withdrawn by null above',
      [desire({ a: { b: 1 } }), desire({ a: null })],
      ['1 withdrawn 100-200'],
      [],
    ],
    [
      'is withdrawn with the section',
      [desire({ a: 1 }), desire({ b: 1 }), desire(null)],
      ['1 withdrawn 100-300', '2 withdrawn 200-300'],
      [],
    ],
    ['is withdrawn with all', [desire({ a: 1 }), update(null)], ['1 withdrawn 100-200'], []],
    ['is withdrawn by a delete', [desire({ a: 1 }), remove()], ['1 withdrawn 100-200'], []],
    [
      'begins anew after a delete',
      [desire({ a: 1 }), remove(), desire({ a: 1 }), report({ a: 1 })],
      ['1 withdrawn 100-200', '2 reached 300-400'],
      [],
    ],
    ['stays open where the report is removed', [desire({ a: 1 }), report({ b: 1 }), report(null)], [], [1]],
    [
      'is superseded where any leaf was, with the last of them',
      [desire({ a: 1, b: 1, c: 1 }), desire({ a: null }), desire({ b: 2 }), report({ c: 1 })],
      ['1 superseded 100-400'],
      [3],
    ],
    [
      'is withdrawn where a leaf was, and none superseded',
      [desire({ a: 1, b: 1 }), desire({ a: null }), report({ b: 1 })],
      ['1 withdrawn 100-300'],
      [],
    ],
    [
      'is reached where a leaf that was reached is wanted otherwise',
      [desire({ a: 1, b: 1 }), report({ a: 1 }), desire({ a: 2 }), report({ b: 1 })],
      ['1 reached 100-400'],
      [3],
    ],
    [
      'of an update that reports it as well is reached at once',
      [report({ a: 1 }), update({ reported: { a: 2 }, desired: { a: 2 } })],
      ['2 reached 200-200'],
      [],
    ],
    [
      'is reached by the report of an update that wants another value',
      [desire({ a: 1 }), update({ reported: { a: 1 }, desired: { a: 2 } })],
      ['1 reached 100-200'],
      [2],
    ],
    [
      'is superseded by an update that reports the new value',
      [desire({ a: 1 }), update({ reported: { a: 2 }, desired: { a: 2 } })],
      ['2 reached 200-200', '1 superseded 100-200'].reverse(),
      [],
    ],
    [
      'does not see that an object lost its last member',
      [desire({ a: { b: 1 } }), desire({ a: { b: null } })],
      ['1 withdrawn 100-200'],
      [],
    ],
  ])('%s', (_, steps, settled, open) => {
    expect(after(...steps)).toEqual({ settled, open });
  });
});

describe('The desired changes of any history', () => {
  it('end as whole states compared leaf by leaf say, also where rows are read back in between', () => {
    const outcomes = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(history, { minLength: 1, maxLength: 3 }), fc.nat(), (parts, mask) => {
        const events: ReplicaEvent[] = [];
        const settled: Settled[] = [];
        let view: DeviceView = emptyView('d1');
        live(parts.flat(), RECORD, ({ events: recorded }) => {
          for (const event of recorded) {
            const copy = JSON.parse(JSON.stringify(event)) as ReplicaEvent;
            events.push(copy);
            settled.push(...evolveView(view, copy, events.length - 1));
            if ((mask >> (events.length % 20)) % 2 === 0) view = viewOfRow(rowOfView(view)) as DeviceView;
          }
        });
        const changes = convergenceOf(events);
        const byVersion = <T extends { version: number }>(all: readonly T[]): T[] =>
          [...all].sort((a, b) => a.version - b.version);
        expectSame(
          byVersion(settled),
          changes.flatMap(({ version, askedAt, settledAt, outcome }) =>
            settledAt === null ? [] : [{ version, askedAt, settledAt, outcome }],
          ),
        );
        const open = changes.filter(({ outcome }) => outcome === 'open');
        expectSame(
          [...(view.open?.changes.values() ?? [])],
          open.map(({ version, askedAt, leaves }) => {
            const count = (outcome: string): number =>
              leaves.filter((leaf) => leaf.outcome === outcome).length;
            const [superseded, withdrawn] = [count('superseded'), count('withdrawn')];
            return { version, askedAt, open: count('open'), superseded, withdrawn };
          }),
        );
        expectSame(rowOfView(view).openCount, open.length);
        expectSame(view.open === null, open.length === 0);
        for (const { outcome } of changes) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        const { count } = countSettled(settled).reduce((sum, { count }) => ({ count: sum.count + count }), {
          count: 0,
        });
        expectSame(count, settled.length);
      }),
      { numRuns: 1500 },
    );
    // Otherwise nothing was seen of one of them.
    for (const outcome of ['open', 'reached', 'superseded', 'withdrawn']) {
      expect(outcomes.get(outcome) ?? 0).toBeGreaterThan(0);
    }
  });
});
