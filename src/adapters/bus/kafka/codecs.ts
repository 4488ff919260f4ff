import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { unzip as unzipWithCallback } from 'node:zlib';
import kafkajs from 'kafkajs';

/*
 * kafkajs knows gzip only; a batch in another codec makes it throw on every fetch, which would hold a partition up
 * for ever. Producers choose their codec without asking us, so all standard ones are read. Nothing is written in them.
 */

interface Lz4 {
  readonly decompressBound: (data: Uint8Array) => number;
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
const unzip = promisify(unzipWithCallback);

/** The most bytes that a batch may unfold to: a megabyte of zstd can stand for more than any memory holds. */
export const MAX_UNFOLDED_BYTES = 128 * 1024 * 1024;

/** Java's producers wrap snappy in blocks with this header, librdkafka's do not. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const XERIAL_HEADER_BYTES = 16;

const GZIP = 1;
const SNAPPY = 2;
const LZ4 = 3;
const ZSTD = 4;

/** The decompressed records of a batch. Rejects for an unknown codec, for broken data and for too much of it. */
export async function decompress(codec: number, data: Buffer): Promise<Buffer> {
  switch (codec) {
    case GZIP:
      return unzip(data, { maxOutputLength: MAX_UNFOLDED_BYTES });
    case SNAPPY:
      return decompressSnappy(data);
    case LZ4:
      return decompressLz4(data);
    case ZSTD:
      return decompressZstd(data);
    default:
      throw new Error(`Unknown compression codec ${codec}`);
  }
}

export function decompressSnappy(data: Buffer): Buffer {
  const { uncompress } = load('snappyjs') as Snappy;
  if (!data.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC))
    return uncompress(data, MAX_UNFOLDED_BYTES);
  const unfolded = new Chunks();
  for (let at = XERIAL_HEADER_BYTES; at < data.length;) {
    const size = data.readInt32BE(at);
    at += 4;
    unfolded.add(uncompress(data.subarray(at, at + size), MAX_UNFOLDED_BYTES));
    at += size;
  }
  return unfolded.join();
}

export function decompressLz4(data: Buffer): Buffer {
  const { decompressBound, decompress } = load('lz4js') as Lz4;
  const bound = decompressBound(data);
  if (bound > MAX_UNFOLDED_BYTES) throw tooMuch();
  return asBuffer(decompress(data, bound));
}

export function decompressZstd(data: Buffer): Buffer {
  const { Decompress } = load('fzstd') as Zstd;
  const unfolded = new Chunks();
  new Decompress((chunk) => unfolded.add(chunk)).push(data, true);
  return unfolded.join();
}

/** Pieces of what a batch unfolds to. */
class Chunks {
  private readonly chunks: Uint8Array[] = [];
  private bytes = 0;

  add(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    if (this.bytes > MAX_UNFOLDED_BYTES) throw tooMuch();
    this.chunks.push(chunk);
  }

  join(): Buffer {
    return Buffer.concat(this.chunks, this.bytes);
  }
}

function tooMuch(): Error {
  return new Error(`The batch unfolds to more than ${MAX_UNFOLDED_BYTES} bytes`);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** For the answers of old brokers, which kafkajs reads itself. May be called any number of times. */
export function installCodecs(): void {
  const { CompressionTypes, CompressionCodecs } = kafkajs;
  const codecs: Record<number, () => object> = CompressionCodecs;
  for (const type of [CompressionTypes.Snappy, CompressionTypes.LZ4, CompressionTypes.ZSTD]) {
    const codec = {
      compress: async () => {
        throw new Error('Only reading is supported in this codec');
      },
      decompress: (data: Buffer) => decompress(type, data),
    };
    codecs[type] = () => codec;
  }
}
