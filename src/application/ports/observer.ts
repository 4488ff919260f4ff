import { type CommandChannel } from './bus.js';

/** What the use cases tell of their work, for metrics and logs. No call throws or waits. */
export interface Observer {
  /** @param outcome `accepted`, a refusal's code, or `dead-letter` */
  commandsEnded(channel: CommandChannel, outcome: string, count: number): void;
  /** @param count commands of one batch @param milliseconds from its arrival until its outputs were acknowledged */
  batchEnded(channel: CommandChannel, count: number, milliseconds: number): void;
  /** How long one call of the store or the bus took. */
  timed(step: 'append' | 'publish' | 'load', milliseconds: number): void;
  /** A replica was folded: from the latest snapshot that would do, or from the start of its stream. */
  loaded(from: 'snapshot' | 'start'): void;
  snapshotsSaved(count: number): void;
  /** A snapshot, or their store, was of no use. Nothing is lost by it but time. */
  snapshotFailed(step: 'read' | 'save' | 'remove' | 'close', error: unknown): void;
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
