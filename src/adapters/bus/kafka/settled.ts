import { pause } from '../../../application/timing.js';
import { causesOf, isKafkaError } from './errors.js';

const ATTEMPTS = 20;
const PAUSE_MS = 250;

/**
 * Asks again while the cluster settles: just after a topic is made, its brokers do not all know of it, and metadata of
 * all topics fails while any topic is being made or deleted. Gives up after 5 s, or at once when it is not allowed or not connected.
 */
export async function settled<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = ATTEMPTS; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 0 || isHopeless(error)) throw error;
      await pause(PAUSE_MS);
    }
  }
}

/** kafkajs turns many failures of metadata into a TypeError, so not every reason to stop early can be seen. */
function isHopeless(error: unknown): boolean {
  return (
    isKafkaError(error, 'TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED') ||
    causesOf(error).some(({ name }) => name?.startsWith('KafkaJSConnection') === true)
  );
}
