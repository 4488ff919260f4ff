import {
  type Encode,
  entryOf,
  type FleetEntry,
  type FleetPlace,
  FleetTail,
  type TailDependencies,
} from './fleet-tail.js';
import { asItems, groupCommands, lastPosition, positionBefore } from './log-commands.js';
import { Gate, Pacer } from './pacing.js';
import { type EventStore } from './ports/event-store.js';
import { type OnRetry, patiently } from './patience.js';
import { CommandRenderer, type Detail, detailOf, type FleetKind, LAST_PART } from './render-commands.js';
import { type Replicas } from './replicas.js';

export interface FleetFilter {
  /** What the device ids begin with; empty: all. */
  readonly prefix: string;
  /** `broken` is told in any case. */
  readonly kinds: ReadonlySet<FleetKind>;
}

/** What comes next, and where one is then. */
export interface FleetBatch {
  /** Empty where nothing wanted stands up to the place. */
  readonly outputs: readonly Buffer[];
  readonly place: FleetPlace;
}

export interface FleetReader {
  /** After which everything is told. */
  readonly place: FleetPlace;
  /**
   * Batch by batch; the next one is made when it is asked for. Ends with the signal. Throws `EventStoreError`.
   * Must be begun, or the reader {@link leave}s.
   */
  follow(signal: AbortSignal): AsyncGenerator<FleetBatch>;
  leave(): void;
}

export interface FollowFleetOptions {
  /** Memory for the latest outputs and for the states that outputs are made of, all readers together. */
  readonly cacheBytes: number;
  /** A batch ends with the output that makes it so large. */
  readonly batchBytes: number;
}

/** So many events of the log are read in one go by a reader that is behind. */
const PAGE_COUNT = 256;
/** So many readers read the log at once; the others wait for their turn, page by page. */
const MAX_READING = 4;

/**
 * Follows all devices, from the log alone. Those who are up to date share what the {@link FleetTail} has; those who are
 * behind it read the log, page by page, until they have come to it. Either way each one gets every command behind its
 * place once, in the log's order.
 */
export class FollowFleet {
  private readonly tail: FleetTail;
  /** Of the readers that are behind. */
  private readonly renderer: CommandRenderer;
  private readonly gate = new Gate(MAX_READING, Infinity);
  private readonly encode: Encode;
  private readonly onRetry: OnRetry;
  private readonly store: EventStore;
  private readonly batchBytes: number;
  private count = 0;
  private behind = 0;

  constructor(
    dependencies: Pick<TailDependencies, 'store' | 'encode' | 'onRetry'>,
    replicas: Pick<Replicas, 'start' | 'passed'>,
    { cacheBytes, batchBytes }: FollowFleetOptions,
  ) {
    const { store, encode, onRetry } = dependencies;
    this.store = store;
    this.onRetry = onRetry;
    this.encode = encode;
    this.batchBytes = batchBytes;
    const quarter = Math.floor(cacheBytes / 4);
    const renderer = new CommandRenderer(store, replicas, quarter);
    this.tail = new FleetTail({ ...dependencies, renderer, maxBytes: quarter });
    this.renderer = new CommandRenderer(store, replicas, cacheBytes - 2 * quarter);
  }

  /** Readers that read the log now, since the latest outputs do not reach back to their place. */
  get behindCount(): number {
    return this.behind;
  }

  /**
   * @param from null: from now on. A place beyond the log's end is of a log that was lost since: it is taken for the end
   *
   * Throws `EventStoreError`.
   */
  async open(from: FleetPlace | null, filter: FleetFilter): Promise<FleetReader> {
    const detail = detailOf(filter.kinds);
    const leave = await this.tail.join(detail);
    try {
      const end = { position: await lastPosition(this.store), part: LAST_PART };
      const place = from === null || from.position > end.position ? end : from;
      const follow = (signal: AbortSignal): AsyncGenerator<FleetBatch> =>
        this.follow(place, filter, detail, signal, leave);
      return { place, follow, leave };
    } catch (error) {
      leave();
      throw error;
    }
  }

  private async *follow(
    from: FleetPlace,
    filter: FleetFilter,
    detail: Detail,
    signal: AbortSignal,
    leave: () => void,
  ): AsyncGenerator<FleetBatch> {
    const owner = String(++this.count);
    let isAborted = (): void => undefined;
    const aborted = new Promise<void>((resolve) => (isAborted = resolve));
    signal.addEventListener('abort', isAborted);
    let isBehind = false;
    const setBehind = (value: boolean): void => {
      if (value !== isBehind) this.behind += value ? 1 : -1;
      isBehind = value;
    };
    try {
      let place = from;
      while (!signal.aborted) {
        const { grown } = this.tail;
        const isMidway = place.part !== LAST_PART;
        const recent = isMidway ? null : this.tail.after(place.position);
        setBehind(recent === null && !isMidway);
        const from = place;
        const read = (): Promise<FleetBatch> => this.readLog(owner, from, filter, detail, signal);
        const batch =
          recent === null
            ? await patiently(() => this.gate.run(read, signal), signal, this.onRetry)
            : this.takeRecent(recent, place, filter);
        if (signal.aborted) return;
        const hasMoved = batch.place.position !== place.position || batch.place.part !== place.part;
        place = batch.place;
        if (hasMoved) yield batch;
        else if (recent !== null) await Promise.race([grown, aborted]);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      setBehind(false);
      signal.removeEventListener('abort', isAborted);
      leave();
    }
  }

  private takeRecent(
    { entries, from }: { entries: readonly FleetEntry[]; from: number },
    place: FleetPlace,
    filter: FleetFilter,
  ): FleetBatch {
    const taking = new Taking(filter, place);
    for (let index = from; index < entries.length; index++) {
      const entry = entries[index];
      if (entry === undefined) break;
      taking.take(entry);
      if (taking.bytes >= this.batchBytes) break;
    }
    return taking.batch;
  }

  /** A page of the log from a place on. Where it comes to the log's end, its place is where the tail begins, at least. */
  private async readLog(
    owner: string,
    place: FleetPlace,
    filter: FleetFilter,
    detail: Detail,
    signal: AbortSignal,
  ): Promise<FleetBatch> {
    const tailFrom = this.tail.from;
    const taking = new Taking(filter, place);
    const after =
      place.part === LAST_PART ? place.position : await positionBefore(this.store, place.position);
    const pacer = new Pacer();
    let events = 0;
    const counted = async function* (store: EventStore) {
      const range = { ...(after === 0n ? {} : { after }), maxCount: PAGE_COUNT };
      for await (const event of store.readAll(range)) {
        events++;
        yield event;
      }
    };
    const items = asItems(counted(this.store));
    let isWhole = true;
    for await (const item of groupCommands(this.store, items, (id) => id.startsWith(filter.prefix))) {
      if (item.kind === 'passed') taking.pass(item.position);
      else taking.take(await entryOf(this.renderer, owner, item, detail, this.encode));
      if (taking.bytes >= this.batchBytes || signal.aborted || item.kind === 'damaged') {
        isWhole = false;
        break;
      }
      if (pacer.isDue) await pacer.pause();
    }
    // All that there was is behind it now, so nothing up to where the tail began by then is missing.
    if (isWhole && events < PAGE_COUNT) taking.pass(tailFrom);
    return taking.batch;
  }
}

/** Gathers what one reader wants and has not had. */
class Taking {
  private readonly outputs: Buffer[] = [];
  private place: FleetPlace;
  bytes = 0;

  constructor(
    private readonly filter: FleetFilter,
    private readonly from: FleetPlace,
  ) {
    this.place = from;
  }

  get batch(): FleetBatch {
    return { outputs: this.outputs, place: this.place };
  }

  take({ deviceId, position, outputs }: FleetEntry): void {
    if (position < this.from.position) return;
    const { kinds, prefix } = this.filter;
    if (deviceId === null || deviceId.startsWith(prefix)) {
      for (const { part, kind, bytes } of outputs) {
        if (position === this.from.position && part <= this.from.part) continue;
        if (kind !== 'broken' && !kinds.has(kind)) continue;
        this.outputs.push(bytes);
        this.bytes += bytes.length;
      }
    }
    this.pass(position);
  }

  pass(position: bigint): void {
    if (position >= this.place.position) this.place = { position, part: LAST_PART };
  }
}
