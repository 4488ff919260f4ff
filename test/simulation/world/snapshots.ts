import {
  MemorySnapshots,
  type SnapshotStorage,
} from '../../../src/adapters/snapshots/memory/memory-snapshots.js';
import { type SnapshotStore, type StoredSnapshot } from '../../../src/application/ports/snapshots.js';
import { type Line } from './line.js';

/** The snapshots on the disk of one machine: they outlive the process, and any call may fail. */
export class SimulatedSnapshots implements SnapshotStore {
  private readonly memory: MemorySnapshots;

  constructor(
    storage: SnapshotStorage,
    private readonly line: Line,
  ) {
    this.memory = new MemorySnapshots(storage);
  }

  find(deviceId: string, atMost: number): Promise<StoredSnapshot | null> {
    return this.line.call('find snapshot', () => this.memory.find(deviceId, atMost));
  }

  save(snapshots: readonly StoredSnapshot[]): Promise<void> {
    return this.line.call('save snapshots', () => this.memory.save(snapshots));
  }

  remove(deviceId: string, fromRevision: number): Promise<void> {
    return this.line.call('remove snapshots', () => this.memory.remove(deviceId, fromRevision));
  }

  close(): Promise<void> {
    return this.memory.close();
  }
}
