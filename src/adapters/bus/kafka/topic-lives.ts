import type { Cluster } from 'kafkajs';
import type { Positions } from './positions.js';
import { topicIdOf } from './topic-ids.js';

/**
 * How much older than the fetch of a batch the knowledge may be that the topics are still the same. A topic is not
 * deleted, made anew and filled past its old end in this time; and it bounds what looking costs when fetches are small.
 */
const FRESH_MS = 25;

/**
 * Notices that a topic was deleted and made anew while it is consumed. kafkajs does not: where the new log reaches
 * past the old offset it reads on there, and the commands before it would be lost.
 */
export class TopicLives {
  private cluster: Cluster | undefined;
  private checkedMs = 0;
  private fetches = 0;
  /** How many fetches had been answered when the topics were last looked at. */
  private checkedFetches = -1;
  private look: Promise<boolean> | undefined;

  constructor(
    private readonly topics: readonly string[],
    private readonly positions: Positions,
  ) {}

  /** Takes the consumer's own knowledge of the cluster, which kafkajs shows to assigners. */
  watch(cluster: Cluster): void {
    this.cluster = cluster;
  }

  /** A fetch was answered: what came may be of another life than what was looked at. */
  fetched(): void {
    this.fetches++;
  }

  /** False when a topic was made anew since its partitions were placed. Rejects when one is missing. */
  async areCurrent(): Promise<boolean> {
    const { cluster, fetches } = this;
    if (cluster === undefined) return true;
    while (!this.isKnownSince(fetches)) {
      // One that is under way may have been asked for before the fetch was answered: then another follows.
      this.look ??= this.lookNow(cluster).finally(() => (this.look = undefined));
      if (!(await this.look)) return false;
    }
    return true;
  }

  private isKnownSince(fetches: number): boolean {
    return this.checkedFetches >= fetches || Date.now() - this.checkedMs < FRESH_MS;
  }

  private async lookNow(cluster: Cluster): Promise<boolean> {
    const { fetches } = this;
    const askedMs = Date.now();
    await cluster.refreshMetadata();
    const areSame = this.topics.every((topic) =>
      this.positions.isSameLife(topic, topicIdOf(cluster.findTopicPartitionMetadata(topic))),
    );
    if (areSame) {
      // As old as the question: the answer may have waited for its turn here.
      this.checkedMs = askedMs;
      this.checkedFetches = fetches;
    }
    return areSame;
  }
}
