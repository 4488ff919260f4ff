import { type Clock } from '../application/ports/clock.js';
import { type PresenceStore, type PresenceWritten } from '../application/ports/presence.js';
import { type ProjectionObserver } from '../application/ports/projection-observer.js';
import { ReadModelError } from '../application/ports/read-model.js';
import { type ProjectionsControl, type ProjectionsStatus } from '../application/projections.js';
import { type Deferred, deferred, messageOf } from '../application/timing.js';
import {
  type Answer,
  type FromProjector,
  type ProjectorData,
  STATUS_MS,
  type ToProjector,
} from './messages.js';
import { Thread, type ThreadObserver } from './thread.js';

/** What this process knows at once of a log that nobody else appends to. */
export interface OwnLog {
  /** The position of the last event. */
  readonly lastPosition: bigint;
  /** Calls `listener` whenever the log has grown, until the returned function is called. */
  onGrowth(listener: () => void): () => void;
}

export interface ProjectorThreadOptions {
  readonly data: Omit<ProjectorData, 'role' | 'isToldOfGrowth'>;
  readonly observer: ProjectionObserver & ThreadObserver;
  readonly logger: Record<'info' | 'warn', (fields: object, text: string) => void>;
  readonly clock: Clock;
  /** The log, where this process is the only one that appends. */
  readonly ownLog?: OwnLog;
  /** The thread's program: see `ThreadOptions`. */
  readonly entry?: URL;
}

const MIB = 1024 * 1024;
/** Besides the devices it keeps, by estimate: the program, a batch, and what is no garbage yet. */
const BASE_HEAP_MIB = 512;
/** The thread is told no more often that the log has grown. */
const GROWTH_MS = 20;
/** Without a word for so long, the thread is busy with one thing, and its last word is no longer the latest. */
const STALE_MS = 10 * STATUS_MS;
/** Without a word for so long, something is wrong with it. */
const SILENT_MS = 30_000;

/**
 * The projections, in a thread of their own; this process knows of them what it is told by messages. The thread writes
 * presence, too, since it is the one that has the read model open to be written.
 */
export class ProjectorThread implements ProjectionsControl, PresenceStore {
  private readonly thread: Thread<ToProjector, FromProjector>;
  private status_: ProjectionsStatus = { position: null, lagMs: 1, rebuild: null, problem: null };
  /** When the status was as it is said to be. */
  private at: number;
  /** How many rebuilds were asked for, and up to which the thread knows of them. */
  private ask = 0;
  private known = 0;
  /** No thread that runs has been told of the last one. */
  private isUntold = false;
  private readonly writing = new Map<number, Deferred<boolean>>();
  private nextId = 0;
  private readonly unlisten: (() => void) | undefined;
  private growthTimer: NodeJS.Timeout | undefined;
  private hasGrown = false;

  constructor(private readonly options: ProjectorThreadOptions) {
    const { data, observer, entry, clock, ownLog } = options;
    this.at = clock();
    const cacheMib = data.options.cacheBytes / MIB;
    this.thread = new Thread({
      data: { role: 'projector', ...data, isToldOfGrowth: ownLog !== undefined },
      maxHeapMib: Math.round(BASE_HEAP_MIB + 2 * cacheMib),
      observer,
      onMessage: (message) => this.receive(message),
      onEnd: (error) => this.ended(error),
      ...(entry === undefined ? {} : { entry }),
    });
    this.thread.start();
    this.unlisten = ownLog?.onGrowth(() => this.tellGrowth());
  }

  status(): ProjectionsStatus {
    const age = Math.max(0, this.options.clock() - this.at);
    const { position, lagMs } = this.status_;
    const silence = age < SILENT_MS ? null : `The projector has said nothing for ${Math.floor(age / 1000)} s`;
    const problem = this.status_.problem ?? silence;
    const isAsked = this.known < this.ask;
    const rebuild = this.status_.rebuild ?? (isAsked ? { events: 0, share: 0 } : null);
    const last = this.options.ownLog?.lastPosition;
    const isCurrent = last === undefined ? age < STALE_MS : (position ?? 0n) >= last;
    // Not 0 either in the millisecond in which the last word came: 0 says that nothing is missing.
    return {
      ...this.status_,
      rebuild,
      problem,
      lagMs: lagMs === 0 && isCurrent ? 0 : Math.max(1, lagMs + age),
    };
  }

  /** Begins a rebuild, or lets the one that runs go on. Does not wait for it. */
  rebuild(): ProjectionsStatus {
    this.ask++;
    this.tell();
    return this.status();
  }

  /** Waits for the read model to be open. */
  async writePresence(written: PresenceWritten): Promise<boolean> {
    const id = this.nextId++;
    if (!this.thread.post({ kind: 'presence', id, written })) {
      throw new ReadModelError('unavailable', 'The projector thread is being started again');
    }
    const answer = deferred<boolean>();
    this.writing.set(id, answer);
    return answer.promise;
  }

  /** Resolves when nothing of it runs any more. Idempotent. */
  async stop(): Promise<void> {
    this.unlisten?.();
    clearTimeout(this.growthTimer);
    await this.thread.stop();
    this.refuseWrites('The read model is closed');
  }

  private receive(message: FromProjector): void {
    const { observer, logger } = this.options;
    switch (message.kind) {
      case 'status':
        this.at = message.at;
        this.status_ = message.status;
        this.known = Math.max(this.known, message.asked);
        if (this.isUntold) this.tell();
        return;
      case 'observed': {
        const { method, args } = message.call;
        (observer as Record<keyof ProjectionObserver, (...args: unknown[]) => void>)[method](...args);
        return;
      }
      case 'presence':
        return this.wrote(message);
      case 'log':
        return logger[message.level](message.fields, message.text);
    }
  }

  /** A thread that does not run now reads all that there is when it does again. */
  private tellGrowth(): void {
    if (this.growthTimer !== undefined) {
      this.hasGrown = true;
      return;
    }
    this.hasGrown = false;
    this.thread.post({ kind: 'grown' });
    this.growthTimer = setTimeout(() => {
      this.growthTimer = undefined;
      if (this.hasGrown) this.tellGrowth();
    }, GROWTH_MS).unref();
  }

  private tell(): void {
    this.isUntold = !this.thread.post({ kind: 'rebuild', ask: this.ask });
  }

  private wrote(answer: Answer<boolean>): void {
    const waiter = this.writing.get(answer.id);
    this.writing.delete(answer.id);
    if (answer.ok) waiter?.resolve(answer.value);
    else waiter?.reject(new ReadModelError(answer.code, answer.message));
  }

  private refuseWrites(reason: string): void {
    for (const waiter of this.writing.values()) waiter.reject(new ReadModelError('unavailable', reason));
    this.writing.clear();
  }

  private ended(error: unknown): void {
    const problem = `The projector ended, and is started again: ${messageOf(error)}`;
    this.refuseWrites(problem);
    this.isUntold = this.known < this.ask;
    this.status_ = { ...this.status_, lagMs: Math.max(1, this.status_.lagMs), rebuild: null, problem };
  }
}
