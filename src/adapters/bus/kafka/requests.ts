import { randomUUID } from 'node:crypto';
import type { KafkaMessage, Message } from 'kafkajs';
import { BusError, type CommandChannel, type Reply } from '../../../application/ports/bus.js';
import { CORRELATION_ID, REPLY_PARTITION, REPLY_TOPIC } from '../../../application/reply-headers.js';
import { ReplyWaiters } from '../reply-waiters.js';
import { causesOf, toBusError } from './errors.js';
import type { ResolvedOptions } from './options.js';
import type { Publisher } from './publisher.js';
import { TailReader } from './tail-reader.js';
import type { TopicNames } from './topic-names.js';

/** The most commands sent at once; more wait for the next turn. */
const MAX_SEND_COUNT = 200;
const MAX_SEND_BYTES = 800_000;

/** Where no connection came about, nothing was sent; after that it may have been, whatever the error says. */
function outcomeOf(error: unknown, failure: BusError): BusError {
  const wasNotSent =
    failure.code !== 'unavailable' ||
    causesOf(error).some(({ code }) => code !== undefined && NEVER_CONNECTED.includes(code));
  if (wasNotSent) return failure;
  return new BusError('reply-timeout', `The command may or may not have been sent: ${failure.message}`, {
    cause: failure,
  });
}

const NEVER_CONNECTED = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH'];

interface Waiting {
  readonly channel: CommandChannel;
  readonly correlationId: string;
  readonly message: Message;
  readonly bytes: number;
}

/** Request and reply over Kafka: commands go in as anybody's would, answers come back on a topic of their own. */
export class Requests {
  private readonly waiters: ReplyWaiters;
  private readonly waiting: Waiting[] = [];
  private reader: TailReader | undefined;
  private ready: Promise<void> | undefined;
  private isSending = false;
  private isStopped = false;

  constructor(
    private readonly options: ResolvedOptions,
    private readonly names: TopicNames,
    private readonly publisher: Publisher,
  ) {
    this.waiters = new ReplyWaiters(options.requestTimeoutMs);
  }

  /** Begins to listen for replies. */
  listen(): Promise<void> {
    this.ready ??= this.startReader();
    return this.ready;
  }

  async request(
    channel: CommandChannel,
    key: string,
    value: Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<Reply> {
    if (this.isStopped) throw new BusError('closed', 'The bus is stopped');
    await this.listen();
    const correlationId = randomUUID();
    const reply = this.waiters.wait(correlationId);
    const message: Message = {
      key,
      value,
      headers: {
        // A send whose acknowledgement is lost is repeated by kafkajs: the id makes the two one command.
        'message-id': correlationId,
        ...headers,
        [REPLY_TOPIC]: this.names.replies,
        // Replies for this instance keep to one partition, so that it need not read everybody's.
        ...(this.reader?.partition === undefined ? {} : { [REPLY_PARTITION]: String(this.reader.partition) }),
        [CORRELATION_ID]: correlationId,
      },
    };
    this.waiting.push({ channel, correlationId, message, bytes: value.length + key.length });
    void this.sendWaiting();
    return reply;
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.waiters.rejectAll(
      new BusError(
        'reply-timeout',
        'The bus stopped before the answer came: the command may still take effect',
      ),
    );
    await this.ready?.catch(() => undefined);
    await this.reader?.stop();
  }

  private async startReader(): Promise<void> {
    const reader = new TailReader(this.options, this.names.replies, 'one', (message) =>
      this.onReply(message),
    );
    try {
      await reader.start();
      this.reader = reader;
    } catch (error) {
      this.ready = undefined;
      throw toBusError(error, this.options.brokers);
    }
  }

  private onReply({ value, headers = {} }: KafkaMessage): void {
    const correlationId = headers[CORRELATION_ID];
    if (Buffer.isBuffer(correlationId) || typeof correlationId === 'string') {
      this.waiters.resolve(correlationId.toString(), value, headers);
    }
  }

  /** Sends what waits; what comes meanwhile waits together for the next turn, which is far cheaper than one by one. */
  private async sendWaiting(): Promise<void> {
    if (this.isSending) return;
    this.isSending = true;
    // One turn of the event loop, for requests that arrive together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) {
      const batch = this.take();
      try {
        await this.publisher.send(
          batch.map(({ channel, message }) => ({ topic: this.names.command(channel), message })),
        );
      } catch (error) {
        const failure = outcomeOf(error, toBusError(error, this.options.brokers));
        for (const { correlationId } of batch) this.waiters.fail(correlationId, failure);
      }
    }
    this.isSending = false;
  }

  private take(): Waiting[] {
    let count = 0;
    for (let bytes = 0; count < Math.min(this.waiting.length, MAX_SEND_COUNT); count++) {
      bytes += this.waiting[count]?.bytes ?? 0;
      if (count > 0 && bytes > MAX_SEND_BYTES) break;
    }
    return this.waiting.splice(0, count);
  }
}
