import { describe, expect, it } from '@jest/globals';
import {
  type DeviceView,
  emptyView,
  evolveView,
  rowOfView,
  viewOfRow,
} from '../../../src/application/device-view.js';
import { type DeviceRow } from '../../../src/application/ports/read-model.js';
import { decide } from '../../../src/replica/decide.js';
import { commandOf, origin, RECORD, remove, type Step, update } from '../support/scenario.js';

/** The row after these steps, each of them at 100 times its place; `through`: every view goes by way of its row. */
function rowAfter(steps: readonly Step[], through = false): DeviceRow {
  let view: DeviceView = emptyView('a');
  steps.forEach((step, index) => {
    const from = origin(index);
    const decision = decide(view.replica, commandOf(step, from), (index + 1) * 100, RECORD);
    if (decision.kind === 'refused') throw new Error(decision.refusal.message);
    for (const event of decision.events) {
      evolveView(view, JSON.parse(JSON.stringify(event)) as typeof event, view.replica.revision + 1);
      if (through) view = viewOfRow(rowOfView(view)) as DeviceView;
    }
  });
  return rowOfView(view);
}

const report = (reported: object | null): Step => update({ reported: reported as never });
const desire = (desired: object | null): Step => update({ desired: desired as never });

describe.each([false, true])('A device of the fleet index, by way of its row: %s', (through) => {
  const after = (...steps: Step[]): DeviceRow => rowAfter(steps, through);

  it('is in sync since its first report', () => {
    expect(after(report({ a: 1 }), report({ a: 2 }))).toMatchObject({
      version: 2,
      status: 'in-sync',
      lastReported: 200,
      lastDesired: null,
      since: 100,
      outstanding: 0,
    });
  });

  it('is out of sync since something is outstanding, and counts its leaves', () => {
    const steps = [report({ a: 1 }), desire({ a: 2, b: { c: 1, d: [1, 2], e: {} } }), desire({ a: 3 })];
    expect(after(...steps)).toMatchObject({
      status: 'not-in-sync',
      lastReported: 100,
      lastDesired: 300,
      since: 200,
      outstanding: 4,
    });
    expect(after(...steps, report({ a: 3, b: { c: 1, d: [1, 2], e: {} } }))).toMatchObject({
      status: 'in-sync',
      since: 400,
      outstanding: 0,
    });
  });

  it('is out of sync from the start where its first update asks for something', () => {
    expect(after(desire({ a: 1 }))).toMatchObject({ status: 'not-in-sync', since: 100, lastReported: null });
  });

  it('does not change its since where an update of both sections changes nothing as a whole', () => {
    const both = (a: number): Step => update({ reported: { a }, desired: { a } });
    expect(after(both(1), both(2), both(3))).toMatchObject({ status: 'in-sync', since: 100 });
    expect(after(both(1), desire({ a: 5 }), update({ reported: { a: 5 }, desired: { a: 6 } }))).toMatchObject(
      {
        status: 'not-in-sync',
        since: 200,
        outstanding: 1,
      },
    );
  });

  it('counts no report that names nothing, and one that removes all', () => {
    expect(after(report({ a: 1 }), update({}))).toMatchObject({
      version: 2,
      lastReported: 100,
      lastDesired: null,
    });
    expect(after(report({ a: 1 }), update(null))).toMatchObject({ lastReported: 200, lastDesired: 200 });
  });

  it('begins anew after a delete, with its version', () => {
    const steps = [report({ a: 1 }), desire({ a: 2 }), remove()];
    expect(after(...steps)).toMatchObject({ status: 'deleted', outstanding: 0, lastReported: null });
    expect(after(...steps, desire({ b: 1 }))).toMatchObject({
      version: 3,
      status: 'not-in-sync',
      lastReported: null,
      lastDesired: 400,
      since: 400,
    });
    expect(after(...steps, report({ b: 1 }))).toMatchObject({ status: 'in-sync', since: 400 });
  });

  it('does not keep what recognises commands', () => {
    expect(after(report({ a: 1 })).text).toContain('"sources":[]');
  });
});

describe('A row', () => {
  it('is no view where its text is not one of this version', () => {
    const row = rowAfter([report({ a: 1 })]);
    expect(viewOfRow(row)).not.toBeNull();
    expect(viewOfRow({ ...row, text: '{}' })).toBeNull();
    expect(viewOfRow({ ...row, revision: 7 })).toBeNull();
  });
});
