/**
 * The port of snapshots: what devices' events fold to up to some of them, kept beside the event store. All of it can
 * be made anew from the events, so nothing here need be durable, and whoever uses it must do without it.
 */

export interface StoredSnapshot {
  readonly deviceId: string;
  /** The revision of the last event that is in it. */
  readonly revision: number;
  /** That event's id: the snapshot is one of this stream only where the event stands there. */
  readonly eventId: string;
  /** How long it is kept, from 0: see {@link SnapshotStore.save}. */
  readonly level: number;
  readonly text: string;
}

/**
 * How many snapshots of a level are kept of a device. Those of level 0 serve loads, which need the latest. Those of
 * the higher levels serve questions about the past too, so there are enough of them to stand all along its history.
 */
export function keptSnapshots(level: number): number {
  return level === 0 ? 2 : 256;
}

/** Every call may throw, and then has done nothing that anybody needs. */
export interface SnapshotStore {
  /** The device's snapshot of the highest revision up to `atMost`, inclusive; null: there is none. */
  find(deviceId: string, atMost: number): Promise<StoredSnapshot | null>;

  /**
   * Saves all of them together. One that has the device and revision of another takes its place. Of each device and
   * level the {@link keptSnapshots} of the highest revisions are kept, and those of lower ones removed.
   */
  save(snapshots: readonly StoredSnapshot[]): Promise<void>;

  /** Removes the device's snapshots from this revision on, inclusive. */
  remove(deviceId: string, fromRevision: number): Promise<void>;

  /** Later calls throw. Idempotent. */
  close(): Promise<void>;
}
