import { crc32c } from '@node-rs/crc32';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';

/** Compressed data that stands for much more than it is, in each of Kafka's codecs. */

const load = createRequire(import.meta.url);

export const CODECS = { gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;
export type Codec = keyof typeof CODECS;

const ZSTD_BLOCK_BYTES = 128 * 1024;

export function compressed(codec: Codec, data: Buffer): Buffer {
  switch (codec) {
    case 'gzip':
      return gzipSync(data);
    case 'snappy':
      return (load('snappyjs') as { compress: (data: Buffer) => Buffer }).compress(data);
    case 'lz4':
      return lz4Of(data);
    case 'zstd':
      return zstdOf(data);
  }
}

/** A frame of lz4 that says of its blocks that they do not need each other, as Kafka wants them: so up to 4 MiB. */
function lz4Of(data: Buffer): Buffer {
  const { compress } = load('lz4js') as { compress: (data: Buffer) => Uint8Array<ArrayBuffer> };
  const { hash } = load('lz4js/xxh32.js') as {
    hash: (seed: number, data: Buffer, at: number, size: number) => number;
  };
  const frame = Buffer.from(compress(data));
  frame.writeUInt8(0x60, 4);
  frame.writeUInt8((hash(0, frame, 4, 2) >> 8) & 0xff, 6);
  return frame;
}

/** A frame of zstd: its data as it is, but a block of one byte repeated as a repetition. */
function zstdOf(data: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x70])];
  for (let at = 0; at === 0 || at < data.length; at += ZSTD_BLOCK_BYTES) {
    const block = data.subarray(at, at + ZSTD_BLOCK_BYTES);
    const isLast = at + ZSTD_BLOCK_BYTES >= data.length;
    const isRepeated = block.length > 0 && block.every((byte) => byte === block[0]);
    const head = Buffer.alloc(4);
    head.writeUInt32LE(block.length * 8 + (isRepeated ? 2 : 0) + (isLast ? 1 : 0));
    parts.push(head.subarray(0, 3), isRepeated ? block.subarray(0, 1) : block);
  }
  return Buffer.concat(parts);
}

/** One record without a key, a value or headers: the least that there is. */
const LEAST_RECORD = Buffer.from([12, 0, 0, 0, 1, 1, 0]);

export function leastRecords(count: number): Buffer {
  const records = Buffer.alloc(LEAST_RECORD.length * count, LEAST_RECORD);
  // The offset within the batch: of one byte, so that all of them are as long.
  for (let i = 0; i < count; i++) records[i * LEAST_RECORD.length + 3] = (i % 64) * 2;
  return records;
}

/** A record with a value, or with so many headers. */
export function recordOf(parts: { readonly valueBytes?: number; readonly headerCount?: number }): Buffer {
  const { valueBytes = 0, headerCount = 0 } = parts;
  const body = Buffer.concat([
    Buffer.from([0, 0, 0, 1]),
    varint(valueBytes),
    Buffer.alloc(valueBytes),
    varint(headerCount),
    Buffer.alloc(headerCount * 3, Buffer.from([2, 0x68, 1])),
  ]);
  return Buffer.concat([varint(body.length), body]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value * 2;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return Buffer.from([...bytes, left]);
}

/** A batch in the format v2, as a broker hands it on. */
export function batchOf(codec: Codec | null, records: Buffer, count: number, baseOffset = 0): Buffer {
  const body = codec === null ? records : compressed(codec, records);
  const head = Buffer.alloc(61);
  head.writeBigInt64BE(BigInt(baseOffset), 0);
  head.writeInt32BE(61 - 12 + body.length, 8);
  head[16] = 2;
  head.writeInt16BE(codec === null ? 0 : CODECS[codec], 21);
  head.writeInt32BE(count - 1, 23);
  head.writeBigInt64BE(1_700_000_000_000n, 27);
  head.writeBigInt64BE(1_700_000_000_000n, 35);
  head.writeBigInt64BE(-1n, 43);
  head.writeInt32BE(count, 57);
  const batch = Buffer.concat([head, body]);
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
}
