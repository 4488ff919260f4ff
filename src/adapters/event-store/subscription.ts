import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SubscriptionItem } from '../../application/ports/event-store.js';
import { closedError } from './errors.js';

/** Tells listeners that the log has grown or the store was closed. */
export class LogSignal {
  private readonly listeners = new Set<() => void>();

  get listenerCount(): number {
    return this.listeners.size;
  }

  /** Calls `listener` at every {@link notify} until the returned function is called. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  notify(): void {
    for (const listener of this.listeners) listener();
  }
}

/** What a subscription needs of a log: `Row` is an event as it is stored, with its position. */
export interface SubscribableLog<Position, Row> {
  /** The next events after a position, as many as one page holds; empty at the end of the log. */
  pageAfter(position: Position): Row[];
  positionOf(row: Row): Position;
  /** Makes the item of one row; throws where the row fails its check. */
  itemOf(row: Row): SubscriptionItem;
  readonly signal: LogSignal;
  isClosed(): boolean;
}

/**
 * A pull-based subscription to a log of this process. It holds one page at most and reads the next one only when the
 * consumer asks for it, so a slow consumer costs nobody else anything. It ends, also in the middle of a wait, when
 * `abort` fires, when the log is closed and when the consumer stops. A log that is closed already at the start throws `closed`.
 */
export function subscribeToLog<Position, Row>(
  log: SubscribableLog<Position, Row>,
  after: Position,
  abort: AbortSignal | undefined,
): AsyncIterable<SubscriptionItem> {
  return {
    [Symbol.asyncIterator](): AsyncIterator<SubscriptionItem, undefined> {
      const control = { stopped: false, wake: (): void => undefined };
      const items = follow(log, after, abort, control);
      return {
        next: () => items.next(),
        // A generator answers return() only after the next() that is under way, which may wait for ever.
        return: () => {
          control.stopped = true;
          control.wake();
          return items.return(undefined);
        },
      };
    },
  };
}

async function* follow<Position, Row>(
  log: SubscribableLog<Position, Row>,
  after: Position,
  abort: AbortSignal | undefined,
  control: { stopped: boolean; wake: () => void },
): AsyncGenerator<SubscriptionItem, undefined> {
  if (log.isClosed()) throw closedError();
  let position = after;
  let grown: boolean;
  const wake = (): void => control.wake();
  const unlisten = log.signal.listen(() => {
    grown = true;
    control.wake();
  });
  abort?.addEventListener('abort', wake);
  const ended = (): boolean => control.stopped || log.isClosed() || abort?.aborted === true;
  try {
    while (!ended()) {
      // Cleared before the read: what is appended after it sets the flag again, so nothing is slept through.
      grown = false;
      const page = log.pageAfter(position);
      for (const row of page) {
        if (ended()) return undefined;
        yield log.itemOf(row);
        position = log.positionOf(row);
      }
      if (page.length > 0) {
        // Without a turn of the event loop a long catch-up would starve everything else in the process.
        await nextTurn();
        continue;
      }
      yield { kind: 'caught-up' };
      while (!grown && !ended()) {
        await new Promise<void>((resolve) => {
          control.wake = resolve;
        });
      }
    }
    return undefined;
  } finally {
    unlisten();
    abort?.removeEventListener('abort', wake);
  }
}
