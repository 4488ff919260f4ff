import { crc32c } from './crc32c.js';
import {
  encoderPrototype,
  originalRecordBatchEncoder,
  replaceRecordBatchEncoder,
  type Encoder,
  type EncodedBatch,
  type RecordBatchParts,
} from './kafkajs-internals.js';

/*
 * kafkajs 2.2.4 copies a batch's records three times before the batch goes into a request, each time into buffers
 * that it fills with zeros and doubles as they grow. This writes the batch into one buffer of its size (Kafka's
 * record batch format v2), and stops the zeros everywhere else.
 */

const LENGTH_AT = 8;
const MAGIC_AT = 16;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
export const BATCH_HEADER_BYTES = 61;
const MAGIC = 2;

/** Makes kafkajs encode record batches this way. May be called any number of times; before the first send. */
export function installRecordBatchEncoder(): void {
  replaceRecordBatchEncoder(encodeRecordBatch);
  encoderPrototype.ensureAvailable = ensureAvailable;
}

export async function encodeRecordBatch(parts: RecordBatchParts): Promise<EncodedBatch> {
  const { records, firstTimestamp, maxTimestamp, lastOffsetDelta } = parts;
  // The service sends neither; whoever else uses kafkajs in this process may.
  if (parts.compression !== 0 || parts.transactional) return originalRecordBatchEncoder(parts);

  let size = BATCH_HEADER_BYTES;
  for (const record of records) size += record.buffer.length;
  const buf = Buffer.allocUnsafe(size);
  let at = BATCH_HEADER_BYTES;
  for (const { buffer } of records) at += buffer.copy(buf, at);
  writeBatchHeader(buf, 0, size, {
    count: records.length,
    lastOffsetDelta,
    firstTimestamp,
    maxTimestamp,
    producerId: longOf(parts.producerId, -1n),
    producerEpoch: parts.producerEpoch ?? 0,
    firstSequence: parts.firstSequence ?? 0,
  });
  return { buf, buffer: buf, size: () => size };
}

export interface BatchHeader {
  readonly count: number;
  readonly lastOffsetDelta: number;
  readonly firstTimestamp: number;
  readonly maxTimestamp: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly firstSequence: number;
}

/** Writes the header of the batch that stands at `start` and has `size` bytes with it; its records are there already. */
export function writeBatchHeader(buf: Buffer, start: number, size: number, header: BatchHeader): void {
  const end = start + size;
  buf.fill(0, start, start + LENGTH_AT);
  buf.writeInt32BE(size - LENGTH_AT - 4, start + LENGTH_AT);
  buf.writeInt32BE(0, start + 12);
  buf.writeInt8(MAGIC, start + MAGIC_AT);
  buf.writeInt16BE(0, start + ATTRIBUTES_AT);
  buf.writeInt32BE(header.lastOffsetDelta, start + 23);
  buf.writeBigInt64BE(BigInt(header.firstTimestamp), start + 27);
  buf.writeBigInt64BE(BigInt(header.maxTimestamp), start + 35);
  buf.writeBigInt64BE(header.producerId, start + 43);
  buf.writeInt16BE(header.producerEpoch, start + 51);
  buf.writeInt32BE(header.firstSequence, start + 53);
  buf.writeInt32BE(header.count, start + 57);
  buf.writeUInt32BE(crc32c(buf, start + ATTRIBUTES_AT, end), start + CRC_AT);
}

/** kafkajs holds 64-bit numbers in objects of its own. */
function longOf(value: RecordBatchParts['producerId'], absent: bigint): bigint {
  if (value === undefined || value === null) return absent;
  return typeof value === 'object' ? value.value : BigInt(value);
}

function ensureAvailable(this: Encoder, length: number): void {
  const needed = this.offset + length;
  if (needed <= this.buf.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.buf.length));
  this.buf.copy(larger, 0, 0, this.offset);
  this.buf = larger;
}
