/** Delays that double from `firstMs` to `lastMs`, each shortened by up to half at random so that instances do not move in step. */
export class Backoff {
  private attempt = 0;

  constructor(
    private readonly firstMs = 50,
    private readonly lastMs = 5000,
  ) {}

  nextDelayMs(): number {
    const full = Math.min(this.lastMs, this.firstMs * 2 ** this.attempt++);
    return Math.round(full * (0.5 + Math.random() / 2));
  }

  /** To be called when something succeeded: the next delay is the first again. */
  reset(): void {
    this.attempt = 0;
  }
}
