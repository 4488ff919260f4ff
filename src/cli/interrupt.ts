import { InterruptedError } from './command.js';

/**
 * Lends a signal that the first Ctrl-C aborts, so that the work can come to a clean end; the second one ends the
 * process at once, when `exit` listeners still remove what is half-written.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    return await work(controller.signal);
  } finally {
    process.removeListener('SIGINT', interrupt).removeListener('SIGTERM', interrupt);
  }
}

/** Passes items on until the signal aborts. Throws {@link InterruptedError} then. */
export async function* untilAborted<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  for await (const item of items) {
    if (signal.aborted) throw new InterruptedError();
    yield item;
  }
  if (signal.aborted) throw new InterruptedError();
}
