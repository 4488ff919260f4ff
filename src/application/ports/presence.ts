/**
 * How a connection ended: `clean`: by the device's own DISCONNECT · `lost`: it broke, or was silent for too long ·
 * `taken-over`: another one came under the same client id · `stopped`: the service ended · `unknown`: the service
 * crashed, or was away from the read model for so long that it was taken for dead.
 */
export type PresenceEnd = 'clean' | 'lost' | 'taken-over' | 'stopped' | 'unknown';

/** What is known of a device's connection. */
export interface Presence {
  readonly connected: boolean;
  /** Since when it is so, milliseconds since the epoch. */
  readonly since: number;
  /** Null: the device told it on its topic, by a broker of others. */
  readonly clientId: string | null;
  /** Null: it is connected, or that is not known. */
  readonly ended: PresenceEnd | null;
  /** Whether a last will was published when the connection ended. */
  readonly will: boolean;
}

/** Of a device's connections the one that began last counts, whatever comes in which order. */
export interface PresenceChange extends Presence {
  readonly deviceId: string;
  /** When the connection began, milliseconds since the epoch; of what was told on a topic: when it came. */
  readonly openedAt: number;
  /** The connection's own name. Of two that began at once the greater one counts. */
  readonly connection: string;
}

export interface PresenceWritten {
  /** Whose connections these are; those that have a client id end with it. */
  readonly instance: string;
  /** Now, milliseconds since the epoch: this instance lives. */
  readonly at: number;
  /** Whether all connections of this instance that are there have ended before, at a time that is not known. */
  readonly isAfresh: boolean;
  /** No two of one device. */
  readonly changes: readonly PresenceChange[];
  /** The connections of other instances that have written nothing for so long have ended, too. */
  readonly silentMs: number;
  /** Given: what is not connected since before then, and has no replica, is forgotten. */
  readonly forgetBefore?: number;
}

/** Where presence is kept: beside the rows that are folded from events, and not among them. */
export interface PresenceStore {
  /**
   * All of it or nothing; what is written again changes nothing. Rejects with `ReadModelError`.
   *
   * @returns false: this instance was not known, or taken for dead. All its connections must be written again.
   */
  writePresence(written: PresenceWritten): Promise<boolean>;
}
