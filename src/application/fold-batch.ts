import { LRUCache } from 'lru-cache';
import { type Origin } from '../replica/events.js';
import { type Settled } from '../replica/convergence.js';
import { deviceOf } from '../replica/stored.js';
import { type DeviceView, emptyView, evolveView, rowOfView, viewOfRow } from './device-view.js';
import { Pacer } from './pacing.js';
import { EventStoreError, type RecordedEvent } from './ports/event-store.js';
import { type DeviceRow, type ReadModel } from './ports/read-model.js';
import { decodeEvent } from './replicas.js';

/** An event that the store found damaged: there is nothing of it but its place. */
export interface DamagedEvent {
  readonly stream: string | null;
  readonly reason: string;
}

export type Item = { readonly event: RecordedEvent } | { readonly damaged: DamagedEvent };

/** A row that is not what this version writes, although its generation says so: the generation must be made anew. */
export class UnreadableRowError extends Error {
  constructor(deviceId: string) {
    super(`The read model's row of ${deviceId} cannot be read`);
    this.name = 'UnreadableRowError';
  }
}

/** A view keeps nothing of where its events came from. */
export const NOBODY: Origin = {
  commandId: '',
  fingerprint: '',
  source: { topic: '', partition: 0, offset: 0, timestamp: 0, log: '' },
};

export interface Folded {
  /** Of the devices that the batch changes. */
  readonly rows: readonly DeviceRow[];
  /** The desired changes that its events settle, in the order of the events. */
  readonly settled: readonly Settled[];
}

/** Some six times its text in memory, by estimate. */
const BYTES_FACTOR = 6;
const BYTES_PER_VIEW = 800;

/**
 * Folds batches of events into rows. The views of devices are kept in memory as far as there is room, and are taken
 * from their rows otherwise. What is in memory is ahead of the rows when these cannot be written: then the folder is of
 * no use any more.
 */
export class BatchFolder {
  private readonly cache: LRUCache<string, DeviceView>;

  /** @param broke called for each device that this batch breaks, and each damaged event that is nobody's */
  constructor(
    private readonly model: ReadModel,
    private readonly generation: number,
    cacheBytes: number,
    private readonly broke: (deviceId: string | null, reason: string) => void,
  ) {
    this.cache = new LRUCache({ maxSize: Math.max(1, cacheBytes) });
  }

  /** Throws `ReadModelError`; {@link UnreadableRowError}. */
  async fold(items: readonly Item[]): Promise<Folded> {
    const views = await this.viewsOf(items);
    const changed = new Set<DeviceView>();
    const settled: Settled[] = [];
    const pacer = new Pacer();
    for (const item of items) {
      const deviceId = deviceOfItem(item);
      const view = deviceId === null ? undefined : views.get(deviceId);
      if (view === undefined) {
        if ('damaged' in item) this.broke(null, item.damaged.reason);
        continue;
      }
      if (this.apply(view, item, settled)) changed.add(view);
      if (pacer.isDue) await pacer.pause();
    }
    const rows: DeviceRow[] = [];
    for (const view of changed) {
      const row = rowOfView(view);
      rows.push(row);
      this.cache.set(row.deviceId, view, { size: BYTES_PER_VIEW + BYTES_FACTOR * textLengthOf(row) });
      if (pacer.isDue) await pacer.pause();
    }
    return { rows, settled };
  }

  private async viewsOf(items: readonly Item[]): Promise<Map<string, DeviceView>> {
    const views = new Map<string, DeviceView>();
    const missing = new Set<string>();
    for (const item of items) {
      const deviceId = deviceOfItem(item);
      if (deviceId === null || views.has(deviceId) || missing.has(deviceId)) continue;
      const cached = this.cache.get(deviceId);
      if (cached === undefined) missing.add(deviceId);
      else views.set(deviceId, cached);
    }
    if (missing.size === 0) return views;
    for (const row of await this.model.load(this.generation, [...missing])) {
      const view = viewOfRow(row);
      if (view === null) throw new UnreadableRowError(row.deviceId);
      views.set(row.deviceId, view);
    }
    for (const deviceId of missing) if (!views.has(deviceId)) views.set(deviceId, emptyView(deviceId));
    return views;
  }

  /** True where the view is another now. */
  private apply(view: DeviceView, item: Item, settled: Settled[]): boolean {
    // Nothing can be known of what follows an event that cannot be read.
    if (view.broken !== null) return false;
    if ('damaged' in item) return this.break(view, item.damaged.reason);
    const { event } = item;
    const next = view.replica.revision + 1;
    if (event.revision < next) return false;
    if (event.revision > next) {
      return this.break(view, gapBefore(event, next));
    }
    try {
      const all = evolveView(view, decodeEvent(event), NOBODY, event.revision);
      if (all.length > 0) settled.push(...all);
      return true;
    } catch (error) {
      if (!(error instanceof EventStoreError)) throw error;
      return this.break(view, error.message);
    }
  }

  private break(view: DeviceView, reason: string): true {
    view.broken = reason;
    this.broke(view.replica.deviceId, reason);
    return true;
  }
}

function textLengthOf({ text, open }: DeviceRow): number {
  return text.length + (open?.length ?? 0);
}

/** Null: a damaged event of nobody knows whom, or a stream that is no device's. */
function deviceOfItem(item: Item): string | null {
  const { stream } = 'event' in item ? item.event : item.damaged;
  return stream === null ? null : deviceOf(stream);
}

/** @param next the revision that should have come */
function gapBefore({ stream, revision }: Pick<RecordedEvent, 'stream' | 'revision'>, next: number): string {
  const gap = revision - 1 === next ? `Event ${next} is` : `Events ${next} to ${revision - 1} are`;
  return `${gap} missing from ${stream}: cut off ($maxCount, $maxAge, $tb or a deletion of the stream), or lost`;
}
