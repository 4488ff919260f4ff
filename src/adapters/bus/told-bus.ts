import {
  type BatchHandler,
  type Bus,
  type CommandChannel,
  type OutputChannel,
  type OutputMessage,
  type Reply,
  type ReplyMessage,
} from '../../application/ports/bus.js';

/** Is told of messages; neither throws nor waits. */
export type Teller = (messages: readonly (OutputMessage | ReplyMessage)[]) => void;

/**
 * A bus that also tells somebody what this instance publishes, once the bus has it. Since one instance processes a
 * command, its outputs are told by one instance, however many there are.
 */
export class ToldBus implements Bus {
  private teller: Teller | null = null;

  constructor(private readonly bus: Bus) {}

  tellTo(teller: Teller): void {
    this.teller = teller;
  }

  connect(): Promise<void> {
    return this.bus.connect();
  }

  consume(handlers: ReadonlyMap<CommandChannel, BatchHandler>): Promise<void> {
    return this.bus.consume(handlers);
  }

  async publish(messages: readonly (OutputMessage | ReplyMessage)[]): Promise<void> {
    await this.bus.publish(messages);
    this.teller?.(messages);
  }

  request(
    channel: CommandChannel,
    key: string,
    value: Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<Reply> {
    return this.bus.request(channel, key, value, headers);
  }

  listen(channel: OutputChannel, listener: (message: OutputMessage) => void): Promise<() => Promise<void>> {
    return this.bus.listen(channel, listener);
  }

  health(): string | null {
    return this.bus.health();
  }

  stop(): Promise<void> {
    return this.bus.stop();
  }
}
