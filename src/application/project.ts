import { countSettled } from './convergence-counts.js';
import { type Clock } from './ports/clock.js';
import {
  type EventLog,
  EventStoreError,
  type LogEntry,
  type RecordedEvent,
  type SubscriptionItem,
} from './ports/event-store.js';
import { type Leadership } from './ports/leadership.js';
import { type ProjectionKind, type ProjectionObserver } from './ports/projection-observer.js';
import { type Checkpoint, type Generation, type Proof, type ReadModel } from './ports/read-model.js';
import { BatchFolder, type Item } from './fold-batch.js';

export interface ProjectOptions {
  /** The most events whose rows are written together. */
  readonly batchCount: number;
  /** They are written sooner where the devices that they change take so much memory, by estimate. */
  readonly batchBytes: number;
  /** How long an event waits for others at the most, once the log's end was reached. */
  readonly delayMs: number;
  /** Estimated memory of the devices that are kept between batches. */
  readonly cacheBytes: number;
}

export interface ProjectDependencies {
  readonly store: EventLog;
  readonly model: ReadModel;
  readonly observer: ProjectionObserver;
  readonly clock: Clock;
  readonly options: ProjectOptions;
  /** Default: nobody else brings the read model up to date. */
  readonly leadership?: Leadership;
}

export interface Progress {
  /** Events that this run has seen. */
  readonly events: number;
  readonly position: bigint;
}

export interface RunHooks {
  readonly signal: AbortSignal;
  /** Called after each batch. */
  readonly onProgress?: (progress: Progress) => void;
  /** Called more often, with what is not written yet. */
  readonly onFolded?: (progress: Progress) => void;
  /**
   * Called with all rows written when the log's end was reached, and after each batch from then on. True ends the run.
   */
  readonly onCaughtUp?: () => Promise<boolean> | boolean;
}

type Hooks = Omit<RunHooks, 'signal' | 'onCaughtUp'> & {
  readonly onCaughtUp?: RunHooks['onCaughtUp'] | undefined;
};

const LATE = Symbol('late');
/** Events that are folded in one go. */
const CHUNK_COUNT = 512;
const CHUNK_BYTES = 2 * 1024 * 1024;

/**
 * Projects the log into one generation of the read model, from its checkpoint on: the rows of a batch and the
 * checkpoint behind it are written in one transaction. One run at a time.
 */
export class Projection {
  /** Read and not folded yet, and their bytes. */
  private items: Item[] = [];
  private bytes = 0;
  /** How many were read and are not written yet. */
  private pending = 0;
  /** The last of them that could be read. */
  private last: RecordedEvent | LogEntry | null = null;
  private position: bigint | null;
  private written: bigint | null;
  private proof: Proof | null;
  private firstAt = 0;
  /** When what waits for others has waited long enough, by a clock that nobody sets. */
  private lateAt = 0;
  private events = 0;
  private isCaughtUp = false;
  /** The time of the first event that the rows lack; 0: none was read yet. */
  private missingAt = 0;
  private readonly folder: BatchFolder;

  constructor(
    private readonly dependencies: ProjectDependencies,
    private readonly generation: Generation,
    private readonly kind: ProjectionKind,
  ) {
    const { model, observer, options } = dependencies;
    this.position = this.written = generation.checkpoint?.position ?? null;
    this.proof = generation.checkpoint?.proof ?? null;
    this.folder = new BatchFolder(model, generation.id, options.cacheBytes, (deviceId, reason) =>
      observer.deviceBroken(kind, deviceId, reason),
    );
  }

  /** The position of the last event that is in the rows; null: none is. */
  get writtenPosition(): bigint | null {
    return this.written;
  }

  /** True from the moment in which the rows showed all that there was. */
  get hasCaughtUp(): boolean {
    return this.isCaughtUp;
  }

  /**
   * How far behind the rows are, at the most, by what this process knows; 0: they show all that there is. Before the
   * log's end was reached it is the age of the first event that they lack.
   */
  lagMs(): number {
    if (this.isCaughtUp && this.pending === 0) return 0;
    const since = this.isCaughtUp ? this.firstAt : this.missingAt;
    // Not 0 either in its first millisecond, or where the clock was set back.
    return since === 0 ? 0 : Math.max(1, this.dependencies.clock() - since);
  }

  /**
   * Runs until the signal or `onCaughtUp` ends it. After an error nothing of this object is of use any more.
   *
   * Throws {@link EventStoreError}; `ReadModelError`; `UnreadableRowError`.
   */
  async run({ signal, ...hooks }: RunHooks): Promise<void> {
    let hasReadAll = false;
    let isGoingOn = true;
    while (isGoingOn && !signal.aborted) {
      try {
        if (hasReadAll) {
          isGoingOn = await this.follow(hooks, signal);
          if (isGoingOn && !signal.aborted) throw new EventStoreError('closed', 'The subscription ended');
        } else {
          await this.readAll(hooks, signal);
          hasReadAll = true;
        }
      } catch (error) {
        if (this.passesOver(error)) continue;
        if (error instanceof EventStoreError && error.canRetry) await this.keep(hooks);
        throw error;
      }
    }
    if (isGoingOn) await this.keep(hooks);
  }

  /** What a rebuild has folded in seconds need not be folded again by the next one. */
  private async keep(hooks: Hooks): Promise<void> {
    if (this.kind === 'rebuild') await this.flush({ ...hooks, onCaughtUp: undefined });
  }

  /** What is in the log now: a plain read costs less than a subscription. */
  private async readAll(hooks: Hooks, signal: AbortSignal): Promise<void> {
    const after: { after?: bigint } = this.position === null ? {} : { after: this.position };
    const { store } = this.dependencies;
    if (store.readPages === undefined) {
      for await (const event of store.readAll(after)) {
        if (signal.aborted) return;
        this.add(event);
        if (this.isChunkFull) await this.fold(hooks);
      }
      return;
    }
    for await (const page of store.readPages(after.after)) {
      for (const entry of page) {
        if (signal.aborted) return;
        this.add(entry);
        if (this.isChunkFull) await this.fold(hooks);
      }
    }
  }

  /** Follows the log. False: `onCaughtUp` ended it. True: the subscription ended. */
  private async follow(hooks: Hooks, signal: AbortSignal): Promise<boolean> {
    const leaving = new AbortController();
    const either = AbortSignal.any([signal, leaving.signal]);
    const after = this.position ?? 'start';
    const items = this.dependencies.store.subscribe({ after, signal: either })[Symbol.asyncIterator]();
    try {
      return await this.consume(items, hooks, signal);
    } finally {
      // The next item may be waited for.
      leaving.abort();
      await items.return?.();
    }
  }

  private async consume(
    items: AsyncIterator<SubscriptionItem>,
    hooks: Hooks,
    signal: AbortSignal,
  ): Promise<boolean> {
    let next = items.next();
    // Where the loop ends before it is awaited, nobody else hears of its failure.
    next.catch(() => undefined);
    for (;;) {
      // Before the log's end is reached the next event is there already, and a timer for each would cost more than it.
      const wait = this.isCaughtUp && this.pending > 0;
      const result = wait ? await orLate(next, this.lateAt - performance.now()) : await next;
      if (signal.aborted) return true;
      if (result === LATE) {
        if (!(await this.flush(hooks))) return false;
        continue;
      }
      if (result.done === true) return true;
      next = items.next();
      next.catch(() => undefined);
      const item = result.value;
      if (item.kind === 'event') {
        this.add(item.event);
        if (this.isChunkFull && !(await this.fold(hooks))) return false;
      } else if (!this.isCaughtUp) {
        this.isCaughtUp = true;
        if (!(await this.flush(hooks))) return false;
      }
    }
  }

  private add(event: RecordedEvent | LogEntry): void {
    if (this.pending === 0) this.missingAt = event.recordedAt;
    this.push(event);
    this.bytes += event.data.length + event.metadata.length;
    this.position = event.position;
    this.last = event;
  }

  private push(item: Item): void {
    if (this.pending === 0) {
      this.firstAt = this.dependencies.clock();
      this.lateAt = performance.now() + this.dependencies.options.delayMs;
    }
    this.items.push(item);
    this.pending++;
  }

  /** True where the event that the read broke at is one that can be passed over. */
  private passesOver(error: unknown): boolean {
    if (!(error instanceof EventStoreError) || error.code !== 'corrupt' || error.damaged === undefined)
      return false;
    const { stream, position } = error.damaged;
    if (this.position !== null && position <= this.position) return false;
    this.push({ damaged: { stream, reason: error.message } });
    this.position = position;
    return true;
  }

  /** Events are let go of soon, so that they are garbage while they are young. */
  private get isChunkFull(): boolean {
    const { items, pending, bytes } = this;
    return (
      items.length >= CHUNK_COUNT || bytes >= CHUNK_BYTES || pending >= this.dependencies.options.batchCount
    );
  }

  /** Folds what was read, and writes it where that makes a batch. False: that was the end. */
  private async fold(hooks: Hooks): Promise<boolean> {
    const { batchCount, batchBytes } = this.dependencies.options;
    const { items, position } = this;
    if (items.length > 0) {
      this.items = [];
      this.bytes = 0;
      await this.folder.fold(items);
      if (position !== null) hooks.onFolded?.({ events: this.events + this.pending, position });
    }
    const isFull = this.pending >= batchCount || this.folder.unwrittenBytes >= batchBytes;
    return !isFull || (await this.write(hooks));
  }

  /** Folds and writes what there is. False: that was the end. */
  private async flush(hooks: Hooks): Promise<boolean> {
    const pendingBefore = this.pending;
    if (!(await this.fold(hooks))) return false;
    // Else it was written just now.
    return pendingBefore > 0 && this.pending === 0 ? true : this.write(hooks);
  }

  private async write({ onProgress, onCaughtUp }: Hooks): Promise<boolean> {
    const { model, observer } = this.dependencies;
    const { position, pending } = this;
    if (pending > 0 && position !== null) {
      // First, since it may fail: what was taken would be lost.
      this.proof = this.last === null ? this.proof : await this.proofOf(this.last);
      const { rows, settled } = await this.folder.take();
      const checkpoint: Checkpoint = { position, proof: this.proof };
      await model.write(this.generation.id, {
        rows,
        settled: countSettled(settled),
        expected: this.written,
        checkpoint,
      });
      this.last = null;
      this.pending = 0;
      this.written = position;
      this.events += pending;
      observer.projected(this.kind, pending, position);
      if (this.kind === 'live' && settled.length > 0) observer.settled(settled);
      onProgress?.({ events: this.events, position });
    }
    if (!this.isCaughtUp || onCaughtUp === undefined) return true;
    return !(await onCaughtUp());
  }

  /** Null where its stream does not show it, damaged or deleted as it may be: then nothing is known of it. */
  private async proofOf(event: RecordedEvent | LogEntry): Promise<Proof | null> {
    const { stream, revision, position } = event;
    if ('id' in event) return { stream, revision, id: event.id, position };
    try {
      const reads = this.dependencies.store.readStream(stream, { from: revision, maxCount: 1 });
      for await (const { id } of reads) return { stream, revision, id, position };
    } catch (error) {
      if (!isLoss(error)) throw error;
    }
    return null;
  }
}

/** True where an event cannot be read any more, but the rest of the log can. */
export function isLoss(error: unknown): boolean {
  return error instanceof EventStoreError && (error.code === 'corrupt' || error.code === 'stream-deleted');
}

async function orLate<T>(promise: Promise<T>, milliseconds: number): Promise<T | typeof LATE> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(() => resolve(LATE), Math.max(0, milliseconds));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
