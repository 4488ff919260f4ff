import kafkajs, {
  type Admin,
  type Consumer,
  type ConsumerGroupJoinEvent,
  type EachBatchPayload,
} from 'kafkajs';
import pLimit from 'p-limit';
import type { BatchHandler, CommandChannel } from '../../../application/ports/bus.js';
import { deferred, pause, settlesWithin } from '../../../application/timing.js';
import { splitIntoUnits } from '../work-units.js';
import { coPartitionedAssigner } from './assigner.js';
import { CLOSE_MS, createKafka, RETRY, type KafkaClient } from './client.js';
import { Confirmation, moment } from './confirmation.js';
import { deliver, type DeliveryContext } from './delivery.js';
import { reasonOf } from './errors.js';
import { encodeLog } from './log-lives.js';
import { type Membership, rhythmOf, takePart } from './membership.js';
import type { ResolvedOptions } from './options.js';
import type { Positions } from './positions.js';
import { TopicLives } from './topic-lives.js';
import { toCommand } from './commands.js';
import type { TopicNames } from './topic-names.js';

const METADATA_MAX_AGE_MS = 60_000;
/** While the outputs of one partition's unit are on the way, that of another one is decided. */
const PARTITIONS_AT_ONCE = 2;
/** They come in where another only commits, for which the coordinator takes its time: Kafka 4 gathers commits for 5 ms. */
const PARTITIONS_WAITING = 2;
const WATCH_MS = 5_000;
const CRASH_FOLLOWS_MS = 2_000;
/** After how long without an answer the broker counts as away: a fetch, or amid work a heartbeat, is answered sooner. */
const SILENCE_MS = 10_000;
/** kafkajs's default. Never near the session's: ADR 0029. */
const REBALANCE_MS = 60_000;
/** How much longer than the session's timeout a consumer may show no sign of life. */
const SILENCE_MARGIN_MS = 15_000;

export interface SessionContext {
  readonly options: ResolvedOptions;
  readonly names: TopicNames;
  readonly handlers: ReadonlyMap<CommandChannel, BatchHandler>;
  readonly positions: Positions;
  /** The member of the group that this process was last, if it was. */
  readonly memberId: string | undefined;
}

/** One consumer from its start to its end; a new one is made after each failure. */
export class Session {
  /** Resolves with the reason when the session is over; never rejects. */
  readonly ended: Promise<string>;
  private problem: string | null = 'joining the consumer group';
  /** Whether anything was processed, or the group joined: the session was of use. */
  hasJoined = false;
  /** The member of the group that this is; undefined before it joined. */
  memberId: string | undefined;

  private readonly end: (reason: string) => void;
  private readonly client: KafkaClient;
  private readonly consumer: Consumer;
  private readonly admin: Admin;
  private readonly topics: string[];
  private readonly lives: TopicLives;
  private readonly stopping = new AbortController();
  private generation = 0;
  /** The joins that have begun and not ended. */
  private joins = 0;
  private assignment: Record<string, number[]> = {};
  private placed: Promise<void> = Promise.resolve();
  /** The batches that are being processed. */
  private readonly inHand = new Set<Promise<void>>();
  private readonly atWork = pLimit(PARTITIONS_AT_ONCE);
  /** Why partitions are held up, by partition. */
  private readonly heldUp = new Map<string, string>();
  private readonly over = new AbortController();
  private starting: Promise<void> = Promise.resolve();
  private looking: Promise<void> = Promise.resolve();
  private lastSignMs = Date.now();
  private readonly confirmation: Confirmation;
  private watch: NodeJS.Timeout | undefined;

  constructor(private readonly context: SessionContext) {
    const { options } = context;
    this.confirmation = new Confirmation(options.sessionTimeoutMs);
    this.topics = [...context.handlers.keys()].map((channel) => context.names.command(channel));
    this.lives = new TopicLives(this.topics, context.positions);
    this.client = createKafka(options);
    const { kafka } = this.client;
    const ended = deferred<string>();
    this.ended = ended.promise;
    this.end = (reason) => {
      if (this.isOver) return;
      this.over.abort();
      this.problem = reason;
      ended.resolve(reason);
    };
    this.admin = kafka.admin({ retry: RETRY });
    this.consumer = kafka.consumer({
      groupId: options.groupId,
      partitionAssigners: [
        (config) => {
          this.lives.watch(config.cluster);
          takePart(config.cluster, this.membership());
          return coPartitionedAssigner(config);
        },
      ],
      sessionTimeout: options.sessionTimeoutMs,
      rebalanceTimeout: Math.max(REBALANCE_MS, 2 * options.sessionTimeoutMs),
      ...rhythmOf(options.sessionTimeoutMs),
      metadataMaxAge: METADATA_MAX_AGE_MS,
      allowAutoTopicCreation: false,
      // Whether and when to start again is decided outside, where it can be seen and interrupted.
      retry: { ...RETRY, restartOnFailure: async () => false },
    });
  }

  /** Why commands are not taken now, in one line; null when they are. */
  health(): string | null {
    if (this.isOver) return this.problem;
    const silentMs = Date.now() - this.lastSignMs;
    if (silentMs >= SILENCE_MS) {
      const meanwhile = this.problem === null ? '' : `, while ${this.problem}`;
      return `KAFKA_BROKERS: no answer for ${Math.round(silentMs / 1000)} s${meanwhile}`;
    }
    const [heldUp] = this.heldUp.values();
    return this.problem ?? heldUp ?? null;
  }

  /** Joins the group and begins to consume. Rejects, or ends the session, when it cannot. */
  start(): Promise<void> {
    this.starting = this.join();
    return this.starting;
  }

  private async join(): Promise<void> {
    const { consumer } = this;
    const sign = (): void => {
      this.lastSignMs = Date.now();
    };
    consumer.on(consumer.events.GROUP_JOIN, (event) => this.onJoin(event));
    consumer.on(consumer.events.CRASH, ({ payload }) => this.end(this.why(payload.error)));
    // A crash stops the consumer too, and is told after the stop, with the reason.
    consumer.on(
      consumer.events.STOP,
      () => void pause(CRASH_FOLLOWS_MS, this.over.signal).then(() => this.end('the consumer stopped')),
    );
    consumer.on(consumer.events.FETCH_START, sign);
    consumer.on(consumer.events.FETCH, () => {
      sign();
      this.lives.fetched();
    });
    consumer.on(consumer.events.HEARTBEAT, sign);
    await Promise.all([this.admin.connect(), consumer.connect()]);
    await consumer.subscribe({
      topics: this.topics,
      fromBeginning: true,
    });
    if (this.stopping.signal.aborted) return;
    this.watch = setInterval(() => {
      this.looking = this.lookAround();
    }, WATCH_MS);
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: PARTITIONS_AT_ONCE + PARTITIONS_WAITING,
      eachBatch: (payload) => this.onBatch(payload),
    });
  }

  /** Lets the units in hand finish and be committed, for so long at most, and leaves the group. Never rejects. */
  async close(graceMs: number): Promise<void> {
    clearInterval(this.watch);
    this.stopping.abort();
    await settlesWithin(Promise.all(this.inHand), graceMs);
    this.end('stopped');
    this.generation++;
    this.assign({});
    // A kafkajs client that is disconnected while it is at work connects again to finish it.
    await settlesWithin(Promise.allSettled([this.starting, this.placed, this.looking]), CLOSE_MS);
    await settlesWithin(Promise.allSettled([this.consumer.disconnect(), this.admin.disconnect()]), CLOSE_MS);
    this.client.cutConnections();
  }

  /** @param what what failed; default: the error itself says so */
  private why(error: unknown, what?: string): string {
    const reason = reasonOf(error, this.context.options.brokers);
    return what === undefined || reason.startsWith('KAFKA_') ? reason : `${what}: ${reason}`;
  }

  private get isOver(): boolean {
    return this.over.signal.aborted;
  }

  private get isBusy(): boolean {
    return this.inHand.size > 0;
  }

  /** While the group is joined, kafkajs may have another generation before it says so. */
  private get isJoining(): boolean {
    return this.joins > 0;
  }

  private membership(): Membership {
    return {
      memberId: this.context.memberId,
      began: () => {
        this.joins++;
        this.confirmation.forget();
        if (this.hasJoined && !this.isOver) this.problem = 'the consumer group rebalances';
      },
      ended: () => {
        this.joins--;
      },
      failed: (error, memberId) => {
        this.memberId = memberId ?? this.memberId;
        this.end(this.why(error, 'the consumer group was not joined'));
      },
    };
  }

  private onJoin({ payload }: ConsumerGroupJoinEvent): void {
    this.generation++;
    this.confirmation.forget();
    this.memberId = payload.memberId;
    this.assign(payload.memberAssignment);
    this.lastSignMs = Date.now();
    this.place();
  }

  private assign(assignment: Record<string, number[]>): void {
    for (const [topic, partitions] of Object.entries(this.assignment)) {
      for (const partition of partitions) {
        if (assignment[topic]?.includes(partition)) continue;
        this.context.options.metrics.released?.(topic, partition);
      }
    }
    this.assignment = assignment;
  }

  /** Finds where to start in the assigned partitions. Batches wait for it. */
  private place(): void {
    const generation = this.generation;
    this.placed = this.findPlaces(generation).catch((error: unknown) => {
      if (generation === this.generation) this.end(this.why(error, 'cannot find the committed offsets'));
    });
  }

  private async findPlaces(generation: number): Promise<void> {
    const { options, positions } = this.context;
    if (this.isOver) return;
    const placements = await positions.place(this.admin, options.groupId, this.assignment);
    if (generation !== this.generation || this.isOver) return;
    for (const { topic, partition, offset, log, reason, committed } of placements) {
      if (reason === 'made-anew' || reason === 'expired' || reason === 'truncated') {
        options.logger.warn(
          { topic, partition, committed, offset, log, reason },
          `Log is ${reason}: starting at ${offset}`,
        );
      }
      // Without a committed offset kafkajs starts at the earliest one, as we do.
      if (committed !== offset && !(committed === null && reason === 'first')) {
        this.consumer.seek({ topic, partition, offset: String(offset) });
      }
    }
    this.hasJoined = true;
    if (!this.isJoining) this.problem = null;
    options.logger.info(
      { groupId: options.groupId, assignment: this.assignment },
      'Joined the consumer group',
    );
  }

  private async onBatch(payload: EachBatchPayload): Promise<void> {
    const done = deferred<void>();
    this.inHand.add(done.promise);
    try {
      await this.processBatch(payload);
    } finally {
      this.inHand.delete(done.promise);
      this.lastSignMs = Date.now();
      done.resolve();
    }
  }

  private async processBatch(payload: EachBatchPayload): Promise<void> {
    const { options, names, handlers, positions } = this.context;
    const { batch } = payload;
    const { topic, partition } = batch;
    await this.settled();
    const channel = names.channelOf(topic);
    const handler = channel === undefined ? undefined : handlers.get(channel);
    const position = positions.get(topic, partition);
    const first = batch.messages[0];
    if (channel === undefined || handler === undefined || position === undefined || first === undefined)
      return;
    if (this.isOver || this.stopping.signal.aborted || payload.isStale()) return;
    if (!(this.assignment[topic] ?? []).includes(partition)) return;
    if (!(await this.areLivesCurrent())) return;

    if (Number(first.offset) < position.next) {
      // The log went backwards: kafkajs found our offset out of range and began anew, or this is an old fetch.
      this.place();
      await this.settled();
      const next = positions.get(topic, partition)?.next ?? position.next;
      if (!this.isOver) this.consumer.seek({ topic, partition, offset: String(next) });
      return;
    }

    const { generation } = this;
    const place = `${topic}[${partition}]`;
    const isHeld = (): boolean => generation === this.generation && !this.isOver;
    let offset = Number(first.offset);
    const commit = async (next: number): Promise<void> => {
      // It would count, under the new generation, for whoever has the partition now.
      if (this.isJoining) throw rebalancing();
      const sent = moment();
      const committed = { partition, offset: String(next), metadata: encodeLog(position.log) };
      await payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions: [committed] }] });
      if (generation === this.generation && !this.isJoining) this.confirmation.taken(sent);
    };
    const context: DeliveryContext = {
      options,
      heartbeat: () => payload.heartbeat(),
      isHeld,
      isConfirmed: () => this.confirmation.holds,
      confirm: () => this.confirmation.ask(() => commit(offset)),
      stopping: this.stopping.signal,
      report: (problem) => {
        if (problem === null) this.heldUp.delete(place);
        else this.heldUp.set(place, problem);
      },
    };
    const messages = batch.messages.map((message) =>
      toCommand(message, channel, { topic, partition, log: position.log }),
    );
    for (const { unreadable: reason, position: at } of messages) {
      if (reason === undefined) continue;
      options.logger.error({ topic, partition, offset: at.offset, reason }, 'Cannot be read: a dead letter');
    }
    try {
      for (const unit of splitIntoUnits(messages, options)) {
        if (!isHeld() || this.stopping.signal.aborted) return;
        offset = unit[0].position.offset;
        const isDone = await this.atWork(async () => {
          // Other partitions may have been at work for long; and many short units send no sign of life by themselves, and
          // would not hear that the group rebalances.
          await payload.heartbeat();
          if (this.stopping.signal.aborted || payload.isStale() || !isHeld()) return false;
          return (await this.areLivesCurrent()) && (await deliver(handler, unit, context));
        });
        if (!isDone) return;
        const last = unit[unit.length - 1] ?? unit[0];
        const next = last.position.offset + 1;
        await commit(next);
        // Not on the position that was found at first: another partition may have had all of them placed anew.
        positions.advance(topic, partition, { log: position.log, next });
        payload.resolveOffset(String(last.position.offset));
        const waiting = Math.max(0, Number(batch.highWatermark) - next);
        if (isHeld()) options.metrics.lag?.(topic, partition, waiting);
      }
    } finally {
      this.heldUp.delete(place);
    }
  }

  /** Waits until it is known where to start; a rebalance meanwhile begins that again. */
  private async settled(): Promise<void> {
    for (let waited: Promise<void> | undefined; waited !== this.placed;) {
      waited = this.placed;
      await waited;
    }
  }

  /** False, and the session is over, when a topic was deleted, or made anew. */
  private async areLivesCurrent(): Promise<boolean> {
    const { generation } = this;
    try {
      const isCurrent = await this.lives.areCurrent();
      if (!isCurrent) this.end('a command topic was made anew');
      return isCurrent && generation === this.generation;
    } catch (error) {
      this.end(this.why(error, 'a command topic is missing, or cannot be looked at'));
      return false;
    }
  }

  /** kafkajs can fall silent without an event (#659), and does not notice every topic that was made anew. */
  private async lookAround(): Promise<void> {
    const silentMs = Date.now() - this.lastSignMs;
    if (!this.isBusy && silentMs > this.context.options.sessionTimeoutMs + SILENCE_MARGIN_MS) {
      this.end(`the consumer shows no sign of life for ${Math.round(silentMs / 1000)} s`);
      return;
    }
    if (this.problem === null && !this.isBusy) await this.areLivesCurrent();
  }
}

/** Has kafkajs join the group again, as an answer of the coordinator would. */
function rebalancing(): Error {
  return Object.assign(new kafkajs.KafkaJSError('The consumer group is joined again', { retriable: false }), {
    type: 'REBALANCE_IN_PROGRESS',
  });
}
