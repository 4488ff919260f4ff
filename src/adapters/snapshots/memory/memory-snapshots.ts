import {
  keptSnapshots,
  type SnapshotStore,
  type StoredSnapshot,
} from '../../../application/ports/snapshots.js';

/** What outlives a {@link MemorySnapshots}: each device's snapshots by revision, the highest first. */
export type SnapshotStorage = Map<string, StoredSnapshot[]>;

/** Snapshots in memory, for tests and simulations. */
export class MemorySnapshots implements SnapshotStore {
  private closed = false;

  constructor(private readonly storage: SnapshotStorage = new Map()) {}

  async find(deviceId: string, atMost: number): Promise<StoredSnapshot | null> {
    this.throwIfClosed();
    return this.of(deviceId).find(({ revision }) => revision <= atMost) ?? null;
  }

  async save(snapshots: readonly StoredSnapshot[]): Promise<void> {
    this.throwIfClosed();
    for (const snapshot of snapshots) {
      const { deviceId, revision, level } = snapshot;
      const others = this.of(deviceId).filter((other) => other.revision !== revision);
      const all = [...others, snapshot].sort((a, b) => b.revision - a.revision);
      const stale = new Set(all.filter((other) => other.level === level).slice(keptSnapshots(level)));
      this.storage.set(
        deviceId,
        all.filter((other) => !stale.has(other)),
      );
    }
  }

  async remove(deviceId: string, fromRevision: number): Promise<void> {
    this.throwIfClosed();
    this.storage.set(
      deviceId,
      this.of(deviceId).filter(({ revision }) => revision < fromRevision),
    );
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  private of(deviceId: string): StoredSnapshot[] {
    return this.storage.get(deviceId) ?? [];
  }

  private throwIfClosed(): void {
    if (this.closed) throw new Error('The snapshots are closed');
  }
}
