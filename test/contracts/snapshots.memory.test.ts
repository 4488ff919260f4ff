import {
  MemorySnapshots,
  type SnapshotStorage,
} from '../../src/adapters/snapshots/memory/memory-snapshots.js';
import { type StoredSnapshot } from '../../src/application/ports/snapshots.js';
import { snapshotsContract } from './snapshots.contract.js';

snapshotsContract('memory', () => {
  let storage: SnapshotStorage = new Map();
  return {
    open: async () => new MemorySnapshots((storage = new Map<string, StoredSnapshot[]>())),
    reopen: async () => new MemorySnapshots(storage),
  };
});
