import kafkajs, { type ICustomPartitioner, type Message } from 'kafkajs';
import { LRUCache } from 'lru-cache';
import { murmur2 } from './kafkajs-internals.js';

/** Those of all clients of the process: a hash is the same for each, and room for so many is not made again at a reconnect. */
const HASHES = new LRUCache<string, number>({ max: 50_000 });

/**
 * Kafka's own choice of partition (murmur2 of the key), with its hashes remembered: kafkajs computes each with
 * 64-bit arithmetic, and a batch sends several messages of each key.
 */
export class KeyPartitioner {
  private readonly counts = new Map<string, number>();
  /** The outputs of one command come one after the other. */
  private lastKey: Buffer | string | null = null;
  private lastHash = 0;
  private readonly original = kafkajs.Partitioners.DefaultPartitioner();

  /** For the producer. */
  readonly create: ICustomPartitioner = () => (choice) => {
    const { topic, partitionMetadata, message } = choice;
    const count = partitionMetadata.length;
    this.counts.set(topic, count);
    if (typeof message.partition === 'number') return message.partition;
    if (message.key === null || message.key === undefined) return this.original(choice);
    return this.hash(message.key) % count;
  };

  /** Where a message goes; null: it is not known, since the topic was not sent to yet, or the message has no key. */
  place(topic: string, { partition, key }: Message): number | null {
    if (partition !== undefined) return partition;
    const count = this.counts.get(topic);
    return count === undefined || key === null || key === undefined ? null : this.hash(key) % count;
  }

  private hash(key: Buffer | string): number {
    if (key === this.lastKey) return this.lastHash;
    this.lastKey = key;
    return (this.lastHash = this.lookUp(key));
  }

  private lookUp(key: Buffer | string): number {
    const text = typeof key === 'string' ? key : key.toString('latin1');
    // The two namespaces never meet in one topic's keys that are equal as text but not as bytes: only ASCII is shared.
    const name = typeof key === 'string' ? text : `\u0000${text}`;
    let hash = HASHES.get(name);
    if (hash === undefined) {
      hash = murmur2(key) & 0x7fffffff;
      HASHES.set(name, hash);
    }
    return hash;
  }
}
