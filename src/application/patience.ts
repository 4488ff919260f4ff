import { Backoff } from './backoff.js';
import { EventStoreError } from './ports/event-store.js';
import { pause } from './timing.js';

/** Hears what failed, and after how many milliseconds it is tried again. */
export type OnRetry = (error: unknown, delayMs: number) => void;

/** Waits, longer and longer, while the event store is away. */
export class Patience {
  private readonly backoff = new Backoff();

  constructor(
    private readonly signal: AbortSignal,
    private readonly onRetry: OnRetry,
  ) {}

  /** Resolves when it is time to try again. Throws the error itself where that does not help, or the signal has aborted. */
  async after(error: unknown): Promise<void> {
    if (this.signal.aborted || !(error instanceof EventStoreError) || !error.canRetry) throw error;
    const delayMs = this.backoff.nextDelayMs();
    this.onRetry(error, delayMs);
    await pause(delayMs, this.signal);
  }

  /** Something has succeeded: the next pause is a short one again. */
  reset(): void {
    this.backoff.reset();
  }
}

/** Works, and again where the event store is away, until it has succeeded. Throws what {@link Patience.after} throws. */
export async function patiently<T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  onRetry: OnRetry,
): Promise<T> {
  const patience = new Patience(signal, onRetry);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await patience.after(error);
    }
  }
}
