import { LRUCache } from 'lru-cache';
import { countBytes } from '../replica/evolve.js';
import { pack, unpack } from '../replica/packed.js';
import { type Replica } from '../replica/replica.js';

/** What a get is answered with, all but the time. */
export interface Shown {
  /** The device's stream: a text that is looked up again costs half of one that is put together for it. */
  readonly stream: string;
  readonly version: number;
  /** Time of the last event, milliseconds since the epoch. */
  readonly timestamp: number;
  /** The document up to the value of its timestamp: UTF-8, one character for each byte. */
  readonly head: string;
}

/** A cached replica, ready to be used. */
export interface Kept {
  readonly replica: Replica;
  /** Null: nobody asked since the replica was put back. */
  readonly shown: Shown | null;
}

/** What a {@link Kept} takes besides its replica and the document's bytes. */
const SHOWN_BYTES = 200;
/** What a packed replica takes besides its text: its key, and its place among the others. */
const PACKED_BYTES = 200;
/** The part of the room that replicas are not driven out of by packed ones. */
const READY_SHARE = 1 / 4;

/**
 * Replicas in memory, bounded by bytes. Those used last are ready to be used. Where they do not all fit, the ones that
 * were not used for longest are packed, which takes a fifth of the memory and, for a state of 1 KiB, some 15 µs to pack
 * and as long again when it is wanted; of those, the ones packed first are let go.
 */
export class ReplicaCache {
  private readonly ready: LRUCache<string, Kept>;
  private readonly packed: LRUCache<string, string>;

  /** @param maxBytes the most that all may take, by estimate; 0 keeps none */
  constructor(private readonly maxBytes: number) {
    const maxSize = Math.max(1, maxBytes);
    this.ready = new LRUCache({ maxSize });
    this.packed = new LRUCache({ maxSize });
  }

  /** Number of replicas, how many of them are packed, and the estimated bytes of all. */
  get size(): { count: number; packedCount: number; bytes: number } {
    const packedCount = this.packed.size;
    return { count: this.ready.size + packedCount, packedCount, bytes: this.bytes };
  }

  /** The replica, which is no longer in the cache. */
  take(deviceId: string): Replica | undefined {
    const kept = this.ready.get(deviceId);
    if (kept === undefined) return this.takePacked(deviceId);
    this.ready.delete(deviceId);
    return kept.replica;
  }

  /** The replica, which stays in the cache, ready: it must not be changed. */
  get(deviceId: string): Kept | undefined {
    const kept = this.ready.get(deviceId);
    if (kept !== undefined) return kept;
    const replica = this.takePacked(deviceId);
    if (replica === undefined) return undefined;
    const unpacked = { replica, shown: null };
    this.put(unpacked);
    return unpacked;
  }

  /** Keeps it, where it is not larger than the cache. */
  put(kept: Kept): void {
    const { deviceId } = kept.replica;
    this.packed.delete(deviceId);
    const size = bytesOf(kept);
    if (size > this.maxBytes) {
      this.ready.delete(deviceId);
      return;
    }
    this.makeRoom(size);
    this.ready.set(deviceId, kept, { size });
  }

  /** Adds the document, where the replica is not driven out by it. */
  show({ replica }: Kept, shown: Shown): void {
    const withShown = { replica, shown };
    if (bytesOf(withShown) > this.maxBytes) return;
    this.ready.delete(replica.deviceId);
    this.put(withShown);
  }

  private get bytes(): number {
    return this.ready.calculatedSize + this.packed.calculatedSize;
  }

  private takePacked(deviceId: string): Replica | undefined {
    const text = this.packed.get(deviceId);
    if (text === undefined) return undefined;
    this.packed.delete(deviceId);
    return unpack(text, deviceId);
  }

  private makeRoom(bytes: number): void {
    while (this.bytes + bytes > this.maxBytes) {
      const isAnyPacked = this.packed.size > 0;
      if (isAnyPacked && this.ready.calculatedSize <= this.maxBytes * READY_SHARE) {
        this.packed.pop();
        continue;
      }
      const oldest = this.ready.pop();
      if (oldest === undefined) return;
      const text = pack(oldest.replica);
      this.packed.set(oldest.replica.deviceId, text, { size: PACKED_BYTES + text.length });
    }
  }
}

function bytesOf({ replica, shown }: Kept): number {
  return estimateBytes(replica) + (shown === null ? 0 : SHOWN_BYTES + shown.head.length);
}

/**
 * What a replica takes in memory, roughly: V8 needs some twelve times the JSON's bytes for values, metadata and delta
 * of many small members, and the rest is counted one by one.
 */
export function estimateBytes(replica: Replica): number {
  // Counted again when the bound says that it may have grown much; not for every update, which a bound is there to spare.
  if (replica.bytesAtMost > 4 * replica.bytesCounted + 1024) countBytes(replica);
  // The bound takes three bytes for each character, and nearly all of them have one.
  const stateBytes = Math.max(replica.bytesCounted, replica.bytesAtMost / 3);
  return 600 + 12 * Math.ceil(stateBytes) + 200 * replica.sources.size + 120 * (replica.commands?.size ?? 0);
}
