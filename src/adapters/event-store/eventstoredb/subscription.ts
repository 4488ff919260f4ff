import { Backoff } from '../../../application/backoff.js';
import type { SubscribeOptions, SubscriptionItem } from '../../../application/ports/event-store.js';
import { closedError } from '../errors.js';
import type { Connection } from './connection.js';
import { toEventStoreError } from './errors.js';
import type { EventStoreLogger } from './logger.js';
import { allRequest, subscriptionRequest } from './read-request.js';
import { openRead, type Reading } from './reader.js';
import { isOfServer, recordedEventOf } from './recorded.js';

export interface SubscriptionDependencies {
  readonly connection: Connection;
  /** What the names of its streams begin with. */
  readonly prefix: string;
  readonly logger: EventStoreLogger;
  isClosed(): boolean;
  /** Calls `stop` when the store is closed, until the returned function is called. */
  onClose(stop: () => void): () => void;
}

/** What ends a subscription from outside, also while it waits. */
class Control {
  stopped = false;
  private reading: Reading | undefined;
  private wake: () => void = () => undefined;

  readonly stop = (): void => {
    this.stopped = true;
    this.reading?.cancel();
    this.wake();
  };

  /** From now on {@link stop} ends this one. */
  hold(reading: Reading): void {
    this.reading = reading;
    if (this.stopped) reading.cancel();
  }

  async sleep(milliseconds: number): Promise<void> {
    if (this.stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/**
 * A subscription to the streams of one prefix that outlives its connection: after an error it starts again, with
 * growing pauses, after the last event or checkpoint that it has seen.
 */
export function subscribeToServer(
  dependencies: SubscriptionDependencies,
  options: SubscribeOptions,
): AsyncIterable<SubscriptionItem> {
  return {
    [Symbol.asyncIterator](): AsyncIterator<SubscriptionItem, undefined> {
      const control = new Control();
      const items = follow(dependencies, options, control);
      return {
        next: () => items.next(),
        // A generator answers return() only after the next() that is under way, which may wait for ever.
        return: () => {
          control.stop();
          return items.return(undefined);
        },
      };
    },
  };
}

async function* follow(
  dependencies: SubscriptionDependencies,
  { after, signal }: SubscribeOptions,
  control: Control,
): AsyncGenerator<SubscriptionItem, undefined> {
  const { connection, logger } = dependencies;
  if (dependencies.isClosed()) throw closedError();
  if (signal?.aborted === true) return undefined;
  signal?.addEventListener('abort', control.stop);
  const forget = dependencies.onClose(control.stop);
  let place = after;
  const backoff = new Backoff();
  try {
    while (!control.stopped) {
      let reason = 'the server ended the subscription';
      try {
        // Known as a position, so that nothing is missed where the first connection breaks.
        if (place === 'end') place = await endOfLog(connection, control);
        const reading = await openRead(
          connection,
          subscriptionRequest(place === 'start' ? undefined : place, dependencies.prefix),
        );
        control.hold(reading);
        for await (const answer of reading.answers) {
          if (control.stopped) return undefined;
          const event = recordedEventOf(answer);
          if (event !== null) {
            if (place !== 'start' && event.position <= place) continue;
            if (!isOfServer(event)) yield { kind: 'event', event };
            place = event.position;
          } else if (answer.hasCaughtUp()) {
            yield { kind: 'caught-up' };
          } else if (answer.hasCheckpoint()) {
            const checkpoint = BigInt(answer.getCheckpoint()?.getCommitPosition() ?? '0');
            if (place === 'start' || checkpoint > place) place = checkpoint;
          } else {
            continue;
          }
          backoff.reset();
          if (control.stopped) return undefined;
        }
      } catch (error) {
        if (control.stopped) return undefined;
        const failure = toEventStoreError(error, connection.place);
        if (!failure.canRetry) throw failure;
        reason = failure.message;
      }
      if (control.stopped) return undefined;
      const delayMs = backoff.nextDelayMs();
      logger.warn({ reason, delayMs, after: String(place) }, 'A subscription broke and starts again');
      await control.sleep(delayMs);
    }
    return undefined;
  } finally {
    control.stop();
    forget();
    signal?.removeEventListener('abort', control.stop);
  }
}

/** The position of the log's last event, whoever's it is; `start` where the log is empty. */
async function endOfLog(connection: Connection, control: Control): Promise<bigint | 'start'> {
  const reading = await openRead(connection, allRequest('backwards', undefined, 1, null));
  control.hold(reading);
  let last: bigint | 'start' = 'start';
  for await (const answer of reading.answers) last = recordedEventOf(answer)?.position ?? last;
  return last;
}
