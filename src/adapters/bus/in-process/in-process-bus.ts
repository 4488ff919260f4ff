import { randomUUID } from 'node:crypto';
import { Backoff } from '../../../application/backoff.js';
import {
  BusError,
  COMMAND_CHANNELS,
  type BatchHandler,
  type Bus,
  type CommandBatch,
  type CommandChannel,
  type CommandMessage,
  type OutputChannel,
  type OutputMessage,
  type Reply,
  type ReplyMessage,
} from '../../../application/ports/bus.js';
import { silentLogger, type BusLogger } from '../logger.js';
import { CORRELATION_ID, REPLY_TOPIC } from '../../../application/reply-headers.js';
import { ReplyWaiters } from '../reply-waiters.js';
import { deferred, messageOf, pause, settlesWithin, type Deferred } from '../../../application/timing.js';
import { CommandQueue } from './command-queue.js';

/** Where replies to this process's own requests go. */
const REPLIES = 'in-process';
const REDELIVERY_FIRST_MS = 100;
const REDELIVERY_LAST_MS = 5_000;

export interface InProcessBusOptions {
  /** Positions name topics as Kafka would: `${topicPrefix}.update`. Default `state`. */
  readonly topicPrefix?: string;
  /** The most messages of one batch handed to a handler. Default 500. */
  readonly maxBatchCount?: number;
  /** The most bytes of one batch handed to a handler. Default 512 KiB. */
  readonly maxBatchBytes?: number;
  /** The most commands of one channel that wait; more are refused as `unavailable`. Default 10 000. */
  readonly maxQueueCount?: number;
  /** The most bytes of one channel that wait; more are refused as `unavailable`. Default 32 MiB. */
  readonly maxQueueBytes?: number;
  /** How long request() waits for its reply. Default 10 000. */
  readonly requestTimeoutMs?: number;
  /** How long stop() lets what is queued be worked off. Default 10 000. */
  readonly shutdownMs?: number;
  readonly logger?: BusLogger;
}

/** The bus of a service that runs by itself: commands come from {@link Bus.request} only, and live in memory. */
export function createInProcessBus(options: InProcessBusOptions = {}): Bus {
  return new InProcessBus({
    topicPrefix: options.topicPrefix ?? 'state',
    maxBatchCount: options.maxBatchCount ?? 500,
    maxBatchBytes: options.maxBatchBytes ?? 512 * 1024,
    maxQueueCount: options.maxQueueCount ?? 10_000,
    maxQueueBytes: options.maxQueueBytes ?? 32 * 1024 * 1024,
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
    shutdownMs: options.shutdownMs ?? 10_000,
    logger: options.logger ?? silentLogger,
  });
}

type State = 'new' | 'connected' | 'draining' | 'stopped';
type Listener = (message: OutputMessage) => void;

class InProcessBus implements Bus {
  /** The queues do not outlive the process, so each process begins new logs. */
  private readonly log = `p-${randomUUID()}`;
  private readonly queues: ReadonlyMap<CommandChannel, CommandQueue>;
  private readonly offsets = new Map<CommandChannel, number>();
  private readonly listeners = new Map<OutputChannel, Set<Listener>>();
  private readonly waiters: ReplyWaiters;
  private readonly givingUp = new AbortController();
  private handlers: ReadonlyMap<CommandChannel, BatchHandler> = new Map();
  private state: State = 'new';
  private problem: string | null = null;
  private arrival: Deferred<void> = deferred();
  private loop: Promise<void> = Promise.resolve();
  private stopped: Promise<void> | undefined;

  constructor(private readonly options: Required<InProcessBusOptions>) {
    this.queues = new Map(COMMAND_CHANNELS.map((channel) => [channel, new CommandQueue(channel, options)]));
    this.waiters = new ReplyWaiters(options.requestTimeoutMs);
  }

  async connect(): Promise<void> {
    this.refuseWhenStopped();
    this.state = 'connected';
  }

  async consume(handlers: ReadonlyMap<CommandChannel, BatchHandler>): Promise<void> {
    this.refuseWhenStopped();
    this.handlers = handlers;
    this.loop = this.run();
  }

  async publish(messages: readonly (OutputMessage | ReplyMessage)[]): Promise<void> {
    if (this.state === 'stopped') throw new BusError('closed', 'The bus is stopped');
    for (const message of messages) {
      if (message.channel === 'reply') this.answer(message);
      else for (const listener of this.listeners.get(message.channel) ?? []) this.call(listener, message);
    }
  }

  async request(
    channel: CommandChannel,
    key: string,
    value: Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<Reply> {
    this.refuseWhenStopped();
    const correlationId = randomUUID();
    const offset = this.offsets.get(channel) ?? 0;
    const queued = this.queues.get(channel)?.push({
      channel,
      key: Buffer.from(key),
      value,
      headers: { ...headers, [REPLY_TOPIC]: REPLIES, [CORRELATION_ID]: correlationId },
      position: {
        topic: `${this.options.topicPrefix}.${channel}`,
        partition: 0,
        offset,
        timestamp: Date.now(),
        log: this.log,
      },
    });
    if (queued !== true)
      throw new BusError('unavailable', `Too many commands wait: the ${channel} queue is full`);
    this.offsets.set(channel, offset + 1);
    const reply = this.waiters.wait(correlationId);
    this.arrival.resolve();
    return reply;
  }

  async listen(channel: OutputChannel, listener: Listener): Promise<() => Promise<void>> {
    this.refuseWhenStopped();
    // One object for each call, so that the same function may listen twice.
    const own: Listener = (message) => listener(message);
    const listeners = this.listeners.get(channel) ?? new Set();
    this.listeners.set(channel, listeners.add(own));
    return async () => {
      listeners.delete(own);
    };
  }

  health(): string | null {
    if (this.state === 'new') return 'the bus is not connected';
    if (this.state !== 'connected') return 'the bus is stopped';
    return this.problem;
  }

  stop(): Promise<void> {
    this.stopped ??= this.shutDown();
    return this.stopped;
  }

  /** Works off what is queued, for so long; what is left then was never acknowledged to anybody. */
  private async shutDown(): Promise<void> {
    this.state = 'draining';
    this.arrival.resolve();
    await settlesWithin(this.loop, this.options.shutdownMs);
    this.givingUp.abort();
    this.state = 'stopped';
    this.waiters.rejectAll(
      new BusError('closed', 'The bus is stopped: the command may or may not take effect'),
    );
    this.listeners.clear();
  }

  private async run(): Promise<void> {
    while (!this.givingUp.signal.aborted) {
      let isIdle = true;
      for (const [channel, handler] of this.handlers) {
        const messages = this.queues.get(channel)?.take(this.options) ?? [];
        if (messages.length === 0) continue;
        isIdle = false;
        await this.deliver(channel, messages, handler);
      }
      if (!isIdle) continue;
      if (this.state === 'draining') return;
      await this.arrival.promise;
      this.arrival = deferred();
      // One turn of the event loop, so that commands that arrive together are one batch.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  private async deliver(
    channel: CommandChannel,
    messages: readonly CommandMessage[],
    handler: BatchHandler,
  ): Promise<void> {
    const backoff = new Backoff(REDELIVERY_FIRST_MS, REDELIVERY_LAST_MS);
    const isCurrent = (): boolean => !this.givingUp.signal.aborted;
    const batch: CommandBatch = {
      channel,
      messages,
      isCurrent,
      keepAlive: async () => {
        if (!isCurrent()) throw new BusError('closed', 'The bus is stopped');
      },
      // Nobody else has this queue.
      isConfirmed: () => true,
      confirm: async () => undefined,
    };
    while (isCurrent()) {
      try {
        await handler(batch);
        this.problem = null;
        return;
      } catch (error) {
        const delayMs = backoff.nextDelayMs();
        this.problem = `the ${channel} queue is held up: ${messageOf(error)}`;
        this.options.logger.warn(
          { channel, offset: messages[0]?.position.offset, count: messages.length, delayMs, err: error },
          'Batch failed, will be delivered again',
        );
        await pause(delayMs, this.givingUp.signal);
      }
    }
  }

  private answer({ topic, value, headers }: ReplyMessage): void {
    const correlationId = headers[CORRELATION_ID];
    if (topic === REPLIES && correlationId !== undefined) {
      this.waiters.resolve(correlationId.toString(), value, headers);
    }
  }

  private call(listener: Listener, message: OutputMessage): void {
    try {
      listener(message);
    } catch (error) {
      this.options.logger.error({ err: error, channel: message.channel }, 'A listener failed');
    }
  }

  private refuseWhenStopped(): void {
    if (this.stopped !== undefined) throw new BusError('closed', 'The bus is stopped');
  }
}
