import { type ReadReplica } from '../../application/read-replica.js';

/** What is outstanding at a device: the document, null where nothing is. `version` null: there is no replica. */
export interface CurrentDelta {
  readonly document: string | null;
  readonly version: number | null;
}

/** Reads what is outstanding for those who missed it, and notices where a delta of the device came by meanwhile. */
export class CurrentDeltas {
  /** By device: reads that are under way, as long as no later delta has come by. */
  private readonly reading = new Map<string, Set<{ isLate: boolean }>>();

  constructor(private readonly reader: Pick<ReadReplica, 'delta'>) {}

  /** To be called for every delta that is told. */
  cameBy(deviceId: string): void {
    for (const read of this.reading.get(deviceId) ?? []) read.isLate = true;
  }

  /** `late`: a delta came by, which is as late or later. Throws `EventStoreError`. */
  async read(deviceId: string): Promise<CurrentDelta | 'late'> {
    const read = { isLate: false };
    const reads = this.reading.get(deviceId) ?? new Set();
    this.reading.set(deviceId, reads.add(read));
    try {
      const delta = await this.reader.delta(deviceId);
      if (read.isLate) return 'late';
      return { document: delta?.document ?? null, version: delta?.version ?? null };
    } finally {
      reads.delete(read);
      if (reads.size === 0) this.reading.delete(deviceId);
    }
  }
}
