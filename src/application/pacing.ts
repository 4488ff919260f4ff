import { setImmediate } from 'node:timers/promises';

/** So long may a fold keep the event loop from everything else. */
const TURN_MS = 8;

/** Lets the event loop do other things amid long work. A store in this process may answer without ever waiting. */
export class Pacer {
  private turn = performance.now();

  /** Cheap; to be asked for every piece of work. True: {@link pause} now. */
  get isDue(): boolean {
    return performance.now() - this.turn > TURN_MS;
  }

  async pause(): Promise<void> {
    await setImmediate();
    this.turn = performance.now();
  }
}

/** Lets so many pieces of work run at once, and so many more wait. First come, first served. */
export class Gate {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly maxRunning: number,
    private readonly maxWaiting: number,
  ) {}

  /** True where {@link run} would be one too many. */
  get isFull(): boolean {
    return this.running >= this.maxRunning && this.waiting.length >= this.maxWaiting;
  }

  /**
   * @param signal whoever asked is gone: a piece that still waits gives up its place, and {@link run} rejects with the
   * signal's reason. Work that runs must look at the signal itself
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.running < this.maxRunning) this.running++;
    // Whoever ends hands its place on, so that nobody overtakes.
    else await this.place(signal);
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }

  private place(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const take = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.waiting.splice(this.waiting.indexOf(take), 1);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.waiting.push(take);
    });
  }
}
