import {
  COMMAND_CHANNELS,
  OUTPUT_CHANNELS,
  type CommandChannel,
  type OutputChannel,
} from '../../../application/ports/bus.js';

/** Kafka's names of the channels. */
export class TopicNames {
  readonly replies: string;
  private readonly byTopic: ReadonlyMap<string, CommandChannel>;

  constructor(private readonly prefix: string) {
    this.replies = `${prefix}.replies`;
    this.byTopic = new Map(COMMAND_CHANNELS.map((channel) => [this.command(channel), channel]));
  }

  command(channel: CommandChannel): string {
    return `${this.prefix}.${channel}`;
  }

  output(channel: OutputChannel): string {
    return `${this.prefix}.${channel}`;
  }

  /** The command channel of a topic; undefined for every other topic. */
  channelOf(topic: string): CommandChannel | undefined {
    return this.byTopic.get(topic);
  }

  /** Whether the topic carries this service's own commands or outputs, where a reply has no business. */
  isOwn(topic: string): boolean {
    return this.byTopic.has(topic) || OUTPUT_CHANNELS.some((channel) => this.output(channel) === topic);
  }
}
