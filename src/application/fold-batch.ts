import { LRUCache } from 'lru-cache';
import { type Settled } from '../replica/convergence.js';
import { jsonBytes } from '../replica/json.js';
import { deviceOf, streamOf } from '../replica/stored.js';
import { type DeviceView, emptyView, evolveView, rowOfView, viewOfRow } from './device-view.js';
import { Pacer } from './pacing.js';
import { EventStoreError, type LogEntry, type RecordedEvent } from './ports/event-store.js';
import { type DeviceRow, type ReadModel } from './ports/read-model.js';
import { decodeEvent } from './replicas.js';

/** An event that the store found damaged: there is nothing of it but its place. */
export interface DamagedEvent {
  readonly stream: string | null;
  readonly reason: string;
}

/** An event, or what is left of one. */
export type Item = RecordedEvent | LogEntry | { readonly damaged: DamagedEvent };

/** A row that is not what this version writes, although its generation says so: the generation must be made anew. */
export class UnreadableRowError extends Error {
  constructor(deviceId: string) {
    super(`The read model's row of ${deviceId} cannot be read`);
    this.name = 'UnreadableRowError';
  }
}

export interface Folded {
  /** Of the devices that are other now. */
  readonly rows: readonly DeviceRow[];
  /** The desired changes that its events settle, in the order of the events. */
  readonly settled: readonly Settled[];
}

/** Some six times the JSON of its sections in memory, by estimate, with metadata and delta. */
const BYTES_FACTOR = 6;
const BYTES_PER_VIEW = 800;
const BYTES_PER_SETTLED = 100;
/**
 * A view is weighed again after events of so many bytes; where it has not grown, after four times as many, or four times
 * its own. It can grow unseen by no more than that.
 */
const WEIGH_AGAIN_BYTES = 2048;

/** A view in memory, and what its sections took as JSON when they were last counted. */
interface Held {
  readonly view: DeviceView;
  counted: number;
  /** False: instead of it `counted` is what all its events took, which is not less. */
  isCounted: boolean;
  /** Bytes of events until they are counted again. */
  untilCount: number;
  isUnwritten: boolean;
}

/**
 * Folds events into rows. The views of devices are kept in memory as far as there is room, and are taken from their
 * rows otherwise; those that are to be written are kept in any case. What is in memory is ahead of the rows when these
 * cannot be written: then the folder is of no use any more.
 */
export class BatchFolder {
  /** Views that are as their rows are, by stream: events name it, and most of them by the same string. */
  private readonly cache: LRUCache<string, Held>;
  private unwritten: Held[] = [];
  /** Those that are unwritten, and what the chunk in hand needs, by stream. */
  private readonly held = new Map<string, Held>();
  private settled: Settled[] = [];
  private bytes = 0;

  /** @param broke called for each device that an event breaks, and each damaged event that is nobody's */
  constructor(
    private readonly model: ReadModel,
    private readonly generation: number,
    cacheBytes: number,
    private readonly broke: (deviceId: string | null, reason: string) => void,
  ) {
    this.cache = new LRUCache({ maxSize: Math.max(1, cacheBytes) });
  }

  /** Estimated memory of what is to be written. */
  get unwrittenBytes(): number {
    return this.bytes + BYTES_PER_SETTLED * this.settled.length;
  }

  /** Throws `ReadModelError`; {@link UnreadableRowError}. */
  async fold(items: readonly Item[]): Promise<void> {
    const all = await this.holdAllOf(items);
    const unchanged = new Set<Held>();
    const pacer = new Pacer();
    for (const [index, item] of items.entries()) {
      const held = all[index];
      if (held === undefined) {
        if ('damaged' in item) this.broke(null, item.damaged.reason);
        continue;
      }
      if (this.apply(held.view, item, this.settled)) {
        this.weigh(held, 'damaged' in item ? 0 : item.data.length);
      } else {
        unchanged.add(held);
      }
      if (pacer.isDue) await pacer.pause();
    }
    // They are as their rows are, and would only take room.
    for (const held of unchanged) {
      if (!held.isUnwritten) this.held.delete(streamOf(held.view.replica.deviceId));
    }
  }

  /** What was folded since the last call, to be written together. */
  async take(): Promise<Folded> {
    const pacer = new Pacer();
    const rows: DeviceRow[] = [];
    for (const held of this.unwritten) {
      held.isUnwritten = false;
      const row = rowOfView(held.view);
      rows.push(row);
      this.cache.set(streamOf(row.deviceId), held, { size: memoryOf(held) });
      if (pacer.isDue) await pacer.pause();
    }
    const { settled } = this;
    this.unwritten = [];
    this.held.clear();
    this.bytes = 0;
    this.settled = [];
    return { rows, settled };
  }

  /** States seldom grow for long, and to count them each time would cost as much as to fold the event. */
  private weigh(held: Held, eventBytes: number): void {
    if (!held.isUnwritten) {
      held.isUnwritten = true;
      this.unwritten.push(held);
      this.bytes += memoryOf(held);
    }
    held.untilCount -= eventBytes;
    if (held.untilCount > 0 && held.isCounted) return;
    const before = held.counted;
    this.bytes -= memoryOf(held);
    held.isCounted = held.untilCount <= 0;
    held.counted = held.isCounted ? sectionBytes(held.view) : held.counted + eventBytes;
    this.bytes += memoryOf(held);
    if (!held.isCounted) return;
    const isSteady = held.counted <= before * 1.2;
    held.untilCount = isSteady ? 4 * Math.max(WEIGH_AGAIN_BYTES, held.counted) : WEIGH_AGAIN_BYTES;
  }

  /** The views of the items, at their places; undefined where an item is no device's. */
  private async holdAllOf(items: readonly Item[]): Promise<(Held | undefined)[]> {
    const missing = new Map<string, string>();
    const all = items.map((item) => {
      const stream = streamOfItem(item);
      if (stream === null) return undefined;
      const held = this.held.get(stream);
      if (held !== undefined || missing.has(stream)) return held;
      const cached = this.cache.get(stream);
      const deviceId = deviceOf(stream);
      if (cached !== undefined) this.held.set(stream, cached);
      else if (deviceId !== null) missing.set(stream, deviceId);
      return cached;
    });
    if (missing.size === 0) return all;
    for (const row of await this.model.load(this.generation, [...missing.values()])) {
      const view = viewOfRow(row);
      if (view === null) throw new UnreadableRowError(row.deviceId);
      this.held.set(streamOf(row.deviceId), hold(view));
    }
    for (const [stream, deviceId] of missing) {
      if (!this.held.has(stream)) this.held.set(stream, holdNew(deviceId));
    }
    return all.map((held, index) => held ?? this.heldOf(items[index] as Item));
  }

  private heldOf(item: Item): Held | undefined {
    const stream = streamOfItem(item);
    return stream === null ? undefined : this.held.get(stream);
  }

  /** True where the view is another now. */
  private apply(view: DeviceView, item: Item, settled: Settled[]): boolean {
    // Nothing can be known of what follows an event that cannot be read.
    if (view.broken !== null) return false;
    if ('damaged' in item) return this.break(view, item.damaged.reason);
    const event = item;
    const next = view.replica.revision + 1;
    if (event.revision < next) return false;
    if (event.revision > next) {
      return this.break(view, gapBefore(event, next));
    }
    try {
      const all = evolveView(view, decodeEvent(event), event.revision);
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

function hold(view: DeviceView): Held {
  return { view, counted: sectionBytes(view), isCounted: true, untilCount: 0, isUnwritten: false };
}

/** Not counted for as long as its events tell well enough what it takes. */
function holdNew(deviceId: string): Held {
  const view = emptyView(deviceId);
  return { view, counted: 0, isCounted: false, untilCount: WEIGH_AGAIN_BYTES, isUnwritten: false };
}

function memoryOf({ counted }: Held): number {
  return BYTES_PER_VIEW + BYTES_FACTOR * counted;
}

/** Counted apart from the replica's own counts, which are in the row. */
function sectionBytes({ replica, open }: DeviceView): number {
  return jsonBytes(replica.reported) + jsonBytes(replica.desired) + 100 * (open?.changes.size ?? 0);
}

/** Null: a damaged event of nobody knows whom. */
function streamOfItem(item: Item): string | null {
  return 'damaged' in item ? item.damaged.stream : item.stream;
}

/** @param next the revision that should have come */
function gapBefore({ stream, revision }: Pick<RecordedEvent, 'stream' | 'revision'>, next: number): string {
  const gap = revision - 1 === next ? `Event ${next} is` : `Events ${next} to ${revision - 1} are`;
  return `${gap} missing from ${stream}: cut off ($maxCount, $maxAge, $tb or a deletion of the stream), or lost`;
}
