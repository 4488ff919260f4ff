import {
  BusError,
  type BatchHandler,
  type Bus,
  type CommandChannel,
  type OutputChannel,
  type OutputMessage,
  type Reply,
  type ReplyMessage,
} from '../../../application/ports/bus.js';
import { pause, settlesWithin } from '../../../application/timing.js';
import { CLOSE_MS, createKafka, RETRY } from './client.js';
import { toBusError } from './errors.js';
import { Intake } from './intake.js';
import { Listeners } from './listeners.js';
import { withDefaults, type KafkaBusOptions, type ResolvedOptions } from './options.js';
import { Publisher } from './publisher.js';
import { watchDoubts, type Doubt } from './record-doubts.js';
import { Requests } from './requests.js';
import { TopicNames } from './topic-names.js';
import { ensureTopics } from './topics.js';

const CONNECT_PAUSE_MS = 250;
/** A name that no server knows is most likely misspelt; it gets less time than a broker that is not up yet. */
const UNKNOWN_HOST_MS = 3_000;

/** The bus over Apache Kafka. */
export function createKafkaBus(options: KafkaBusOptions): Bus {
  return new KafkaBus(withDefaults(options));
}

class KafkaBus implements Bus {
  private readonly names: TopicNames;
  private readonly publisher: Publisher;
  private readonly requests: Requests;
  private readonly listeners: Listeners;
  private readonly intake: Intake;
  private readonly unwatchDoubts: () => void;
  private isConnected = false;
  private stopped: Promise<void> | undefined;

  constructor(private readonly options: ResolvedOptions) {
    this.names = new TopicNames(options.topicPrefix);
    this.publisher = new Publisher(options, this.names);
    this.requests = new Requests(options, this.names, this.publisher);
    this.listeners = new Listeners(options, this.names);
    this.intake = new Intake(options, this.names);
    this.unwatchDoubts = watchDoubts((doubt) => this.tell(doubt));
  }

  async connect(): Promise<void> {
    this.refuseWhenStopped();
    const { connectTimeoutMs, brokers } = this.options;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), connectTimeoutMs);
    const late = new Promise<never>((_, reject) => {
      deadline.signal.addEventListener('abort', () => {
        reject(
          this.lastConnectError ??
            new BusError(
              'unavailable',
              `KAFKA_BROKERS: no answer from ${brokers.join(',')} within ${connectTimeoutMs} ms`,
            ),
        );
      });
    });
    late.catch(() => undefined);
    try {
      await Promise.race([this.connectUntil(deadline.signal), late]);
      this.isConnected = true;
    } finally {
      clearTimeout(timer);
      deadline.abort();
    }
  }

  private lastConnectError: BusError | undefined;

  /** A broker that starts together with this service gets the time to come up; a wrong set-up is told at once. */
  private async connectUntil(deadline: AbortSignal): Promise<void> {
    const start = Date.now();
    for (;;) {
      try {
        await this.prepare(deadline);
        return;
      } catch (error) {
        this.lastConnectError = toBusError(error, this.options.brokers);
        if (!this.lastConnectError.canRetry || deadline.aborted) throw this.lastConnectError;
        const isUnknownHost = this.lastConnectError.message.includes('ENOTFOUND');
        if (isUnknownHost && Date.now() - start > UNKNOWN_HOST_MS) throw this.lastConnectError;
      }
      await pause(CONNECT_PAUSE_MS, deadline);
    }
  }

  private async prepare(deadline: AbortSignal): Promise<void> {
    // kafkajs's own retrying would hide the reason until the time is over.
    const { kafka, cutConnections } = createKafka(this.options, { ...RETRY, retries: 0 });
    const admin = kafka.admin();
    deadline.addEventListener('abort', cutConnections);
    try {
      await admin.connect();
      await ensureTopics(admin, this.names, this.options);
      await this.publisher.connect();
      await this.requests.listen();
    } finally {
      deadline.removeEventListener('abort', cutConnections);
      await settlesWithin(admin.disconnect(), CLOSE_MS);
      cutConnections();
    }
  }

  async consume(handlers: ReadonlyMap<CommandChannel, BatchHandler>): Promise<void> {
    this.refuseWhenStopped();
    if (!this.isConnected)
      throw new BusError('unavailable', 'The bus is not connected: connect() comes first');
    if (handlers.size > 0) this.intake.start(handlers);
  }

  publish(messages: readonly (OutputMessage | ReplyMessage)[]): Promise<void> {
    return this.publisher.publish(messages);
  }

  request(
    channel: CommandChannel,
    key: string,
    value: Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<Reply> {
    return this.requests.request(channel, key, value, headers);
  }

  listen(channel: OutputChannel, listener: (message: OutputMessage) => void): Promise<() => Promise<void>> {
    this.refuseWhenStopped();
    return this.listeners.listen(channel, listener);
  }

  health(): string | null {
    if (this.stopped !== undefined) return 'the bus is stopped';
    if (!this.isConnected) return this.lastConnectError?.message ?? 'not connected to Kafka';
    return this.intake.health() ?? this.publisher.health();
  }

  stop(): Promise<void> {
    this.stopped ??= this.shutDown();
    return this.stopped;
  }

  /** The intake first: its last unit still has outputs to send. */
  private async shutDown(): Promise<void> {
    await this.intake.stop(this.options.shutdownMs);
    await Promise.all([this.requests.stop(), this.listeners.stop()]);
    await this.publisher.stop();
    this.unwatchDoubts();
  }

  private tell({ kind, isConfirmed, ...doubt }: Doubt): void {
    const { logger, metrics } = this.options;
    if (!this.names.isOwn(doubt.topic)) return;
    if (kind === 'records' && !isConfirmed) {
      metrics.damaged?.(doubt.topic, doubt.partition);
      logger.warn(doubt, 'Records from Kafka are damaged: asked for again');
    } else if (kind === 'gap' && isConfirmed) {
      logger.warn(doubt, 'Records are missing in the log: going on after them');
    } else {
      logger.debug(doubt, 'Records from Kafka are not as expected');
    }
  }

  private refuseWhenStopped(): void {
    if (this.stopped !== undefined) throw new BusError('closed', 'The bus is stopped');
  }
}
