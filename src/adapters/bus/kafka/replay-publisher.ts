import { type Message, type Producer } from 'kafkajs';
import { type EventRow, rowToJson } from '../../../application/event-row.js';
import { BusError, COMMAND_CHANNELS, OUTPUT_CHANNELS } from '../../../application/ports/bus.js';
import { type ReplayTarget } from '../../../application/replay.js';
import { settlesWithin } from '../../../application/timing.js';
import { bundle } from './bundles.js';
import { CLOSE_MS, createKafka, type KafkaClient, withAdmin } from './client.js';
import { isKafkaError, toBusError } from './errors.js';
import { type KafkaBusOptions, type ResolvedOptions, withDefaults } from './options.js';
import { KeyPartitioner } from './partitioner.js';
import { recordBytes, splitIntoRequests } from './request-sizes.js';
import { ONCE, sendWhole } from './sending.js';

const MAX_TOTAL_BYTES = 8 * 1024 * 1024;

/** Whoever waits for a replay waits for a broker that is being restarted, too: about a minute. */
const PATIENT = { initialRetryTime: 200, maxRetryTime: 10_000, factor: 0.2, multiplier: 2, retries: 10 };

const LIVE = [...COMMAND_CHANNELS, ...OUTPUT_CHANNELS, 'replies'];

/**
 * Why history may not be published on this topic; null: it may. What is named as a service's topics are is refused
 * whatever their prefix: a service with another prefix may run on the same brokers.
 */
export function refusalOfReplayTopic(topic: string): string | null {
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..') {
    return 'it is no name that Kafka takes: 1 to 249 of [A-Za-z0-9._-]';
  }
  const channel = LIVE.find((name) => topic.endsWith(`.${name}`) || topic === name);
  if (channel === undefined) return null;
  return `a service reads or writes topics that end in '.${channel}': history there would be taken for what happens now`;
}

export interface ReplayPublisherOptions extends Pick<
  KafkaBusOptions,
  'brokers' | 'clientId' | 'ssl' | 'sasl' | 'connectTimeoutMs' | 'partitions' | 'replicationFactor'
> {
  readonly topic: string;
}

/** Publishes history on a topic of its own. */
export class ReplayPublisher implements ReplayTarget {
  private readonly partitioner = new KeyPartitioner();
  private readonly options: ResolvedOptions;
  private readonly topic: string;
  private readonly client: KafkaClient;
  private readonly producer: Producer;

  private constructor({ topic, ...options }: ReplayPublisherOptions) {
    this.topic = topic;
    this.options = withDefaults({ ...options, groupId: 'none' });
    this.client = createKafka(this.options, PATIENT);
    this.producer = this.client.kafka.producer({
      createPartitioner: this.partitioner.create,
      allowAutoTopicCreation: false,
      idempotent: false,
      retry: ONCE,
    });
  }

  /**
   * Makes the topic where it is missing, and connects. Rejects with {@link BusError}, in one line that names the
   * variable.
   */
  static async open(options: ReplayPublisherOptions): Promise<ReplayPublisher> {
    const refusal = refusalOfReplayTopic(options.topic);
    if (refusal !== null) throw new BusError('misconfigured', `topic ${options.topic}: ${refusal}`);
    const publisher = new ReplayPublisher(options);
    try {
      await publisher.ensureTopic();
      await publisher.producer.connect();
      return publisher;
    } catch (error) {
      await publisher.close();
      throw toBusError(error, options.brokers);
    }
  }

  private async ensureTopic(): Promise<void> {
    const { partitions: numPartitions, replicationFactor } = this.options;
    await withAdmin(this.options, async (admin) => {
      if ((await admin.listTopics()).includes(this.topic)) return;
      try {
        await admin.createTopics({
          topics: [{ topic: this.topic, numPartitions, replicationFactor }],
          waitForLeaders: true,
        });
      } catch (error) {
        // Somebody else was faster.
        if (!isKafkaError(error, 'TOPIC_ALREADY_EXISTS')) throw error;
      }
    });
  }

  /** One request after the other, each acknowledged by all replicas, so that a device's events stay in order. */
  async publish(rows: readonly EventRow[]): Promise<void> {
    const outgoing = rows.map((row) => {
      const message = messageOf(row);
      const partition = this.partitioner.place(this.topic, message);
      return { topic: this.topic, partition, message, bytes: recordBytes(message) };
    });
    const limits = { partitionBytes: this.options.maxRequestBytes, totalBytes: MAX_TOTAL_BYTES };
    try {
      for (const request of splitIntoRequests(outgoing, limits)) {
        const topicMessages = bundle(request);
        await sendWhole(() => this.producer.sendBatch({ topicMessages, acks: -1 }), PATIENT);
      }
    } catch (error) {
      throw toBusError(error, this.options.brokers);
    }
  }

  async close(): Promise<void> {
    await settlesWithin(this.producer.disconnect(), CLOSE_MS);
    this.client.cutConnections();
  }
}

/** The record's own time is now, or a topic's retention would delete it at once; the original times are headers. */
function messageOf(row: EventRow): Message {
  return {
    key: row.deviceId,
    value: rowToJson(row),
    headers: {
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: row.eventId,
      ce_type: row.type,
      ce_source: '/device-state-replica/replay',
      ce_subject: row.deviceId,
      ce_time: new Date(row.timestamp).toISOString(),
      'original-timestamp': String(row.timestamp),
      'original-recorded-at': String(row.recordedAt),
      'original-source-timestamp': String(row.sourceTimestamp),
      'original-position': String(row.position),
      'original-version': String(row.version),
      'original-revision': String(row.revision),
    },
  };
}
