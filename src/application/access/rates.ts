/** More callers than this are looked through for such as may be forgotten. */
const SWEEP_COUNT = 10_000;

/**
 * Bounds how many requests a second each caller may make, on the average, with as many at once as there may be in a
 * second. What is refused does not count.
 */
export class Rates {
  /** By caller: until when what it has asked for would have taken, one request after the other. */
  private readonly busyUntil = new Map<string, number>();
  private readonly intervalMs: number;
  private sweepCount = SWEEP_COUNT;

  /** @param clock milliseconds that never go backwards */
  constructor(
    perSecond: number,
    private readonly clock: () => number,
  ) {
    this.intervalMs = 1000 / perSecond;
  }

  /** 0: the request may go on. More: so many milliseconds later it might. */
  take(caller: string): number {
    const now = this.clock();
    const until = Math.max(this.busyUntil.get(caller) ?? now, now) + this.intervalMs;
    // Rounded, since a second holds no whole number of some intervals.
    const lateMs = Math.round((until - now - 1000) * 1000) / 1000;
    if (lateMs > 0) return lateMs;
    this.busyUntil.set(caller, until);
    if (this.busyUntil.size > this.sweepCount) this.sweep(now);
    return 0;
  }

  /** Callers that have their whole second again. */
  private sweep(now: number): void {
    for (const [caller, until] of this.busyUntil) if (until <= now) this.busyUntil.delete(caller);
    this.sweepCount = Math.max(SWEEP_COUNT, 2 * this.busyUntil.size);
  }
}
