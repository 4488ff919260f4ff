import kafkajs, { type Message, type Producer } from 'kafkajs';
import type { ReplyMessage } from '../../../application/ports/bus.js';
import { LRUCache } from 'lru-cache';
import { NEST_ERROR } from '../../../application/reply-headers.js';
import { messageOf, settlesWithin } from '../../../application/timing.js';
import { CLOSE_MS, createKafka, RETRY, withAdmin } from './client.js';
import { isKafkaError } from './errors.js';
import type { ResolvedOptions } from './options.js';
import { recordBytes } from './request-sizes.js';
import { ONCE, sendWhole } from './sending.js';
import { settled } from './settled.js';

/** Errors that mean that the reply topic, not the broker, is the trouble. */
const HOPELESS = [
  'UNKNOWN_TOPIC_OR_PARTITION',
  'INVALID_TOPIC_EXCEPTION',
  'TOPIC_AUTHORIZATION_FAILED',
  'POLICY_VIOLATION',
];
const TOO_LARGE = ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'];
const TOO_LARGE_REPLY = 'The answer is too large for the reply topic';
/** A reply of this size that is refused for its size cannot be helped. */
const SMALL_BYTES = 16_384;

/** How long the replies of one publish may take, and for how long it is believed that a topic is there, or is not. */
const BUDGET_MS = 2_000;
const KNOWN_MS = 60_000;
const MISSING_MS = 10_000;
const MAX_KNOWN_COUNT = 10_000;

/** What cannot be sent soon is dropped. */
const AGAIN = { ...RETRY, retries: 1 };

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
  private turn: Promise<void> = Promise.resolve();
  /** Partitions by topic; 0: it does not exist. */
  private readonly partitions = new LRUCache<string, number>({ max: MAX_KNOWN_COUNT });

  constructor(private readonly options: ResolvedOptions) {}

  /**
   * Rejects only when Kafka does not answer. A reply that can never be delivered is logged and dropped, and so is what
   * is left when the time is over: an asker's topic must not hold up everybody's outputs.
   */
  send(replies: readonly ReplyMessage[]): Promise<void> {
    // One call after the other: a topic that is missing costs the producer, which must not be another call's.
    const sent = this.turn.then(() => this.sendNow(replies));
    this.turn = sent.catch(() => undefined);
    return sent;
  }

  private async sendNow(replies: readonly ReplyMessage[]): Promise<void> {
    const deadline = Date.now() + BUDGET_MS;
    const byTopic = new Map<string, ReplyMessage[]>();
    for (const reply of replies) {
      const group = byTopic.get(reply.topic);
      if (group === undefined) byTopic.set(reply.topic, [reply]);
      else group.push(reply);
    }
    await this.lookUp(byTopic.keys());
    for (const [topic, group] of byTopic) {
      const partitions = this.partitions.get(topic) ?? 0;
      const there = group.filter(({ partition }) => partition === null || partition < partitions);
      if (partitions === 0) this.drop(topic, group.length, 'no such topic');
      else if (there.length < group.length)
        this.drop(topic, group.length - there.length, 'no such partition');
      if (partitions === 0) continue;
      if (Date.now() > deadline) {
        this.drop(topic, there.length, `not sent within ${BUDGET_MS} ms`);
        continue;
      }
      for (const part of this.parts(there)) await this.sendTo(topic, part);
    }
  }

  /** Asks for the partitions of all topics that are not known, at once. */
  private async lookUp(topics: Iterable<string>): Promise<void> {
    const unknown = [...topics].filter((topic) => !this.partitions.has(topic));
    if (unknown.length === 0) return;
    const found = new Map<string, number>();
    if (unknown.some((topic) => TOPIC_NAME.test(topic))) {
      await withAdmin(this.options, async (admin) => {
        const existing = new Set(await settled(() => admin.listTopics()));
        const names = unknown.filter((topic) => existing.has(topic));
        if (names.length === 0) return;
        const metadata = await settled(() => admin.fetchTopicMetadata({ topics: names }));
        for (const { name, partitions } of metadata.topics) found.set(name, partitions.length);
      });
    }
    for (const topic of unknown) {
      const count = found.get(topic) ?? 0;
      this.partitions.set(topic, count, { ttl: count === 0 ? MISSING_MS : KNOWN_MS });
    }
  }

  async stop(): Promise<void> {
    const { connected } = this;
    this.connected = undefined;
    if (connected === undefined) return;
    await settlesWithin(connected.producer.disconnect(), CLOSE_MS);
    connected.cutConnections();
  }

  /** Parts small enough for one record batch; a reply that is larger goes alone, and the broker decides. */
  private parts(replies: readonly ReplyMessage[]): Message[][] {
    const parts: Message[][] = [];
    let bytes = Number.POSITIVE_INFINITY;
    for (const { partition, key, value, headers } of replies) {
      const message: Message = { key, value, headers, ...(partition === null ? {} : { partition }) };
      const size = recordBytes(message);
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
      const { producer } = this.connected;
      await sendWhole(() => producer.send({ topic, messages, acks: -1 }), AGAIN);
    } catch (error) {
      if (isKafkaError(error, ...TOO_LARGE)) return this.sendSmaller(topic, messages, messageOf(error));
      if (!isKafkaError(error, ...HOPELESS)) throw error;
      this.drop(topic, messages.length, messageOf(error));
      this.partitions.delete(topic);
      await this.stop();
    }
  }

  /** Who asks must hear something: a reply that the topic does not take becomes one that says so. */
  private async sendSmaller(topic: string, messages: readonly Message[], reason: string): Promise<void> {
    if (messages.length > 1) {
      for (const message of messages) await this.sendTo(topic, [message]);
      return;
    }
    const [message] = messages;
    if (message === undefined) return;
    const refusal = JSON.stringify({ code: 413, message: TOO_LARGE_REPLY, timestamp: Date.now() });
    if (recordBytes(message) <= SMALL_BYTES) {
      this.drop(topic, 1, reason);
      return;
    }
    const headers = { ...message.headers, [NEST_ERROR]: refusal };
    await this.sendTo(topic, [{ ...message, value: refusal, headers }]);
  }

  private drop(topic: string, count: number, reason: string): void {
    this.options.logger.warn({ topic, count, reason }, 'Replies could not be delivered: dropped');
  }

  private async connect(): Promise<Connected> {
    const { kafka, cutConnections } = createKafka(this.options);
    const producer = kafka.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      retry: ONCE,
    });
    await producer.connect();
    return { producer, cutConnections };
  }
}
