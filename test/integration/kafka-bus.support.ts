import { fetchTopicIds } from '../../src/adapters/bus/kafka/topic-ids.js';
import { randomUUID } from 'node:crypto';
import kafkajs, { type Admin, type Kafka, type Message, type Producer } from 'kafkajs';
import { createKafkaBus } from '../../src/adapters/bus/kafka/kafka-bus.js';
import { type KafkaBusOptions } from '../../src/adapters/bus/kafka/options.js';
import { type Bus, type CommandMessage } from '../../src/application/ports/bus.js';
import { handlersFor, until } from '../contracts/bus.contract.js';

export const PARTITIONS = 2;

/** One topic prefix and group of its own, with everything that a test opens on it. */
export class Bench {
  readonly prefix = `kafka-bus-${randomUUID()}`;
  readonly updates = `${this.prefix}.update`;
  private readonly kafka: Kafka;
  private observer: Promise<Admin> | undefined;
  private readonly closers: (() => Promise<unknown>)[] = [];

  constructor(readonly brokers: string) {
    this.kafka = new kafkajs.Kafka({
      brokers: brokers.split(','),
      logLevel: kafkajs.logLevel.NOTHING,
      retry: { initialRetryTime: 100, retries: 20, maxRetryTime: 1000 },
    });
  }

  bus(options: Partial<KafkaBusOptions> = {}): Bus {
    const bus = createKafkaBus({
      brokers: this.brokers.split(','),
      clientId: 'kafka-bus-test',
      groupId: this.prefix,
      topicPrefix: this.prefix,
      partitions: PARTITIONS,
      ...options,
    });
    this.closers.push(() => bus.stop());
    return bus;
  }

  async connected(options: Partial<KafkaBusOptions> = {}): Promise<Bus> {
    const bus = this.bus(options);
    await bus.connect();
    return bus;
  }

  /** A bus that keeps the updates it gets. */
  async reading(options: Partial<KafkaBusOptions> = {}): Promise<{ bus: Bus; seen: CommandMessage[] }> {
    const bus = await this.connected(options);
    const seen: CommandMessage[] = [];
    await bus.consume(
      handlersFor('update', async ({ messages }) => {
        seen.push(...messages);
      }),
    );
    return { bus, seen };
  }

  async admin(): Promise<Admin> {
    const admin = this.kafka.admin();
    this.closers.push(() => admin.disconnect());
    await admin.connect();
    return admin;
  }

  async producer(options: { transactionalId?: string } = {}): Promise<Producer> {
    const producer = this.kafka.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      ...(options.transactionalId === undefined
        ? {}
        : { ...options, idempotent: true, maxInFlightRequests: 1 }),
    });
    this.closers.push(() => producer.disconnect());
    await producer.connect();
    return producer;
  }

  /** Sends values as updates of one device to partition 0, by a client that knows nothing of the topic's past. */
  async sendUpdates(values: readonly string[], extra: Partial<Message> = {}): Promise<void> {
    const producer = await this.producer();
    await producer.send({
      topic: this.updates,
      messages: values.map((value) => ({ key: 'lamp', value, partition: 0, ...extra })),
    });
  }

  /** Deletes the topic of updates and makes it anew with the given commands. */
  async makeAnew(values: readonly string[]): Promise<void> {
    const admin = await this.admin();
    const before = (await fetchTopicIds(admin, [this.updates])).get(this.updates);
    await admin.deleteTopics({ topics: [this.updates] });
    await this.createWithRetry(admin);
    // A busy broker takes records into the old log for a while yet, and loses them with it.
    await until(async () => {
      const now = await fetchTopicIds(admin, [this.updates]).catch(() => new Map<string, string | null>());
      const id = now.get(this.updates);
      return id !== undefined && id !== before;
    });
    await this.sendUpdates(values);
  }

  /** The broker forgets a deleted topic a moment later; the bus may be quicker to make it. */
  private async createWithRetry(admin: Admin): Promise<void> {
    await until(async () => {
      try {
        await admin.createTopics({
          topics: [{ topic: this.updates, numPartitions: PARTITIONS }],
          waitForLeaders: true,
        });
        const { topics } = await admin.fetchTopicMetadata({ topics: [this.updates] });
        return topics[0]?.partitions.length === PARTITIONS;
      } catch {
        return false;
      }
    });
  }

  /** What the group has committed; nothing while its coordinator is not ready to say. */
  async committed(): Promise<{ partition: number; offset: string; metadata: string | null }[]> {
    this.observer ??= this.admin();
    const admin = await this.observer;
    const offsets = await admin
      .fetchOffsets({ groupId: this.prefix, topics: [this.updates] })
      .catch(() => undefined);
    return offsets?.[0]?.partitions ?? [];
  }

  async close(): Promise<void> {
    await Promise.all(this.closers.splice(0).map((close) => close()));
  }
}

export function valuesOf(messages: readonly CommandMessage[]): string[] {
  return messages.map(({ value }) => String(value));
}

export function range(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}
