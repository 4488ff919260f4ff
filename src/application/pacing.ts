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

  async run<T>(work: () => Promise<T>): Promise<T> {
    // Whoever ends hands its place on, so that nobody overtakes.
    if (this.running >= this.maxRunning) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.running++;
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }
}
