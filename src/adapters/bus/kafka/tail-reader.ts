import { randomUUID } from 'node:crypto';
import { Backoff } from '../../../application/backoff.js';
import type { Consumer, KafkaMessage } from 'kafkajs';
import { deferred, messageOf, pause, settlesWithin } from '../../../application/timing.js';
import { CLOSE_MS, createKafka, RETRY, withAdmin } from './client.js';
import { rhythmOf } from './membership.js';
import type { ResolvedOptions } from './options.js';
import { settled } from './settled.js';

const RESTART_FIRST_MS = 100;
const RESTART_LAST_MS = 5_000;
const CRASH_FOLLOWS_MS = 2_000;
/** The groups that are deleted in the end; brokers drop the others by themselves. */
const MAX_KEPT_GROUPS = 10;

/**
 * Reads one topic from its end on, for this instance alone, in a group that nobody else has and that is deleted in
 * the end. Where it begins is pinned before {@link start} resolves, so nothing that is sent afterwards is missed,
 * though joining a new group takes seconds.
 */
export class TailReader {
  private readonly groupIds: string[] = [];
  private readonly next = new Map<number, string>();
  private readonly stopping = new AbortController();
  private loop: Promise<void> = Promise.resolve();

  /** The only one that is read, drawn from those that the topic has; undefined: all. */
  partition: number | undefined;

  /**
   * @param reads one partition of the topic, or all
   */
  constructor(
    private readonly options: ResolvedOptions,
    private readonly topic: string,
    private readonly reads: 'one' | 'all',
    private readonly onMessage: (message: KafkaMessage) => void,
  ) {}

  /** Resolves once the place to begin is pinned; rejects when Kafka cannot be asked. */
  async start(): Promise<void> {
    await withAdmin(this.options, async (admin) => {
      for (const { partition, offset } of await settled(() => admin.fetchTopicOffsets(this.topic)))
        this.next.set(partition, offset);
    });
    const partitions = [...this.next.keys()];
    if (this.reads === 'one') this.partition = partitions[Math.floor(Math.random() * partitions.length)];
    this.loop = this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
    if (this.groupIds.length === 0) return;
    // A group that is left behind does no harm: brokers drop it after their retention time.
    await settlesWithin(
      withAdmin(this.options, (admin) => admin.deleteGroups(this.groupIds)),
      CLOSE_MS,
    );
  }

  private async run(): Promise<void> {
    const backoff = new Backoff(RESTART_FIRST_MS, RESTART_LAST_MS);
    while (!this.stopping.signal.aborted) {
      const { kafka, cutConnections } = createKafka(this.options);
      const consumer = kafka.consumer({
        groupId: this.nextGroupId(),
        sessionTimeout: this.options.sessionTimeoutMs,
        ...rhythmOf(this.options.sessionTimeoutMs),
        allowAutoTopicCreation: false,
        retry: { ...RETRY, restartOnFailure: async () => false },
      });
      const reason = await this.readUntilItEnds(consumer, backoff);
      cutConnections();
      if (this.stopping.signal.aborted) return;
      this.options.logger.warn({ topic: this.topic, reason }, 'Reader of the topic ended, starting another');
      await pause(backoff.nextDelayMs(), this.stopping.signal);
    }
  }

  /** A group of its own for each start: one that could not be left would make the next start wait for its timeout. */
  private nextGroupId(): string {
    const groupId = `${this.options.groupId}.tail-${randomUUID()}`;
    this.groupIds.push(groupId);
    if (this.groupIds.length > MAX_KEPT_GROUPS) this.groupIds.shift();
    return groupId;
  }

  private async readUntilItEnds(consumer: Consumer, backoff: Backoff): Promise<string> {
    const ended = deferred<string>();
    const onStop = (): void => ended.resolve('stopped');
    this.stopping.signal.addEventListener('abort', onStop);
    consumer.on(consumer.events.CRASH, ({ payload }) => ended.resolve(messageOf(payload.error)));
    const over = new AbortController();
    // A crash stops the consumer too, and is told after the stop, with the reason.
    consumer.on(
      consumer.events.STOP,
      () => void pause(CRASH_FOLLOWS_MS, over.signal).then(() => ended.resolve('the consumer stopped')),
    );
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      backoff.reset();
      this.place(consumer, payload.memberAssignment[this.topic] ?? []);
    });
    const started = this.startConsumer(consumer).catch((error: unknown) => ended.resolve(messageOf(error)));
    const reason = await ended.promise;
    over.abort();
    this.stopping.signal.removeEventListener('abort', onStop);
    // A consumer that is disconnected while it joins would begin to read afterwards.
    await settlesWithin(started, CLOSE_MS);
    await settlesWithin(consumer.disconnect(), CLOSE_MS);
    return reason;
  }

  private async startConsumer(consumer: Consumer): Promise<void> {
    await consumer.connect();
    await consumer.subscribe({ topics: [this.topic], fromBeginning: false });
    if (this.stopping.signal.aborted) return;
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) {
          this.next.set(batch.partition, String(Number(message.offset) + 1));
          this.onMessage(message);
        }
      },
    });
  }

  /** Runs before the first fetch of an assignment: kafkajs calls its listeners before it goes on. */
  private place(consumer: Consumer, assigned: readonly number[]): void {
    const others = assigned.filter(
      (partition) => this.partition !== undefined && partition !== this.partition,
    );
    if (others.length > 0) consumer.pause([{ topic: this.topic, partitions: others }]);
    for (const partition of assigned) {
      const offset = this.next.get(partition);
      if (offset !== undefined) consumer.seek({ topic: this.topic, partition, offset });
    }
  }
}
