import { describe, expect, it } from '@jest/globals';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { type ChangesPage, type DesiredChange } from '../../../src/application/desired-changes.js';
import { type HistoryOptions } from '../../../src/application/history.js';
import { type Answer } from '../../../src/application/moments.js';
import { Replicas } from '../../../src/application/replicas.js';
import { TimeTravel } from '../../../src/application/time-travel.js';
import { convergenceOf, type OracleChange } from '../support/convergence-oracle.js';
import { randomSteps, recordSteps } from '../../support/recorded-history.js';
import { RecordingObserver } from '../../support/replica-process.js';
import { remove, type Step, update } from '../support/scenario.js';

async function deviceOf(steps: Parameters<typeof recordSteps>[2]) {
  const store = new MemoryEventStore();
  const events = await recordSteps(store, 'd1', steps);
  const travel = new TimeTravel(store, new Replicas(store, new RecordingObserver(), 0));
  const ask = (options: HistoryOptions): Promise<Answer<ChangesPage>> => travel.convergence('d1', options);
  return { events, ask };
}

function valueOf<T>(answer: Answer<T>): T {
  if (!answer.ok) throw new Error(answer.refusal.message);
  return answer.value;
}

/** All pages, one after the other. */
async function allOf(
  ask: (options: HistoryOptions) => Promise<Answer<ChangesPage>>,
  options: HistoryOptions,
): Promise<DesiredChange[]> {
  const changes: DesiredChange[] = [];
  for (let cursor: string | undefined; ;) {
    const page = valueOf(await ask({ ...options, ...(cursor === undefined ? {} : { cursor }) }));
    expect(page.changes.length).toBeLessThanOrEqual(options.limit ?? 100);
    changes.push(...page.changes);
    if (page.cursor === undefined) return changes;
    cursor = page.cursor;
  }
}

/** Leaves, as an object again. */
function asObject(leaves: OracleChange['leaves']): object {
  const object = {};
  for (const { path, value } of leaves) {
    let target = object as Record<string, object>;
    for (const key of path.slice(0, -1)) {
      if (!Object.hasOwn(target, key)) target[key] = {};
      target = target[key] as Record<string, object>;
    }
    target[path.at(-1) ?? ''] = value as object;
  }
  return object;
}

describe("A device's desired changes", () => {
  const steps: Step[] = [
    update({ reported: { a: 0 } }),
    update({ desired: { a: 1, b: { c: 1, gone: null } } }, { clientToken: 't' }),
    update({ reported: { a: 1 } }),
    update({ desired: { a: 2 } }),
    update({ desired: { a: 2 } }),
    update({ reported: { b: { c: 1 } } }),
    update({ desired: { d: [1], b: { e: {} } } }),
    update({ reported: { d: [1] } }),
  ];

  it('are told with what was asked for, what became of it, and what is open', async () => {
    const { ask } = await deviceOf(steps);
    const page = valueOf(await ask({ order: 'oldest' }));
    expect(page).toEqual({
      changes: [
        {
          version: 2,
          revision: 1,
          askedAt: 1010,
          desired: { a: 1, b: { c: 1 } },
          outcome: 'reached',
          settledAt: 1050,
          durationMs: 40,
          clientToken: 't',
        },
        {
          version: 4,
          revision: 3,
          askedAt: 1030,
          desired: { a: 2 },
          outcome: 'open',
          settledAt: null,
          durationMs: null,
          open: { a: 2 },
        },
        {
          version: 7,
          revision: 6,
          askedAt: 1060,
          desired: { d: [1], b: { e: {} } },
          outcome: 'open',
          settledAt: null,
          durationMs: null,
          open: { b: { e: {} } },
        },
      ],
      asOf: { version: 8, timestamp: 1070 },
    });
    expect(valueOf(await ask({})).changes).toEqual([...page.changes].reverse());
  });

  it('are chosen by when they were asked for, and followed beyond', async () => {
    const { ask } = await deviceOf([...steps, remove()]);
    const versions = async (options: HistoryOptions): Promise<string[]> =>
      valueOf(await ask(options)).changes.map(({ version, outcome }) => `${version} ${outcome}`);
    expect(await versions({ to: { kind: 'version', version: 2 } })).toEqual(['2 reached']);
    expect(
      await versions({ from: { kind: 'version', version: 3 }, to: { kind: 'time', time: 1040 } }),
    ).toEqual(['4 withdrawn']);
    expect(await versions({ from: { kind: 'version', version: 9 } })).toEqual([]);
    expect(await versions({ from: { kind: 'time', time: 1061 } })).toEqual([]);
  });

  it('are refused where there is no such device, and by a cursor that is none', async () => {
    const { ask } = await deviceOf(steps);
    expect(await ask({ cursor: 'x' })).toMatchObject({ refusal: { code: 400 } });
    const nobody = await deviceOf([]);
    expect(await nobody.ask({})).toMatchObject({ refusal: { code: 404 } });
  });

  it('are what whole states compared leaf by leaf say, in pages of any size, in both orders', async () => {
    const outcomes = new Map<string, number>();
    for (let seed = 1; seed <= 40; seed++) {
      const { events, ask } = await deviceOf(randomSteps(seed * 131, 30));
      const expected = convergenceOf(events.map(({ event }) => event)).map(
        ({ version, askedAt, leaves, outcome, settledAt }) => ({
          version,
          askedAt,
          desired: asObject(leaves),
          outcome,
          settledAt,
          durationMs: settledAt === null ? null : settledAt - askedAt,
          open: settledAt === null ? asObject(leaves.filter((leaf) => leaf.outcome === 'open')) : undefined,
        }),
      );
      const limit = 1 + (seed % 5);
      const newest = seed % 2 === 0;
      const got = await allOf(ask, { limit, order: newest ? 'newest' : 'oldest' });
      if (newest) got.reverse();
      const plain = got.map(({ clientToken: _token, revision: _revision, ...rest }) => rest);
      expect(plain).toEqual(expected);
      for (const { version, revision } of got) expect(events[revision]?.event.version).toBe(version);
      for (const { outcome } of got) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    for (const outcome of ['open', 'reached', 'superseded', 'withdrawn']) {
      expect(outcomes.get(outcome) ?? 0).toBeGreaterThan(10);
    }
  });
});
