import type { KafkaMessage } from 'kafkajs';
import type { OutputChannel, OutputMessage } from '../../../application/ports/bus.js';
import { messageOf } from '../../../application/timing.js';
import { toBusError } from './errors.js';
import type { ResolvedOptions } from './options.js';
import { TailReader } from './tail-reader.js';
import type { TopicNames } from './topic-names.js';

type Listener = (message: OutputMessage) => void;

interface Channel {
  readonly listeners: Set<Listener>;
  readonly reader: TailReader;
  readonly ready: Promise<void>;
}

/** Live listeners: one reader for each channel that has any. */
export class Listeners {
  private readonly channels = new Map<OutputChannel, Channel>();

  constructor(
    private readonly options: ResolvedOptions,
    private readonly names: TopicNames,
  ) {}

  async listen(channel: OutputChannel, listener: Listener): Promise<() => Promise<void>> {
    const entry = this.channels.get(channel) ?? this.open(channel);
    // One object for each call, so that the same function may listen twice.
    const own: Listener = (message) => listener(message);
    entry.listeners.add(own);
    try {
      await entry.ready;
    } catch (error) {
      await this.leave(channel, entry, own);
      throw toBusError(error, this.options.brokers);
    }
    return () => this.leave(channel, entry, own);
  }

  async stop(): Promise<void> {
    const entries = [...this.channels.values()];
    this.channels.clear();
    await Promise.all(entries.map(({ reader }) => reader.stop()));
  }

  private open(channel: OutputChannel): Channel {
    const listeners = new Set<Listener>();
    const reader = new TailReader(this.options, this.names.output(channel), 'all', (message) => {
      const output = toOutput(channel, message);
      for (const listener of listeners) this.call(listener, output);
    });
    const entry = { listeners, reader, ready: reader.start() };
    this.channels.set(channel, entry);
    return entry;
  }

  private call(listener: Listener, output: OutputMessage): void {
    try {
      listener(output);
    } catch (error) {
      this.options.logger.error(
        { err: error, channel: output.channel },
        `A listener failed: ${messageOf(error)}`,
      );
    }
  }

  private async leave(channel: OutputChannel, entry: Channel, listener: Listener): Promise<void> {
    if (!entry.listeners.delete(listener) || entry.listeners.size > 0) return;
    if (this.channels.get(channel) === entry) this.channels.delete(channel);
    await entry.reader.stop();
  }
}

function toOutput(channel: OutputChannel, { key, value, headers = {} }: KafkaMessage): OutputMessage {
  const plain: Record<string, string | Buffer> = {};
  for (const [name, header] of Object.entries(headers)) {
    const one = Array.isArray(header) ? header[header.length - 1] : header;
    if (one !== undefined && one !== null) plain[name] = one;
  }
  return { channel, key, value, headers: plain };
}
