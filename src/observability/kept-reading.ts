import { settlesWithin } from '../application/timing.js';

/** What was read is shown again for so long: how often it is asked for must not matter. */
const KEPT_MS = 5000;
/** Whoever collects metrics waits some seconds for all of them, and would have none where one takes longer. */
const PATIENCE_MS = 1000;

/** What gauges show of the read model, which may be away, or silent. */
export class KeptReading {
  private readAt = -Infinity;
  private reading: Promise<void> | null = null;

  /**
   * @param read reads it and shows it
   * @param forget shows nothing any more; called where it cannot be read, or not soon
   */
  constructor(
    private readonly read: () => Promise<void>,
    private readonly forget: () => void,
  ) {}

  /** Resolves within a second. Never rejects. All who ask at once get one answer. */
  async refresh(): Promise<void> {
    if (this.reading === null && performance.now() - this.readAt >= KEPT_MS) {
      this.readAt = performance.now();
      // Who keeps the read model tells of its failures.
      const reading = this.read().catch(() => this.forget());
      this.reading = reading.finally(() => (this.reading = null));
    }
    if (this.reading !== null && !(await settlesWithin(this.reading, PATIENCE_MS))) this.forget();
  }
}
