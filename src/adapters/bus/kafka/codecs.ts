import { createRequire } from 'node:module';
import { unzipSync } from 'node:zlib';

/*
 * kafkajs knows gzip only; a batch in another codec makes it throw on every fetch, which would hold a partition up
 * for ever. Producers choose their codec without asking us, so all standard ones are read. Nothing is written in them.
 */

interface Lz4 {
  readonly decompress: (data: Uint8Array, maxBytes: number) => Uint8Array;
}
interface Snappy {
  readonly uncompress: (data: Buffer, maxBytes: number) => Buffer;
}
interface Zstd {
  readonly Decompress: new (onData: (chunk: Uint8Array) => void) => {
    push(data: Uint8Array, isFinal: boolean): void;
  };
}

const load = createRequire(import.meta.url);

/** Java's producers wrap snappy in blocks with this header, librdkafka's do not. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const XERIAL_HEADER_BYTES = 16;

const LZ4_MAGIC = 0x184d2204;
const LZ4_HEADER_BYTES = 7;
const LZ4_BLOCK_SUMS = 0x10;
const LZ4_CONTENT_SIZE = 0x08;
/** A further byte of a repetition's length is worth 255 bytes at the most. */
const LZ4_MAX_RATIO = 255;
/** Of a block's size: the block is stored as it is. */
const LZ4_UNCOMPRESSED = 0x80000000;
const LZ4_BLOCK_BYTES: readonly (number | undefined)[] = [
  undefined,
  undefined,
  undefined,
  undefined,
  64 * 1024,
  256 * 1024,
  1024 * 1024,
  4 * 1024 * 1024,
];

const GZIP = 1;
const SNAPPY = 2;
const LZ4 = 3;
const ZSTD = 4;

/** Data unfolds to more than it may: a megabyte of zstd can stand for more than any memory holds. */
export class TooMuch extends Error {
  constructor(maxBytes: number) {
    super(`The batch unfolds to more than ${maxBytes} bytes`);
  }
}

/**
 * The decompressed records of a batch. Takes up to seconds for a hundred megabytes.
 *
 * Throws {@link TooMuch}, and other errors for an unknown codec and for broken data.
 *
 * @param maxBytes so much may it be at the most
 */
export function decompress(codec: number, data: Buffer, maxBytes: number): Buffer {
  switch (codec) {
    case GZIP:
      return decompressGzip(data, maxBytes);
    case SNAPPY:
      return decompressSnappy(data, maxBytes);
    case LZ4:
      return decompressLz4(data, maxBytes);
    case ZSTD:
      return decompressZstd(data, maxBytes);
    default:
      throw new Error(`Unknown compression codec ${codec}`);
  }
}

function decompressGzip(data: Buffer, maxBytes: number): Buffer {
  try {
    return unzipSync(data, { maxOutputLength: maxBytes });
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? new TooMuch(maxBytes) : error;
  }
}

function decompressSnappy(data: Buffer, maxBytes: number): Buffer {
  if (!data.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return uncompress(data, maxBytes);
  const unfolded = new Chunks(maxBytes);
  for (let at = XERIAL_HEADER_BYTES; at < data.length;) {
    const size = data.readUInt32BE(at);
    at += 4;
    unfolded.add(uncompress(data.subarray(at, at + size), maxBytes));
    at += size;
  }
  return unfolded.join();
}

function uncompress(data: Buffer, maxBytes: number): Buffer {
  // The length stands before the data, and the library would tell one that is too large from broken data by words alone.
  if (snappyLength(data) > maxBytes) throw new TooMuch(maxBytes);
  return (load('snappyjs') as Snappy).uncompress(data, maxBytes);
}

function snappyLength(data: Buffer): number {
  let length = 0;
  for (let i = 0; i < 5; i++) {
    const byte = data[i] ?? 0;
    length += (byte & 127) * 128 ** i;
    if (byte < 128) break;
  }
  return length;
}

function decompressLz4(data: Buffer, maxBytes: number): Buffer {
  const bound = lz4Bound(data);
  if (bound > maxBytes) throw new TooMuch(maxBytes);
  return asBuffer((load('lz4js') as Lz4).decompress(data, bound));
}

/**
 * The most bytes that a frame can unfold to. Throws where a block ends beyond the data: the library would go on for
 * seconds, and believes the size that the frame claims to have.
 */
function lz4Bound(data: Buffer): number {
  const flags = data.readUInt8(4);
  const hasBlockSums = (flags & LZ4_BLOCK_SUMS) !== 0;
  const blockBytes = LZ4_BLOCK_BYTES[(data.readUInt8(5) >> 4) & 7];
  if (data.readUInt32LE(0) !== LZ4_MAGIC || blockBytes === undefined) throw new Error('No frame of lz4');
  let bound = 0;
  let at = LZ4_HEADER_BYTES + ((flags & LZ4_CONTENT_SIZE) === 0 ? 0 : 8);
  for (;;) {
    const head = data.readUInt32LE(at);
    if (head === 0) return bound;
    const size = head & ~LZ4_UNCOMPRESSED;
    bound += size === head ? Math.min(blockBytes, LZ4_MAX_RATIO * size) : size;
    at += 4 + (hasBlockSums ? 4 : 0) + size;
    if (at > data.length) throw new RangeError('A block of lz4 ends beyond its frame');
  }
}

function decompressZstd(data: Buffer, maxBytes: number): Buffer {
  const { Decompress } = load('fzstd') as Zstd;
  const unfolded = new Chunks(maxBytes);
  new Decompress((chunk) => unfolded.add(chunk)).push(data, true);
  return unfolded.join();
}

/** Pieces of what a batch unfolds to. */
class Chunks {
  private readonly chunks: Uint8Array[] = [];
  private bytes = 0;

  constructor(private readonly maxBytes: number) {}

  add(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    if (this.bytes > this.maxBytes) throw new TooMuch(this.maxBytes);
    this.chunks.push(chunk);
  }

  join(): Buffer {
    return Buffer.concat(this.chunks, this.bytes);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
