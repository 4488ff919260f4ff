import type { Cluster } from 'kafkajs';
import type { Positions } from './positions.js';
import { topicIdOf } from './topic-ids.js';

/**
 * How old the knowledge that the topics are still the same may be when a batch is handed over. A topic is not deleted,
 * made anew and filled past its old end in this time; and it bounds what looking costs when batches are small.
 */
const FRESH_MS = 25;

/**
 * Notices that a topic was deleted and made anew while it is consumed. kafkajs does not: where the new log reaches
 * past the old offset it reads on there, and the commands before it would be lost.
 */
export class TopicLives {
  private cluster: Cluster | undefined;
  private checkedMs = 0;

  constructor(
    private readonly topics: readonly string[],
    private readonly positions: Positions,
  ) {}

  /** Takes the consumer's own knowledge of the cluster, which kafkajs shows to assigners. */
  watch(cluster: Cluster): void {
    this.cluster = cluster;
  }

  /** False when a topic was made anew since its partitions were placed. Rejects when one is missing. */
  async areCurrent(): Promise<boolean> {
    const { cluster } = this;
    const askedMs = Date.now();
    if (cluster === undefined || askedMs - this.checkedMs < FRESH_MS) return true;
    await cluster.refreshMetadata();
    // As old as the question: the answer may have waited for its turn here.
    this.checkedMs = askedMs;
    return this.topics.every((topic) =>
      this.positions.isSameLife(topic, topicIdOf(cluster.findTopicPartitionMetadata(topic))),
    );
  }
}
