import { countSettled } from './convergence-counts.js';
import { type Clock } from './ports/clock.js';
import {
  type EventLog,
  EventStoreError,
  type RecordedEvent,
  type SubscriptionItem,
} from './ports/event-store.js';
import { type Leadership } from './ports/leadership.js';
import { type ProjectionKind, type ProjectionObserver } from './ports/projection-observer.js';
import { type Checkpoint, type Generation, type Proof, type ReadModel } from './ports/read-model.js';
import { BatchFolder, type Item } from './fold-batch.js';

export interface ProjectOptions {
  /** A batch ends with the event that makes it so many, or so large. */
  readonly batchCount: number;
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
  /**
   * Called with all rows written when the log's end was reached, and after each batch from then on. True ends the run.
   */
  readonly onCaughtUp?: () => Promise<boolean> | boolean;
}

const LATE = Symbol('late');

/**
 * Projects the log into one generation of the read model, from its checkpoint on: the rows of a batch and the
 * checkpoint behind it are written in one transaction. One run at a time.
 */
export class Projection {
  private items: Item[] = [];
  private bytes = 0;
  private position: bigint | null;
  private written: bigint | null;
  private proof: Proof | null;
  private firstAt = 0;
  private events = 0;
  private isCaughtUp = false;
  /** When the rows showed all that there was, or the time of the last event in them. */
  private currentAt = 0;
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
   * log's end was reached it is the age of the last event in them.
   */
  lagMs(): number {
    if (this.isCaughtUp && this.items.length === 0) return 0;
    const since = this.isCaughtUp ? this.firstAt : this.currentAt;
    return since === 0 ? 0 : Math.max(0, this.dependencies.clock() - since);
  }

  /**
   * Runs until the signal or `onCaughtUp` ends it. After an error nothing of this object is of use any more.
   *
   * Throws {@link EventStoreError}; `ReadModelError`; `UnreadableRowError`.
   */
  async run({ signal, ...hooks }: RunHooks): Promise<void> {
    let isGoingOn = true;
    while (isGoingOn && !signal.aborted) {
      const after = this.position ?? 'start';
      const leaving = new AbortController();
      const either = AbortSignal.any([signal, leaving.signal]);
      const items = this.dependencies.store.subscribe({ after, signal: either })[Symbol.asyncIterator]();
      try {
        isGoingOn = await this.consume(items, hooks, signal);
        if (isGoingOn && !signal.aborted) throw new EventStoreError('closed', 'The subscription ended');
      } catch (error) {
        if (!this.passesOver(error)) throw error;
      } finally {
        // The next item may be waited for.
        leaving.abort();
        await items.return?.();
      }
    }
  }

  /** False: `onCaughtUp` ended it. True: the subscription ended. */
  private async consume(
    items: AsyncIterator<SubscriptionItem>,
    hooks: Omit<RunHooks, 'signal'>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { batchCount, batchBytes, delayMs } = this.dependencies.options;
    let next = items.next();
    // Where the loop ends before it is awaited, nobody else hears of its failure.
    next.catch(() => undefined);
    for (;;) {
      // Before the log's end is reached the next event is there already, and a timer for each would cost more than it.
      const wait = this.isCaughtUp && this.items.length > 0;
      const result = wait
        ? await orLate(next, this.firstAt + delayMs - this.dependencies.clock())
        : await next;
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
        const isFull = this.items.length >= batchCount || this.bytes >= batchBytes;
        if (isFull && !(await this.flush(hooks))) return false;
      } else if (!this.isCaughtUp) {
        this.isCaughtUp = true;
        if (!(await this.flush(hooks))) return false;
      }
    }
  }

  private add(event: RecordedEvent): void {
    if (this.items.length === 0) this.firstAt = this.dependencies.clock();
    this.items.push({ event });
    this.bytes += event.data.length + event.metadata.length;
    this.position = event.position;
    const { stream, revision, id, position } = event;
    this.proof = { stream, revision, id, position };
    if (!this.isCaughtUp) this.currentAt = event.recordedAt;
  }

  /** True where the event that the subscription broke at is one that can be passed over. */
  private passesOver(error: unknown): boolean {
    if (!(error instanceof EventStoreError) || error.code !== 'corrupt' || error.damaged === undefined)
      return false;
    const { stream, position } = error.damaged;
    if (this.position !== null && position <= this.position) return false;
    if (this.items.length === 0) this.firstAt = this.dependencies.clock();
    this.items.push({ damaged: { stream, reason: error.message } });
    this.position = position;
    return true;
  }

  /** Writes what there is. False: that was the end. */
  private async flush({ onProgress, onCaughtUp }: Omit<RunHooks, 'signal'>): Promise<boolean> {
    const { model, observer } = this.dependencies;
    const { items, position } = this;
    if (items.length > 0 && position !== null) {
      const { rows, settled } = await this.folder.fold(items);
      const checkpoint: Checkpoint = { position, proof: this.proof };
      await model.write(this.generation.id, {
        rows,
        settled: countSettled(settled),
        expected: this.written,
        checkpoint,
      });
      this.items = [];
      this.bytes = 0;
      this.written = position;
      this.events += items.length;
      observer.projected(this.kind, items.length, position);
      if (this.kind === 'live' && settled.length > 0) observer.settled(settled);
      onProgress?.({ events: this.events, position });
    }
    if (!this.isCaughtUp || onCaughtUp === undefined) return true;
    return !(await onCaughtUp());
  }
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
