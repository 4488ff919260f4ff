import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { openSqliteEventStore } from '../../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { type HistoryOptions, type ShownEvent } from '../../../src/application/history.js';
import { type EventStore } from '../../../src/application/ports/event-store.js';
import { Replicas } from '../../../src/application/replicas.js';
import { TimeTravel } from '../../../src/application/time-travel.js';
import { recordSteps } from '../../support/recorded-history.js';
import { RecordingObserver } from '../../support/replica-process.js';
import { remove, type Step, update } from '../support/scenario.js';

const folder = mkdtempSync(join(tmpdir(), 'history-'));
afterAll(() => rmSync(folder, { recursive: true }));
let opened = 0;

const stores: [string, () => EventStore][] = [
  ['memory', () => new MemoryEventStore()],
  ['SQLite', () => openSqliteEventStore({ dataDir: join(folder, String(opened++)) })],
];

/** Of two events of version 2 and a delete after version 3; `at` 100, 200, … */
const STEPS: Step[] = [
  update({ reported: { a: 1 } }, { clientToken: 't' }),
  update({ reported: { a: 2 }, desired: { a: 3 } }),
  update({ desired: null }),
  remove(),
  update({ reported: { a: 4 } }),
].map((step, index) => ({ ...step, at: (index + 1) * 100 }));

describe.each(stores)('The history on %s', (_, open) => {
  let store: EventStore;
  let travel: TimeTravel;
  beforeEach(async () => {
    store = open();
    travel = new TimeTravel(store, new Replicas(store, new RecordingObserver(), 0));
    await recordSteps(store, 'd1', STEPS);
  });
  afterEach(() => store.close());

  const page = async (options: HistoryOptions): Promise<{ revisions: number[]; cursor?: string }> => {
    const answer = await travel.history('d1', options);
    if (!answer.ok) throw new Error(answer.refusal.message);
    const { events, ...rest } = answer.value;
    return { revisions: events.map(({ revision }) => revision), ...rest };
  };

  it('shows each event whole', async () => {
    const answer = await travel.history('d1', { order: 'oldest' });
    const events = answer.ok ? (answer.value.events as ShownEvent[]) : [];
    expect(events[0]).toEqual({
      type: 'ReportedStateChanged',
      version: 1,
      timestamp: 100,
      recordedAt: expect.any(Number),
      revision: 0,
      state: { a: 1 },
      clientToken: 't',
      source: { topic: 'state.update', partition: 0, offset: 0, timestamp: 1000 },
    });
    expect(events.map(({ type, version, state }) => [type, version, state])).toEqual([
      ['ReportedStateChanged', 1, { a: 1 }],
      ['ReportedStateChanged', 2, { a: 2 }],
      ['DesiredStateChanged', 2, { a: 3 }],
      ['DesiredStateChanged', 3, null],
      ['ReplicaDeleted', 3, undefined],
      ['ReportedStateChanged', 4, { a: 4 }],
    ]);
  });

  it('comes newest or oldest first, in pages of any size', async () => {
    for (const order of ['newest', 'oldest'] as const) {
      const all = await page({ order });
      expect(all).toEqual({ revisions: order === 'newest' ? [5, 4, 3, 2, 1, 0] : [0, 1, 2, 3, 4, 5] });
      for (let limit = 1; limit <= 6; limit++) {
        const seen: number[] = [];
        let cursor: string | undefined;
        do {
          // The cursor holds the order.
          const got = await page(cursor === undefined ? { order, limit } : { limit, cursor });
          expect(got.revisions.length).toBeLessThanOrEqual(limit);
          seen.push(...got.revisions);
          ({ cursor } = got);
        } while (cursor !== undefined);
        expect(seen).toEqual(all.revisions);
      }
    }
  });

  it.each<[HistoryOptions, number[]]>([
    [{ from: { kind: 'version', version: 2 } }, [5, 4, 3, 2, 1]],
    [{ to: { kind: 'version', version: 2 } }, [2, 1, 0]],
    [{ from: { kind: 'version', version: 3 }, to: { kind: 'version', version: 3 } }, [4, 3]],
    [{ from: { kind: 'time', time: 200 }, to: { kind: 'time', time: 399 } }, [3, 2, 1]],
    [{ from: { kind: 'time', time: 201 }, to: { kind: 'version', version: 3 } }, [4, 3]],
    [{ from: { kind: 'version', version: 5 } }, []],
    [{ to: { kind: 'time', time: 99 } }, []],
    [{ from: { kind: 'version', version: 3 }, to: { kind: 'version', version: 1 } }, []],
  ])('from and to are inclusive: %j', async (options, revisions) => {
    expect(await page(options)).toEqual({ revisions });
    expect(await page({ ...options, order: 'oldest' })).toEqual({ revisions: [...revisions].reverse() });
  });

  it('refuses a device without one, and a cursor that is none', async () => {
    expect(await travel.history('d2', {})).toMatchObject({ refusal: { code: 404 } });
    for (const text of ['', 'x', '1n5-0', '1n0-6', '1x0-1', '2n0-1']) {
      const cursor = Buffer.from(text).toString('base64url');
      expect(await travel.history('d1', { cursor })).toEqual({
        ok: false,
        refusal: { code: 400, message: 'Invalid cursor' },
      });
    }
  });

  it('ends a page that grows too large, and goes on after it', async () => {
    const large = { reported: { text: 'x'.repeat(30_000) } };
    await recordSteps(
      store,
      'large',
      Array.from({ length: 200 }, () => update(large)),
    );
    const first = await travel.history('large', { limit: 1000 });
    const { events, cursor } = first.ok ? first.value : { events: [], cursor: undefined };
    expect(events.length).toBeLessThan(150);
    const second = await travel.history('large', {
      limit: 1000,
      ...(cursor === undefined ? {} : { cursor }),
    });
    expect(second.ok ? second.value.events.length + events.length : 0).toBe(200);
  });
});
