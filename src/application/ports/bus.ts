/**
 * The bus port: commands in, in batches of one partition; outputs out, in one call; request and reply for REST.
 */

/** The three kinds of command; each is a topic of its own. */
export const COMMAND_CHANNELS = ['update', 'delete', 'get'] as const;
export type CommandChannel = (typeof COMMAND_CHANNELS)[number];

/** Where outputs go; `reply` goes to the place that the request named. */
export const OUTPUT_CHANNELS = [
  'update.accepted',
  'update.rejected',
  'update.delta',
  'update.documents',
  'get.accepted',
  'get.rejected',
  'delete.accepted',
  'delete.rejected',
  'dead-letter',
] as const;
export type OutputChannel = (typeof OUTPUT_CHANNELS)[number];

/** Header names are kept as sent. A header that was sent several times holds an array; null: sent without a value. */
export type Headers = Readonly<
  Record<string, Buffer | string | null | readonly (Buffer | string | null)[] | undefined>
>;

/**
 * What makes a command itself, besides its value.
 *
 * `log` names one life of the topic: it changes when the topic is deleted and made anew, and within one life
 * offsets only grow. Where a bus cannot tell (its memory of the topic was lost), it gives a new name; so an equal
 * `log` proves one life, a different one proves nothing.
 */
export interface SourcePosition {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The record's timestamp, milliseconds since the epoch, as its producer or broker set it. */
  readonly timestamp: number;
  readonly log: string;
}

export interface CommandMessage {
  readonly channel: CommandChannel;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Headers;
  readonly position: SourcePosition;
  /** Why the bus could not read it. Such a message has no key. */
  readonly unreadable?: string;
}

/** Consecutive messages of one partition, in order. Bounded in count and bytes by the bus. */
export interface CommandBatch {
  readonly channel: CommandChannel;
  readonly messages: readonly CommandMessage[];
  /** Tells the bus that work goes on. Cheap; call it between the steps of long work. Throws when the batch is lost. */
  keepAlive(): Promise<void>;
  /** False once the partition belongs to another member or the bus stops: give up, and commit nothing. */
  isCurrent(): boolean;
  /**
   * Whether no other member can have been given the partition by now. Only then may be decided on a state that was read
   * before: where another member decides the same commands later, it does so on this state or meets what is recorded
   * of it, and what is decided here is refused by the store where the state has gone on.
   */
  isConfirmed(): boolean;
  /** Asks for it. Rejects where the partition is lost, or nobody answers. */
  confirm(): Promise<void>;
}

/**
 * Resolves once everything the batch caused is durable and acknowledged: only then does the bus commit it. A
 * rejection means that the batch is to be delivered again, after a back-off.
 */
export type BatchHandler = (batch: CommandBatch) => Promise<void>;

export interface OutputMessage {
  readonly channel: OutputChannel;
  /** The deviceId; null only for a dead letter without a key. */
  readonly key: string | Buffer | null;
  /** UTF-8 JSON; null is the tombstone of a compacted topic. */
  readonly value: Buffer | string | null;
  readonly headers: Readonly<Record<string, string | Buffer>>;
}

/** An answer to one asker, beside the outputs. */
export interface ReplyMessage {
  readonly channel: 'reply';
  readonly topic: string;
  /** Null: the topic's partitioner decides by the correlation id. */
  readonly partition: number | null;
  readonly key: string | Buffer | null;
  readonly value: Buffer | string | null;
  readonly headers: Readonly<Record<string, string | Buffer>>;
}

/** The closed list of what can go wrong on a bus. */
export type BusErrorCode =
  /** Not reachable, or no acknowledgement in time. Can be retried; what was sent may come twice. */
  | 'unavailable'
  /** No reply in time: the command may or may not have taken effect. */
  | 'reply-timeout'
  /** The bus stops or was stopped. */
  | 'closed'
  /** A wrong set-up: missing topic rights, too few partitions, bad credentials. Never retried. */
  | 'misconfigured';

export class BusError extends Error {
  constructor(
    readonly code: BusErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'BusError';
  }
  get canRetry(): boolean {
    return this.code === 'unavailable' || this.code === 'reply-timeout';
  }
}

/** An answer as the asker gets it. */
export interface Reply {
  /** False for a rejected command. */
  readonly accepted: boolean;
  /** The accepted or the rejected document, UTF-8 JSON. */
  readonly value: Buffer;
}

export interface Bus {
  /** Connects, makes missing topics, and makes ready to publish. Throws {@link BusError} `unavailable` or `misconfigured`, in one line that names the variable. */
  connect(): Promise<void>;

  /**
   * Starts the intake: batches of all channels that have a handler, perhaps several at a time, those of one partition
   * one after the other, in order. A batch whose handler rejected comes again.
   */
  consume(handlers: ReadonlyMap<CommandChannel, BatchHandler>): Promise<void>;

  /**
   * Publishes all messages and resolves when all are acknowledged. Messages with the same key keep their order
   * within a channel; who needs it across calls awaits each. A message that the bus can never take (too large) is replaced by a dead letter that says so,
   * and does not hold up the others. Rejects with {@link BusError}; then any of them may or may not have been sent.
   */
  publish(messages: readonly (OutputMessage | ReplyMessage)[]): Promise<void>;

  /**
   * Sends a command in as any producer would, and waits for its answer.
   * Rejects with {@link BusError} `unavailable`, `reply-timeout` or `closed`.
   */
  request(
    channel: CommandChannel,
    key: string,
    value: Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<Reply>;

  /**
   * Calls back for every output of this channel that any instance publishes from now on, until the returned
   * function is called. Resolves once listening. For live views: it has no memory and no promise after a crash.
   */
  listen(channel: OutputChannel, listener: (message: OutputMessage) => void): Promise<() => Promise<void>>;

  /** Null when commands are taken and outputs can be sent now; otherwise why not, in one line. */
  health(): string | null;

  /** Stops the intake (finishes and commits the batches in hand, within the shutdown time), then the rest. Idempotent. */
  stop(): Promise<void>;
}
