import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { Replicas } from '../../../src/application/replicas.js';
import { TimeTravel } from '../../../src/application/time-travel.js';
import { pointerOf, valueAt, type ValuePath } from '../../../src/replica/path.js';
import { plainFold, randomSteps, recordSteps } from '../../support/recorded-history.js';
import { RecordingObserver } from '../../support/replica-process.js';
import { remove, type Step, update } from '../support/scenario.js';

const KEYS = ['a', 'b', 'toString', 'é"\\\n', ''];
const PATHS: ValuePath[] = (['reported', 'desired'] as const).flatMap((section) => [
  ...KEYS.map((key) => ({ section, keys: [key] })),
  ...KEYS.flatMap((first) => ['a', 'b'].map((second) => ({ section, keys: [first, second] }))),
]);

async function deviceOf(steps: Parameters<typeof recordSteps>[2]) {
  const store = new MemoryEventStore();
  const events = await recordSteps(store, 'd1', steps);
  const travel = new TimeTravel(store, new Replicas(store, new RecordingObserver(), 0));
  return { events, travel };
}

describe('An explanation', () => {
  it('names an event after which the value is what it is ever since, and what stood there before', async () => {
    let removed = 0;
    let shown = 0;
    for (let seed = 1; seed <= 25; seed++) {
      const { events, travel } = await deviceOf(randomSteps(seed * 97, 25));
      const folds = Array.from({ length: events.length + 1 }, (_, count) => plainFold('d1', events, count));
      for (const path of PATHS) {
        const values = folds.map((replica) => JSON.stringify(valueAt(replica, path)));
        const got = await travel.explain('d1', path, null);
        if (!got.ok) {
          if (got.refusal.code === 400) continue;
          expect(got.refusal.code).toBe(404);
          expect(values.every((value) => value === undefined)).toBe(true);
          continue;
        }
        const { event, value, previous } = got.value;
        const after = values.slice(event.revision + 1);
        expect(JSON.stringify(value)).toBe(values.at(-1));
        expect(JSON.stringify(previous)).toBe(values[event.revision]);
        expect(new Set(after).size).toBe(1);
        if (value === undefined) removed++;
        else shown++;
        if (value === undefined) expect(previous).not.toBeUndefined();
      }
    }
    expect(removed).toBeGreaterThan(50);
    expect(shown).toBeGreaterThan(50);
  });

  const steps: Step[] = [
    update({ reported: { temp: 20, list: [1] } }),
    update({ reported: { temp: 21 } }, { clientToken: 't' }),
    update({ desired: { temp: 1 } }),
    update({ reported: { temp: 21 } }),
    update({ reported: { temp: null } }),
    update({ reported: { temp: null } }),
    update({ reported: { b: 1 } }),
    remove(),
  ];
  const temp: ValuePath = { section: 'reported', keys: ['temp'] };

  it.each([
    [1, { value: 20, event: { version: 1 } }],
    [3, { value: 21, previous: 20, event: { version: 2, clientToken: 't' } }],
    // Named again: the metadata has this time too.
    [4, { value: 21, previous: 21, event: { version: 4 } }],
    [5, { previous: 21, event: { version: 5, type: 'ReportedStateChanged' } }],
    [7, { previous: 21, event: { version: 5 } }],
  ])('at version %d', async (version, expected) => {
    const { travel } = await deviceOf(steps);
    const got = await travel.explain('d1', temp, { kind: 'version', version });
    expect(got).toMatchObject({ ok: true, value: { path: '/reported/temp', ...expected } });
    if (got.ok) expect(isDeepStrictEqual('value' in got.value, 'value' in expected)).toBe(true);
  });

  it('tells of a delete, and refuses what never was and what is in an array', async () => {
    const { travel } = await deviceOf(steps);
    const b: ValuePath = { section: 'reported', keys: ['b'] };
    expect(await travel.explain('d1', b, null)).toMatchObject({
      value: { previous: 1, event: { type: 'ReplicaDeleted' } },
    });
    expect(await travel.explain('d1', b, { kind: 'version', version: 6 })).toEqual({
      ok: false,
      refusal: { code: 404, message: "Device 'd1' never had a value at /reported/b until then" },
    });
    const inArray: ValuePath = { section: 'reported', keys: ['list', '0'] };
    expect(pointerOf(inArray)).toBe('/reported/list/0');
    expect(await travel.explain('d1', inArray, { kind: 'version', version: 2 })).toMatchObject({
      refusal: { code: 400 },
    });
    expect(await travel.explain('d2', b, null)).toMatchObject({ refusal: { code: 404 } });
  });
});
