import { type Message, type Producer } from 'kafkajs';
import { ECHOED } from '../../../application/reply-headers.js';
import { BusError, type OutputMessage, type ReplyMessage } from '../../../application/ports/bus.js';
import { messageOf, settlesWithin } from '../../../application/timing.js';
import { bundle, type Placed } from './bundles.js';
import { CLOSE_MS, createKafka, RETRY, type KafkaClient } from './client.js';
import { isKafkaError, toBusError } from './errors.js';
import { ForeignReplies } from './foreign-replies.js';
import type { ResolvedOptions } from './options.js';
import { KeyPartitioner } from './partitioner.js';
import { measured, recordBytes, sizeOf, splitIntoRequests, type Addressed } from './request-sizes.js';
import { ONCE, sendWhole } from './sending.js';
import type { TopicNames } from './topic-names.js';

/** Memory, and the time of one request, are bounded by it; far under brokers' `socket.request.max.bytes`. */
const MAX_TOTAL_BYTES = 8 * 1024 * 1024;
/** How long a failure to send counts for health. */
const FAILURE_COUNTS_MS = 10_000;
/** A longer key is left out of the dead letter that stands in for its message. */
const MAX_KEPT_KEY_BYTES = 1_024;

interface Outgoing extends Addressed {
  /** The channel, for a dead letter that stands in. */
  readonly channel: string;
}

/** Sends outputs: those of one call in order, calls side by side. */
export class Publisher {
  private readonly partitioner = new KeyPartitioner();
  private readonly producer: Producer;
  private readonly client: KafkaClient;
  private readonly underWay = new Set<Promise<void>>();
  private readonly foreignReplies: ForeignReplies;
  private isStopped = false;
  private lastFailure: string | null = null;
  private lastFailureMs = 0;

  constructor(
    private readonly options: ResolvedOptions,
    private readonly names: TopicNames,
  ) {
    this.client = createKafka(options);
    this.producer = this.createProducer();
    this.foreignReplies = new ForeignReplies(options);
  }

  async connect(): Promise<void> {
    await this.producer.connect();
  }

  /** Why nothing could be sent a moment ago. Who is not sent to, since unhealthy, would never be seen to recover. */
  health(): string | null {
    return Date.now() - this.lastFailureMs < FAILURE_COUNTS_MS ? this.lastFailure : null;
  }

  /** As the port's publish(). */
  publish(messages: readonly (OutputMessage | ReplyMessage)[]): Promise<void> {
    const outputs: Outgoing[] = [];
    for (const message of messages) if (message.channel !== 'reply') outputs.push(this.addressed(message));
    const replies = messages.filter((message): message is ReplyMessage => message.channel === 'reply');
    return this.guarded(async () => {
      await this.sendAll(outputs);
      if (replies.length > 0) await this.sendReplies(replies);
    });
  }

  /** Sends commands: few and small enough for one request. */
  send(messages: readonly { topic: string; message: Message }[]): Promise<void> {
    return this.guarded(() => this.sendBatch(messages.map((each) => ({ ...each, partition: null }))));
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await settlesWithin(Promise.allSettled(this.underWay), CLOSE_MS);
    await Promise.all([settlesWithin(this.producer.disconnect(), CLOSE_MS), this.foreignReplies.stop()]);
    this.client.cutConnections();
  }

  private async guarded(work: () => Promise<void>): Promise<void> {
    if (this.isStopped) throw new BusError('closed', 'The bus is stopped');
    const working = work();
    this.underWay.add(working);
    try {
      await working;
      this.lastFailure = null;
    } catch (error) {
      const failure = toBusError(error, this.options.brokers);
      this.lastFailure = failure.message;
      this.lastFailureMs = Date.now();
      throw failure;
    } finally {
      this.underWay.delete(working);
    }
  }

  private addressed({ channel, key, value, headers }: OutputMessage): Outgoing {
    const topic = this.names.output(channel);
    const outgoing = this.placed(topic, channel, { key, value, headers });
    const { bytes } = outgoing;
    // Between the two limits it goes alone, and the broker decides: the topic may allow more.
    return bytes > Math.max(MAX_TOTAL_BYTES, this.options.maxOutputBytes)
      ? this.tooLarge(outgoing, `${bytes} bytes`)
      : outgoing;
  }

  private async sendAll(outgoing: readonly Outgoing[]): Promise<void> {
    const limits = { partitionBytes: this.options.maxRequestBytes, totalBytes: MAX_TOTAL_BYTES };
    for (const request of splitIntoRequests(outgoing, limits)) await this.sendRequest(request);
  }

  private async sendRequest(request: readonly Outgoing[]): Promise<void> {
    try {
      await this.sendBatch(request);
    } catch (error) {
      if (!isKafkaError(error, 'MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE')) throw error;
      // A topic can have a lower limit than ours. Halves find the messages that are over it.
      const [only] = request;
      if (only !== undefined && request.length === 1) {
        if (only.topic === this.names.output('dead-letter')) {
          this.options.logger.error({ err: error }, 'Dead letter is too large for its topic: dropped');
          return;
        }
        await this.sendRequest(this.inPlaceOf(only, messageOf(error)));
        return;
      }
      const middle = Math.ceil(request.length / 2);
      await this.sendRequest(request.slice(0, middle));
      await this.sendRequest(request.slice(middle));
    }
  }

  /** What stands in for a message that its topic does not take; who asked for a state hears that it cannot be sent. */
  private inPlaceOf(outgoing: Outgoing, detail: string): Outgoing[] {
    const deadLetter = this.tooLarge(outgoing, detail);
    if (outgoing.channel !== 'get.accepted') return [deadLetter];
    const value = JSON.stringify({
      code: 413,
      message: 'The state is too large for its topic',
      timestamp: Date.now(),
    });
    const topic = this.names.output('get.rejected');
    return [deadLetter, this.placed(topic, 'get.rejected', { ...outgoing.message, value })];
  }

  /** The dead letter in place of a message that Kafka does not take. */
  private tooLarge({ topic, channel, message, bytes }: Outgoing, detail: string): Outgoing {
    const reason = `Too large for topic ${topic}: ${detail}`;
    this.options.logger.error(
      { topic, key: message.key?.toString(), bytes },
      'Output is too large: sent as a dead letter',
    );
    return this.placed(this.names.output('dead-letter'), 'dead-letter', {
      key: sizeOf(message.key) > MAX_KEPT_KEY_BYTES ? null : (message.key ?? null),
      value: JSON.stringify({ code: 413, message: reason }),
      headers: {
        ...echoedHeaders(message),
        reason,
        'original-channel': channel,
        'original-bytes': String(bytes),
        'content-type': 'application/json',
      },
    });
  }

  /** Replies go where their askers said, which may be nowhere: that is the askers' loss only. */
  private async sendReplies(replies: readonly ReplyMessage[]): Promise<void> {
    const own: Outgoing[] = [];
    const foreign: ReplyMessage[] = [];
    for (const reply of replies) {
      if (reply.topic === this.names.replies) own.push(this.addressedReply(reply));
      else if (!this.names.isOwn(reply.topic)) foreign.push(reply);
      else this.options.logger.warn({ topic: reply.topic }, 'Reply to one of the own topics is refused');
    }
    await this.sendAll(own);
    if (foreign.length > 0) await this.foreignReplies.send(foreign);
  }

  private addressedReply({ channel, topic, partition, key, value, headers }: ReplyMessage): Outgoing {
    const message: Message = { key, value, headers, ...(partition === null ? {} : { partition }) };
    return this.placed(topic, channel, message);
  }

  private placed(topic: string, channel: string, unmeasured: Message): Outgoing {
    const message = measured(unmeasured);
    const partition = this.partitioner.place(topic, message);
    return { topic, partition, message, channel, bytes: recordBytes(message) };
  }

  private async sendBatch(messages: readonly Placed[]): Promise<void> {
    const topicMessages = bundle(messages);
    await sendWhole(() => this.producer.sendBatch({ topicMessages, acks: -1 }), RETRY);
  }

  private createProducer(): Producer {
    return this.client.kafka.producer({
      createPartitioner: this.partitioner.create,
      allowAutoTopicCreation: false,
      // Marked experimental in kafkajs. One request at a time for each key keeps the order without it.
      idempotent: false,
      retry: ONCE,
    });
  }
}

/** What comes back on every output that a command caused. */
function echoedHeaders({ headers = {} }: Message): Message['headers'] {
  const entries = ECHOED.map((name) => [name, headers[name]] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}
