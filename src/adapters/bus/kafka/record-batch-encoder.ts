import { crc32c } from '@node-rs/crc32';

/* The header of Kafka's record batch format v2. */

const LENGTH_AT = 8;
const MAGIC_AT = 16;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
export const BATCH_HEADER_BYTES = 61;
const MAGIC = 2;
/** Of a producer that is not idempotent. */
const NO_PRODUCER_ID = -1n;

export interface BatchHeader {
  readonly count: number;
  readonly firstTimestamp: number;
  readonly maxTimestamp: number;
}

/** Writes the header of the batch that stands at `start` and has `size` bytes with it; its records are there already. */
export function writeBatchHeader(buf: Buffer, start: number, size: number, header: BatchHeader): void {
  const end = start + size;
  buf.fill(0, start, start + LENGTH_AT);
  buf.writeInt32BE(size - LENGTH_AT - 4, start + LENGTH_AT);
  buf.writeInt32BE(0, start + 12);
  buf.writeInt8(MAGIC, start + MAGIC_AT);
  buf.writeInt16BE(0, start + ATTRIBUTES_AT);
  buf.writeInt32BE(header.count - 1, start + 23);
  buf.writeBigInt64BE(BigInt(header.firstTimestamp), start + 27);
  buf.writeBigInt64BE(BigInt(header.maxTimestamp), start + 35);
  buf.writeBigInt64BE(NO_PRODUCER_ID, start + 43);
  buf.writeInt16BE(0, start + 51);
  buf.writeInt32BE(0, start + 53);
  buf.writeInt32BE(header.count, start + 57);
  buf.writeUInt32BE(crc32c(buf.subarray(start + ATTRIBUTES_AT, end)), start + CRC_AT);
}
