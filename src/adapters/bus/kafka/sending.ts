import { Backoff } from '../../../application/backoff.js';
import { pause } from '../../../application/timing.js';
import type { Retry } from './client.js';
import { causesOf } from './errors.js';

/** For a producer whose sends are tried again by {@link sendWhole}. */
export const ONCE = { retries: 0 };

/**
 * Sends, and after a failure that may pass sends all of it again, so many times; rejects as kafkajs does.
 *
 * kafkajs 2.2.4 cannot do that itself: in its own tries it leaves out nodes that have acknowledged their share. What
 * comes to such a node later, because it leads another partition by then or a message without a key is drawn for it,
 * would be dropped, and count as sent.
 */
export async function sendWhole(send: () => Promise<unknown>, retry: Retry): Promise<void> {
  const backoff = new Backoff(retry.initialRetryTime, retry.maxRetryTime);
  for (let left = retry.retries; ; left--) {
    try {
      await send();
      return;
    } catch (error) {
      if (left === 0 || !mayPass(error)) throw error;
      await pause(backoff.nextDelayMs());
    }
  }
}

/** Then kafkajs has run out of tries; what is hopeless has another name. */
function mayPass(error: unknown): boolean {
  return causesOf(error)[0]?.name === 'KafkaJSNumberOfRetriesExceeded';
}
