import { type CommandChannel } from './bus.js';

/** What the use cases tell of their work, for metrics and logs. No call throws or waits. */
export interface Observer {
  /** @param outcome `accepted`, a refusal's code, or `dead-letter` */
  commandsEnded(channel: CommandChannel, outcome: string, count: number): void;
  /** @param count commands of one batch @param milliseconds from its arrival until its outputs were acknowledged */
  batchEnded(channel: CommandChannel, count: number, milliseconds: number): void;
  /** How long one call of the store or the bus took. */
  timed(step: 'append' | 'publish' | 'load', milliseconds: number): void;
  /** Another writer appended to the device's stream first. */
  conflict(deviceId: string): void;
  /** A command came that was recorded or answered before. */
  repeated(deviceId: string): void;
  /** A refused or dead-lettered command, with its place. */
  refused(fields: {
    deviceId: string | null;
    code: number | string;
    reason: string;
    topic: string;
    partition: number;
    offset: number;
  }): void;
  /** Something failed and is tried again. */
  retrying(step: string, error: unknown, delayMs: number): void;
  /** Something failed for good; the command was refused. */
  failed(step: string, error: unknown): void;
}
