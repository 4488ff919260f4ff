import { type Refusal } from '../../replica/commands.js';

/** What is told of a command beyond the rate of its device. */
export const DEVICE_TOO_FAST: Refusal = {
  code: 429,
  message: 'Too many commands of this device (MAX_DEVICE_COMMANDS_PER_SECOND_COUNT)',
};

/** More callers than this are looked through for such as may be forgotten. */
const SWEEP_COUNT = 10_000;

/**
 * Bounds how many requests a second each caller may make, on the average, with as many at once as there may be in a
 * second: within any time there are no more than fit into it and a second besides.
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

  /** 0: the request may go on. More: it may not, and does not count; so many milliseconds later it might. */
  take(caller: string): number {
    return this.ask(caller, false);
  }

  /** Counts the request, which must wait for so many milliseconds before it goes on. Those of a caller stay in order. */
  reserve(caller: string): number {
    return this.ask(caller, true);
  }

  private ask(caller: string, isPatient: boolean): number {
    const now = this.clock();
    const until = Math.max(this.busyUntil.get(caller) ?? now, now) + this.intervalMs;
    // Rounded, since a second holds no whole number of some intervals.
    const lateMs = Math.max(0, Math.round((until - now - 1000) * 1000) / 1000);
    if (lateMs > 0 && !isPatient) return lateMs;
    this.busyUntil.set(caller, until);
    if (this.busyUntil.size > this.sweepCount) this.sweep(now);
    return lateMs;
  }

  /** Callers that have their whole second again. */
  private sweep(now: number): void {
    for (const [caller, until] of this.busyUntil) if (until <= now) this.busyUntil.delete(caller);
    this.sweepCount = Math.max(SWEEP_COUNT, 2 * this.busyUntil.size);
  }
}
