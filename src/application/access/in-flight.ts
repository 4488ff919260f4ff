/** What a request that waits for its answer takes beside its body, by estimate. */
const OVERHEAD_BYTES = 4096;

interface Waiter {
  readonly bytes: number;
  readonly go: () => void;
}

/** Bounds the memory of the requests that wait for their answers: their bodies, and 4 KiB each besides. */
export class InFlight {
  private usedBytes = 0;
  private readonly waiters = new Set<Waiter>();

  constructor(private readonly maxBytes: number) {}

  /** Whether there is room for a request with a body of so many bytes, which it then has until {@link give}. */
  take(bodyBytes: number): boolean {
    const bytes = bodyBytes + OVERHEAD_BYTES;
    if (this.waiters.size > 0 || this.usedBytes + bytes > this.maxBytes) return false;
    this.usedBytes += bytes;
    return true;
  }

  /**
   * Calls back when there is room, which the request then has until {@link give}: those who wait have it in turn.
   *
   * @returns ends the waiting
   */
  wait(bodyBytes: number, go: () => void): () => void {
    const waiter: Waiter = { bytes: bodyBytes + OVERHEAD_BYTES, go };
    this.waiters.add(waiter);
    return () => {
      if (this.waiters.delete(waiter)) this.wake();
    };
  }

  give(bodyBytes: number): void {
    this.usedBytes -= bodyBytes + OVERHEAD_BYTES;
    this.wake();
  }

  private wake(): void {
    for (const waiter of this.waiters) {
      if (this.usedBytes + waiter.bytes > this.maxBytes) return;
      this.waiters.delete(waiter);
      this.usedBytes += waiter.bytes;
      waiter.go();
    }
  }
}
