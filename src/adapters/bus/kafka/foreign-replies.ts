import kafkajs, { type Message, type Producer } from 'kafkajs';
import type { ReplyMessage } from '../../../application/ports/bus.js';
import { messageOf, settlesWithin } from '../timing.js';
import { CLOSE_MS, createKafka, RETRY } from './client.js';
import { isKafkaError } from './errors.js';
import type { ResolvedOptions } from './options.js';
import { recordBytes } from './request-sizes.js';

/** Errors that mean that the reply topic, not the broker, is the trouble. */
const HOPELESS = [
  'UNKNOWN_TOPIC_OR_PARTITION',
  'INVALID_TOPIC_EXCEPTION',
  'TOPIC_AUTHORIZATION_FAILED',
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'POLICY_VIOLATION',
];

const TOPIC_NAME = /^[A-Za-z0-9._-]{1,249}$/;

interface Connected {
  readonly producer: Producer;
  readonly cutConnections: () => void;
}

/**
 * Sends replies to the topics that askers named. kafkajs's metadata of all topics of a producer fails when one of
 * them is missing, so a wrong or deleted reply topic must never meet the producer of the outputs; here it costs a
 * new producer.
 */
export class ForeignReplies {
  private connected: Connected | undefined;

  constructor(private readonly options: ResolvedOptions) {}

  /** Rejects only when Kafka does not answer; a reply that can never be delivered is logged and dropped. */
  async send(replies: readonly ReplyMessage[]): Promise<void> {
    const byTopic = new Map<string, ReplyMessage[]>();
    for (const reply of replies) byTopic.set(reply.topic, [...(byTopic.get(reply.topic) ?? []), reply]);
    for (const [topic, group] of byTopic) {
      if (!TOPIC_NAME.test(topic)) {
        this.drop(topic, group.length, 'not a legal name of a topic');
        continue;
      }
      for (const part of this.deliverable(group)) await this.sendTo(topic, part);
    }
  }

  async stop(): Promise<void> {
    const { connected } = this;
    this.connected = undefined;
    if (connected === undefined) return;
    await settlesWithin(connected.producer.disconnect(), CLOSE_MS);
    connected.cutConnections();
  }

  /** Parts small enough for one record batch; a single reply that is too large is left out. */
  private deliverable(replies: readonly ReplyMessage[]): Message[][] {
    const parts: Message[][] = [];
    let bytes = Number.POSITIVE_INFINITY;
    for (const { topic, partition, key, value, headers } of replies) {
      const message: Message = { key, value, headers, ...(partition === null ? {} : { partition }) };
      const size = recordBytes(message);
      if (size > this.options.maxRequestBytes) {
        this.drop(topic, 1, `too large: ${size} bytes`);
        continue;
      }
      bytes += size;
      if (bytes > this.options.maxRequestBytes) {
        parts.push([]);
        bytes = size;
      }
      parts[parts.length - 1]?.push(message);
    }
    return parts;
  }

  private async sendTo(topic: string, messages: Message[]): Promise<void> {
    try {
      this.connected ??= await this.connect();
      await this.connected.producer.send({ topic, messages, acks: -1 });
    } catch (error) {
      if (!isKafkaError(error, ...HOPELESS)) throw error;
      this.drop(topic, messages.length, messageOf(error));
      await this.stop();
    }
  }

  private drop(topic: string, count: number, reason: string): void {
    this.options.logger.warn({ topic, count, reason }, 'Replies could not be delivered: dropped');
  }

  private async connect(): Promise<Connected> {
    const { kafka, cutConnections } = createKafka(this.options);
    const producer = kafka.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      retry: { ...RETRY, retries: 1 },
    });
    await producer.connect();
    return { producer, cutConnections };
  }
}
