/** Below this a fresh one costs little. */
const SMALL_BYTES = 64 * 1024;
const UNIT_BYTES = 512 * 1024;
const MAX_KEPT_BYTES = 4 * 1024 * 1024;
const MAX_KEPT = 4;

/**
 * Buffers of requests, used again. A fresh one of a megabyte costs the system as much to clear as it costs to fill, and
 * many of them make the garbage collector look at the whole heap for what they alone weigh.
 */
export class Slabs {
  private readonly free: Buffer[] = [];

  /** A buffer of `bytes` or more, with anything in it. */
  take(bytes: number): Buffer {
    if (bytes < SMALL_BYTES) return Buffer.allocUnsafe(bytes);
    const index = this.free.findIndex((slab) => slab.length >= bytes);
    const [slab] = index < 0 ? [] : this.free.splice(index, 1);
    return slab ?? Buffer.allocUnsafeSlow(Math.ceil(bytes / UNIT_BYTES) * UNIT_BYTES);
  }

  /** Only once nobody reads it any more. */
  giveBack(slab: Buffer): void {
    if (slab.length < UNIT_BYTES || slab.length > MAX_KEPT_BYTES) return;
    // The largest are of most use.
    this.free.push(slab);
    this.free.sort((a, b) => a.length - b.length);
    if (this.free.length > MAX_KEPT) this.free.shift();
  }
}
