import { countSettled } from '../../src/application/convergence-counts.js';
import { emptyView, evolveView, rowOfView, type DeviceView } from '../../src/application/device-view.js';
import { type EventLog, type EventStore } from '../../src/application/ports/event-store.js';
import { type ProjectionObserver } from '../../src/application/ports/projection-observer.js';
import { type DeviceRow, type ReadModel, type SettledCount } from '../../src/application/ports/read-model.js';
import { type ProjectDependencies, type ProjectOptions } from '../../src/application/project.js';
import { decode } from '../../src/application/replicas.js';
import { type Settled } from '../../src/replica/convergence.js';
import { deviceOf } from '../../src/replica/stored.js';

/** Keeps what it is told. */
export class RecordingProjectionObserver implements ProjectionObserver {
  readonly broken: { deviceId: string | null; reason: string }[] = [];
  readonly failures: unknown[] = [];
  readonly generations: string[] = [];
  readonly settledLive: Settled[] = [];
  events = 0;

  projected(_kind: string, events: number): void {
    this.events += events;
  }
  settled(changes: readonly Settled[]): void {
    this.settledLive.push(...changes);
  }
  deviceBroken(_kind: string, deviceId: string | null, reason: string): void {
    this.broken.push({ deviceId, reason });
  }
  projectionFailed(_kind: string, error: unknown): void {
    this.failures.push(error);
  }
  generation(step: string, _id: number, reason: string): void {
    this.generations.push(`${step}: ${reason}`);
  }
}

export function dependenciesOf(
  store: EventLog,
  model: ReadModel,
  options: Partial<ProjectOptions> = {},
): ProjectDependencies & { observer: RecordingProjectionObserver } {
  return {
    store,
    model,
    observer: new RecordingProjectionObserver(),
    clock: Date.now,
    options: { batchCount: 100, batchBytes: 1_000_000, delayMs: 10, cacheBytes: 1_000_000, ...options },
  };
}

/** The rows that the log folds to, with nothing in between; by device. */
export async function rowsOfLog(store: EventStore): Promise<Map<string, DeviceRow>> {
  return (await foldOfLog(store)).rows;
}

/**
 * As {@link rowsOfLog}, with the desired changes that are settled, counted as {@link settledShown} shows them.
 *
 * @param upTo the position of the last event. Default: of the log's last one
 */
export async function foldOfLog(
  store: EventStore,
  upTo?: bigint,
): Promise<{ rows: Map<string, DeviceRow>; settled: string[] }> {
  const settled: Settled[] = [];
  const views = new Map<string, DeviceView>();
  for await (const recorded of store.readAll()) {
    if (upTo !== undefined && recorded.position > upTo) break;
    const deviceId = deviceOf(recorded.stream);
    if (deviceId === null) continue;
    const view = views.get(deviceId) ?? emptyView(deviceId);
    const { event } = decode(recorded);
    settled.push(...evolveView(view, event, recorded.revision));
    views.set(deviceId, view);
  }
  const rows = new Map([...views].map(([deviceId, view]) => [deviceId, rowOfView(view)]));
  return { rows, settled: linesOf(countSettled(settled)) };
}

/** What readers see of the desired changes that are settled: a line for each hour, outcome and bucket, sorted. */
export async function settledShown(model: ReadModel, hours: Iterable<number>): Promise<string[]> {
  const counts: SettledCount[] = [];
  for (const hour of hours) {
    const sum = await model.settled({ from: hour, to: hour + 1 });
    counts.push(...sum.counts.map((count) => ({ ...count, hour })));
  }
  return linesOf(counts);
}

function linesOf(counts: readonly SettledCount[]): string[] {
  return counts
    .map(({ hour, outcome, bucket, count, sumMs }) => `${hour} ${outcome} ${bucket}: ${count}, ${sumMs} ms`)
    .sort();
}

/** The hours that lines of {@link settledShown} are of. */
export function hoursOf(lines: readonly string[]): Set<number> {
  return new Set(lines.map((line) => Number(line.split(' ')[0])));
}

/** The rows that readers see of these devices. */
export async function rowsShown(
  model: ReadModel,
  deviceIds: Iterable<string>,
): Promise<Map<string, DeviceRow>> {
  const rows = new Map<string, DeviceRow>();
  for (const deviceId of deviceIds) {
    const row = await model.find(deviceId);
    if (row !== null) rows.set(deviceId, row);
  }
  return rows;
}
