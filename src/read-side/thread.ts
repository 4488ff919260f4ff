import { Worker } from 'node:worker_threads';
import { Backoff } from '../application/backoff.js';
import { settlesWithin } from '../application/timing.js';
import { type ThreadData } from './messages.js';

/** Hears of threads that ended unasked. No call throws or waits. */
export interface ThreadObserver {
  threadEnded(thread: string, error: unknown, delayMs: number): void;
}

export interface ThreadOptions<Out> {
  readonly data: ThreadData;
  /** The most that the thread may have on its heap; over it the thread ends, and is started again. */
  readonly maxHeapMib: number;
  readonly observer: ThreadObserver;
  readonly onMessage: (message: Out) => void;
  /** Called when it ended unasked, before {@link ThreadObserver.threadEnded}. */
  readonly onEnd: (error: unknown) => void;
  /** The thread's program. Default: `worker` beside this module. */
  readonly entry?: URL;
}

const FIRST_DELAY_MS = 200;
const LAST_DELAY_MS = 30_000;
/** A thread that has lived so long is started again without delay when it ends. */
const HEALTHY_MS = 60_000;
/** How long a thread may take to end when it is asked to. */
const STOP_MS = 5000;

/** Beside this module: as the build made it, or as it was written where a loader runs the sources. */
function defaultEntry(): URL {
  const own = import.meta.url;
  return new URL(own.endsWith('.ts') ? './worker.ts' : './worker.js', own);
}

/** A thread that is started again, with growing pauses, whenever it ends without having been asked to. */
export class Thread<In extends { readonly kind: string }, Out> {
  private readonly backoff = new Backoff(FIRST_DELAY_MS, LAST_DELAY_MS);
  private worker: Worker | null = null;
  private ended: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private stopping = false;

  constructor(private readonly options: ThreadOptions<Out>) {}

  start(): void {
    const { onMessage } = this.options;
    const startedAt = performance.now();
    let worker: Worker;
    try {
      worker = this.open();
    } catch (error) {
      // The system may have no thread to give now.
      return this.again(error);
    }
    this.worker = worker;
    let failure: unknown = null;
    worker.on('message', onMessage);
    worker.on('error', (error) => (failure = error));
    this.ended = new Promise((resolve) => {
      worker.once('exit', (code) => {
        this.worker = null;
        resolve();
        if (this.stopping) return;
        if (performance.now() - startedAt > HEALTHY_MS) this.backoff.reset();
        this.again(failure ?? new Error(`The thread ended with code ${code}`));
      });
    });
  }

  private open(): Worker {
    const { data, maxHeapMib, entry = defaultEntry() } = this.options;
    return new Worker(entry, {
      workerData: data,
      name: data.role,
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMib },
    });
  }

  /** False: it does not run now. */
  post(message: In | { readonly kind: 'stop' }): boolean {
    this.worker?.postMessage(message);
    return this.worker !== null;
  }

  /** Asks the thread to end, and ends it where it does not do so in time. Idempotent. */
  async stop(): Promise<void> {
    this.stopping = true;
    clearTimeout(this.timer);
    this.post({ kind: 'stop' });
    if (!(await settlesWithin(this.ended, STOP_MS))) await this.worker?.terminate();
  }

  private again(error: unknown): void {
    const { data, observer, onEnd } = this.options;
    const delayMs = this.backoff.nextDelayMs();
    onEnd(error);
    observer.threadEnded(data.role, error, delayMs);
    this.timer = setTimeout(() => this.start(), delayMs);
  }
}
