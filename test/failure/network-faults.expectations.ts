import { expect } from '@jest/globals';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { openReadModel } from '../../src/open-read-model.js';
import { type FaultRun, REQUEST_TIMEOUT_MS, type Suffered } from '../support/fault-run.js';
import { until } from '../support/kafka-run.js';
import { LIMIT_MS } from '../support/kill-run.js';
import { foldOfLog } from '../support/projections.js';
import { metricOf, type ServiceSample } from '../support/service-sample.js';

const MIB = 1024 * 1024;
const PROJECTED_WITHIN_MS = 30_000;
/** Far below what is sent while a fault lasts, were it kept. */
const GROWTH_BYTES = 128 * MIB;

/** Of a service whose network fails: sooner told, and sooner given up, than by default. */
export function settingsUnderFaults(): Record<string, string> {
  return { REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS), KAFKA_SESSION_TIMEOUT_MS: '6000' };
}

/** It lives, is not ready in the end, and says why in one line. */
export function expectTold(samples: readonly ServiceSample[], what: string, reason: RegExp): void {
  expect(samples.every(({ live }) => live === 200)).toBe(true);
  const last = samples.at(-1);
  expect(last?.ready).toBe(503);
  expect(last?.reasons[what]).toMatch(reason);
  expect(last?.reasons[what]).not.toContain('\n');
}

export function expectBounded(samples: readonly ServiceSample[], beforeBytes: number): void {
  const most = Math.max(...samples.map(({ residentBytes }) => residentBytes));
  expect(most).toBeLessThan(beforeBytes + GROWTH_BYTES);
}

/** What was seen, for whoever reads the run. */
export function tell(name: string, { samples, acceptedCount, recoveryMs }: Suffered): void {
  const most = Math.max(...samples.map(({ residentBytes }) => residentBytes));
  const reasons = new Set(samples.flatMap(({ reasons: each }) => Object.values(each)));
  console.log(
    [
      `${name}: ${acceptedCount} accepted while it lasted, all done ${recoveryMs} ms after it; ${Math.round(most / MIB)} MiB`,
      ...reasons,
    ].join('\n  '),
  );
}

export async function listsAreUpToDate(run: FaultRun): Promise<void> {
  await until('the lists are up to date', LIMIT_MS, async () => {
    const { metrics, reasons } = await run.sample();
    return metricOf(metrics, 'replica_projection_lag_seconds') === 0 && reasons['readModel'] === undefined;
  });
}

/** What readers see in PostgreSQL is what the events fold to. Closes the store. */
export async function expectFoldedLists(store: EventStore, url: string): Promise<void> {
  const address = { kind: 'postgres', url, poolCount: 2, readTimeoutMs: 60_000 } as const;
  const model = await openReadModel(address, { warn: () => undefined });
  try {
    const { rows } = await foldOfLog(store);
    const shown = async () =>
      new Map((await model.scan('', rows.size + 1)).map((row) => [row.deviceId, row] as const));
    // The last events may be on their way still: the projector does not lag behind what it has not heard of.
    await until('the lists have all events', PROJECTED_WITHIN_MS, async () => {
      const known = await shown();
      return [...rows].every(([deviceId, { revision }]) => known.get(deviceId)?.revision === revision);
    }).catch(() => undefined);
    expect(await shown()).toEqual(rows);
  } finally {
    await model.close();
    await store.close();
  }
}
