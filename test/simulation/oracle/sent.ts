import { type CommandChannel } from '../../../src/application/ports/bus.js';
import { type Json, type Request } from '../../unit/support/oracle.js';

/** A command as its sender knows it, before anybody has looked at it. */
export interface Command {
  readonly channel: CommandChannel;
  /** The record's key. Null: none; it may be an illegal one. */
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
  /** What must come of it whatever the device's state: a dead letter, a refusal's code; null: that depends on the state. */
  readonly verdict: 'dead-letter' | number | null;
  /** What it asks for, where it can be understood; of a delete and a get the state is null. */
  readonly request: Request;
  readonly messageId: string | undefined;
  /** The version that `If-Match` asks for; true: any. */
  readonly condition: number | true | undefined;
}

/** A recorded command, and what it must say, whenever it says it. */
export interface Commit {
  readonly sent: Sent;
  /** How many commands of its device were recorded before. */
  readonly index: number;
  readonly version: number;
  /** Undefined: no such output is due. */
  readonly accepted: Json;
  readonly delta: Json | undefined;
  readonly documents: Json | undefined;
}

/** A record of a command topic, or a request, and what became of it. */
export class Sent {
  /** Where its records stand, in the order of their offsets. A request may be sent twice by its client. */
  readonly offsets: number[] = [];
  commit: Commit | null = null;
  /** The channels on which it has been answered. */
  readonly outputs = new Set<string>();
  /** The process in whose memory it waited is gone: it may never be answered. */
  mayBeLost = false;
  wasRefused = false;
  /** It was accepted with nothing to record, which nobody remembers. */
  wasUnchanged = false;

  constructor(
    /** Its correlation id, which comes back on everything that it causes. */
    readonly id: string,
    readonly command: Command,
    readonly topic: string,
    readonly partition: number,
    /** How many commands of its device were recorded when it was sent. */
    readonly commitsBefore: number,
  ) {}
}
