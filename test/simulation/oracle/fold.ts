import { countSettled } from '../../../src/application/convergence-counts.js';
import { type DeviceView, emptyView, evolveView, rowOfView } from '../../../src/application/device-view.js';
import { type RecordedEvent } from '../../../src/application/ports/event-store.js';
import { type DeviceRow, type SettledCount } from '../../../src/application/ports/read-model.js';
import { decodeEvent } from '../../../src/application/replicas.js';
import { type Settled } from '../../../src/replica/convergence.js';
import { deviceOf } from '../../../src/replica/stored.js';

/** What a generation of the read model holds. */
export interface Rows {
  readonly rows: ReadonlyMap<string, DeviceRow>;
  readonly settled: ReadonlyMap<string, SettledCount>;
}

/** What is other than a plain fold of the log makes it, in one line; null: nothing. */
export function differenceFromFold(log: readonly RecordedEvent[], { rows, settled }: Rows): string | null {
  const views = new Map<string, DeviceView>();
  const all: Settled[] = [];
  for (const event of log) {
    const deviceId = deviceOf(event.stream) ?? '';
    const view = views.get(deviceId) ?? emptyView(deviceId);
    views.set(deviceId, view);
    all.push(...evolveView(view, decodeEvent(event), event.revision));
  }
  for (const [deviceId, view] of views) {
    const due = JSON.stringify(rowOfView(view));
    const row = JSON.stringify(rows.get(deviceId) ?? null);
    if (row !== due) return `the row of ${deviceId} is ${row}, not ${due}`;
  }
  if (rows.size !== views.size) return `there are ${rows.size} rows of ${views.size} devices`;
  const due = linesOf(countSettled(all));
  const counted = linesOf([...settled.values()]);
  return counted === due ? null : `settled changes are counted as ${counted}, not ${due}`;
}

function linesOf(counts: readonly SettledCount[]): string {
  const lines = counts.map(
    ({ hour, outcome, bucket, count, sumMs }) => `${hour} ${outcome} ${bucket}: ${count}, ${sumMs} ms`,
  );
  return lines.sort().join('; ');
}
