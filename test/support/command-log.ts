import {
  type CommandBatch,
  type CommandChannel,
  type CommandMessage,
  type Headers,
} from '../../src/application/ports/bus.js';

/** Record timestamps begin here; the clocks of the tests run ahead of it. */
export const FIRST_TIMESTAMP = 1_700_000_000_000;

/** One partition of a command topic, as its consumer sees it. */
export class CommandLog {
  readonly messages: CommandMessage[] = [];

  constructor(
    readonly channel: CommandChannel = 'update',
    private readonly log = 'first-life',
    private readonly firstTimestamp = FIRST_TIMESTAMP,
    private readonly partition = 0,
  ) {}

  /** @param value what is not bytes or text is sent as JSON */
  send(
    key: string | Buffer | null,
    value: string | Buffer | object | null,
    headers: Headers = {},
  ): CommandMessage {
    const offset = this.messages.length;
    const message: CommandMessage = {
      channel: this.channel,
      key: typeof key === 'string' ? Buffer.from(key) : key,
      value: bytesOf(value),
      headers,
      position: {
        topic: `state.${this.channel}`,
        partition: this.partition,
        offset,
        timestamp: this.firstTimestamp + offset,
        log: this.log,
      },
    };
    this.messages.push(message);
    return message;
  }

  batch(from = 0, to = this.messages.length, lease: Lease = new Lease()): CommandBatch {
    return batchOf(this.messages.slice(from, to), lease, this.channel);
  }
}

/** Whether a batch still belongs to its consumer. */
export class Lease {
  isLost = false;
  keptAlive = 0;
  /** Whether it is known without asking; as it is for a while after it was lost. */
  isConfirmed = true;
  confirmed = 0;
  /** Called when work goes on. */
  onKeepAlive: () => void = () => undefined;
}

export function batchOf(
  messages: readonly CommandMessage[],
  lease: Lease = new Lease(),
  channel: CommandChannel = messages[0]?.channel ?? 'update',
): CommandBatch {
  return {
    channel,
    messages,
    isCurrent: () => !lease.isLost,
    keepAlive: async () => {
      lease.keptAlive++;
      lease.onKeepAlive();
      if (lease.isLost) throw new Error('the partition was given to another member');
    },
    isConfirmed: () => lease.isConfirmed,
    confirm: async () => {
      lease.confirmed++;
      if (lease.isLost) throw new Error('the partition was given to another member');
      lease.isConfirmed = true;
    },
  };
}

/** The same messages as a bus hands them over that has lost its memory of the topic. */
export function underNewLog(messages: readonly CommandMessage[], log: string): CommandMessage[] {
  return messages.map((message) => ({ ...message, position: { ...message.position, log } }));
}

function bytesOf(value: string | Buffer | object | null): Buffer | null {
  if (value === null || Buffer.isBuffer(value)) return value;
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
}
