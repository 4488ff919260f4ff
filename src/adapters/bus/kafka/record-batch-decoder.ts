import { decompress } from './codecs.js';
import { ByteReader } from './byte-reader.js';

/** A header that was sent several times holds an array; null: sent without a value. */
export type RecordHeaders = Record<string, Buffer | null | (Buffer | null)[]>;

/** A record as kafkajs hands it on. */
export interface DecodedRecord {
  readonly magicByte: number;
  readonly attributes: number;
  readonly timestamp: string;
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: RecordHeaders;
  readonly isControlRecord: boolean;
  /** What kafkajs looks at to leave aborted transactions out. */
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean };
}

/** The header of a record that stands for a batch that cannot be read; its value says why. */
export const UNREADABLE_BATCH = 'unreadable-batch';

const BATCH_LENGTH_AT = 8;
const MAGIC_AT = 16;
const ATTRIBUTES_AT = 21;
const LAST_OFFSET_DELTA_AT = 23;
const RECORDS_AT = 61;
const MAGIC = 2;
const CODEC_MASK = 7;
const LOG_APPEND_TIME = 8;
const TRANSACTIONAL = 16;
const CONTROL = 32;

/** Whether the batches are in the format v2, as everything is since Kafka 0.11. */
export function isFormatV2(batches: Buffer): boolean {
  return batches.length <= MAGIC_AT || batches[MAGIC_AT] === MAGIC;
}

/**
 * The records of consecutive batches; the last one may be cut off, since a fetch is bounded in bytes. A batch that
 * cannot be read becomes one record without a key, whose value is the batch's raw bytes: a fetch that throws would be
 * repeated for ever, and hold its partition up.
 */
export async function decodeBatches(batches: Buffer): Promise<DecodedRecord[]> {
  const records: DecodedRecord[] = [];
  for (let at = 0; at + RECORDS_AT <= batches.length;) {
    const end = at + BATCH_LENGTH_AT + 4 + batches.readInt32BE(at + BATCH_LENGTH_AT);
    if (end > batches.length || end < at + RECORDS_AT) break;
    const batch = batches.subarray(at, end);
    const before = records.length;
    try {
      await decodeBatch(batch, records);
    } catch (error) {
      records.length = before;
      records.push(unreadable(batch, error));
    }
    at = end;
  }
  return records;
}

async function decodeBatch(batch: Buffer, into: DecodedRecord[]): Promise<void> {
  const reader = new ByteReader(batch);
  const baseOffset = reader.int64();
  reader.bytes(ATTRIBUTES_AT - BATCH_LENGTH_AT); // length, leader's epoch, magic, checksum
  const attributes = reader.int16();
  reader.int32(); // the last offset's delta
  const baseTime = reader.int64();
  const maxTime = reader.int64();
  const producerId = String(reader.int64());
  reader.bytes(2 + 4); // producer's epoch, sequence
  const count = reader.int32();

  const isControlRecord = (attributes & CONTROL) !== 0;
  const batchContext = { producerId, inTransaction: (attributes & TRANSACTIONAL) !== 0 };
  const codec = attributes & CODEC_MASK;
  const body = codec === 0 ? batch.subarray(RECORDS_AT) : await decompress(codec, batch.subarray(RECORDS_AT));
  const records = new ByteReader(body);
  for (let left = count; left > 0; left--) {
    records.varint(); // the record's length
    records.int8();
    const timeDelta = records.varint();
    const time = (attributes & LOG_APPEND_TIME) !== 0 ? maxTime : baseTime + timeDelta;
    const offset = String(baseOffset + records.varint());
    const key = records.bytes(records.varint());
    const value = records.bytes(records.varint());
    const headers = decodeHeaders(records);
    into.push({
      magicByte: MAGIC,
      attributes: 0,
      timestamp: String(time),
      offset,
      key,
      value,
      headers,
      isControlRecord,
      batchContext,
    });
  }
}

/** One by one: kafkajs copies all headers for each, and a record can have a hundred thousand. */
function decodeHeaders(records: ByteReader): RecordHeaders {
  const headers: RecordHeaders = {};
  for (let left = records.varint(); left > 0; left--) {
    const name = records.text(records.varint());
    const value = records.bytes(records.varint());
    const before = Object.hasOwn(headers, name) ? headers[name] : undefined;
    if (Array.isArray(before)) before.push(value);
    else if (name === '__proto__') continue;
    else headers[name] = before === undefined ? value : [before, value];
  }
  return headers;
}

function unreadable(batch: Buffer, error: unknown): DecodedRecord {
  const reader = new ByteReader(batch);
  const lastOffset = reader.int64() + batch.readInt32BE(LAST_OFFSET_DELTA_AT);
  const reason = error instanceof Error ? error.message : String(error);
  return {
    magicByte: MAGIC,
    attributes: 0,
    timestamp: String(Number(batch.readBigInt64BE(LAST_OFFSET_DELTA_AT + 12))),
    offset: String(lastOffset),
    key: null,
    value: batch,
    headers: { [UNREADABLE_BATCH]: Buffer.from(reason) },
    isControlRecord: false,
    batchContext: { producerId: '-1', inTransaction: false },
  };
}
