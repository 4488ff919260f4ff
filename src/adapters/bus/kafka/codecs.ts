import { createRequire } from 'node:module';
import kafkajs from 'kafkajs';

/*
 * kafkajs knows gzip only; a batch in another codec makes it throw on every fetch, which would hold a partition up
 * for ever. Producers choose their codec without asking us, so all standard ones are read. Nothing is written in them.
 */

interface Lz4 {
  decompress(data: Uint8Array): Uint8Array;
}
interface Snappy {
  readonly uncompress: (data: Buffer) => Buffer;
}
interface Zstd {
  decompress(data: Uint8Array): Uint8Array;
}

const load = createRequire(import.meta.url);

/** Java's producers wrap snappy in blocks with this header, librdkafka's do not. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const XERIAL_HEADER_BYTES = 16;

export function decompressSnappy(data: Buffer): Buffer {
  const { uncompress } = load('snappyjs') as Snappy;
  if (!data.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return Buffer.from(uncompress(data));
  const blocks: Buffer[] = [];
  for (let at = XERIAL_HEADER_BYTES; at < data.length;) {
    const size = data.readInt32BE(at);
    at += 4;
    blocks.push(uncompress(data.subarray(at, at + size)));
    at += size;
  }
  return Buffer.concat(blocks);
}

export function decompressLz4(data: Buffer): Buffer {
  return asBuffer((load('lz4js') as Lz4).decompress(data));
}

export function decompressZstd(data: Buffer): Buffer {
  return asBuffer((load('fzstd') as Zstd).decompress(data));
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** May be called any number of times. */
export function installCodecs(): void {
  const { CompressionTypes, CompressionCodecs } = kafkajs;
  CompressionCodecs[CompressionTypes.Snappy] = readOnly('snappy', decompressSnappy);
  CompressionCodecs[CompressionTypes.LZ4] = readOnly('lz4', decompressLz4);
  CompressionCodecs[CompressionTypes.ZSTD] = readOnly('zstd', decompressZstd);
}

function readOnly(name: string, decompress: (data: Buffer) => Buffer): () => object {
  const codec = {
    compress: async () => {
      throw new Error(`Writing ${name} is not supported`);
    },
    decompress: async (data: Buffer) => decompress(data),
  };
  return () => codec;
}
