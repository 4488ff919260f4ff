import { crc32c } from '@node-rs/crc32';
import { Pacer } from '../../../application/pacing.js';
import { ByteReader } from './byte-reader.js';
import { TooMuch } from './codecs.js';
import { type DecodedRecord, FetchedRecord, MAGIC, type RecordHeaders } from './fetched-record.js';
import type { Doubt } from './record-doubts.js';
import { MAX_UNFOLDED_BYTES, unfolding } from './unfolding.js';

/** The header of a record that stands for a batch that cannot be read; its value says why. */
export const UNREADABLE_BATCH = 'unreadable-batch';
/** The header of a record without a key, in place of one that cannot be taken as it is; its value says why. */
export const UNREADABLE_RECORD = 'unreadable-record';

/** So many records are read of one answer. What is left comes with the next one. */
const MAX_RECORD_COUNT = 20_000;
/** A record with more headers is not taken. */
const MAX_HEADER_COUNT = 10_000;
/** A longer name is that of no header that anybody asks for. */
const MAX_HEADER_NAME_BYTES = 256;

/**
 * How much may be held of one answer to a fetch: a few kilobytes can stand for gigabytes of records, and a hundred such
 * batches come in one answer.
 */
export class FetchBudget {
  readonly pacer = new Pacer();
  private usedBytes = 0;
  private leftRecords = MAX_RECORD_COUNT;

  /** Nothing was unfolded yet: what is too much now will always be. */
  get isWhole(): boolean {
    return this.usedBytes === 0;
  }

  get leftBytes(): number {
    return MAX_UNFOLDED_BYTES - this.usedBytes;
  }

  get isSpent(): boolean {
    return this.leftRecords <= 0 || this.leftBytes <= 0;
  }

  unfolded(bytes: number): void {
    this.usedBytes += bytes;
  }

  takeRecord(): boolean {
    return this.leftRecords-- > 0;
  }
}

const BATCH_LENGTH_AT = 8;
const MAGIC_AT = 16;
const CHECKSUM_AT = 17;
const ATTRIBUTES_AT = 21;
const LAST_OFFSET_DELTA_AT = 23;
const COUNT_AT = 57;
const RECORDS_AT = 61;
const CODEC_MASK = 7;
const LOG_APPEND_TIME = 8;
const TRANSACTIONAL = 16;
const CONTROL = 32;

/** Whether the batches are in the format v2, as everything is since Kafka 0.11. */
export function isFormatV2(batches: Buffer): boolean {
  return batches.length <= MAGIC_AT || batches[MAGIC_AT] === MAGIC;
}

/** What is wrong with a batch; `signature` is the same for the same bytes alone. */
export interface BatchDoubt extends Pick<Doubt, 'kind' | 'offset' | 'reason'> {
  readonly signature: string;
}

/** True: the batch is to be taken as it is; false: it is left out, with all that follows, and asked for again. */
export type IsAsStored = (doubt: BatchDoubt) => boolean;

/**
 * The records of consecutive batches from an offset on; the last one may be cut off, since a fetch is bounded in bytes.
 * Those that the budget does not suffice for are left out, from the first one on. A batch that cannot be read, and
 * stands so in the log, becomes one record without a key, whose value is the batch's raw bytes: a fetch that throws
 * would be repeated for ever, and hold its partition up.
 *
 * @param isAsStored asked of each batch that cannot be what was sent, or is not the one that is next. Default: they are
 *   taken as they are
 */
export async function decodeBatches(
  batches: Buffer,
  from = 0,
  budget = new FetchBudget(),
  isAsStored: IsAsStored = () => true,
): Promise<DecodedRecord[]> {
  const records: DecodedRecord[] = [];
  let expected = from;
  for (let at = 0; at + RECORDS_AT <= batches.length && !budget.isSpent;) {
    const end = at + BATCH_LENGTH_AT + 4 + batches.readInt32BE(at + BATCH_LENGTH_AT);
    if (end > batches.length || end < at + RECORDS_AT) break;
    const batch = batches.subarray(at, end);
    const offset = offsetOf(batch);
    const isStored = (kind: Doubt['kind'], reason: string): boolean =>
      isAsStored({ kind, offset, reason, signature: `${offset} ${crc32c(batch)}` });
    if (offset !== expected) {
      const kind = offset > expected ? 'gap' : 'overlap';
      if (!isStored(kind, `records from offset ${offset} came, and ${expected} is next`)) break;
    }
    const damage = damageOf(batch);
    if (damage !== null && !isStored('records', damage)) break;
    const before = records.length;
    const lastOffset = Math.max(from, lastOffsetOf(batch, damage === null, batches.subarray(end)));
    try {
      if (damage !== null) throw new Error(damage);
      await decodeBatch(batch, from, budget, records);
    } catch (error) {
      records.length = before;
      // There was not room enough for it now.
      if (error instanceof TooMuch && !budget.isWhole) break;
      records.push(unreadable(batch, lastOffset, error));
    }
    expected = lastOffset + 1;
    at = end;
  }
  return records;
}

function offsetOf(batch: Buffer): number {
  return Number(batch.readBigInt64BE(0));
}

/** Why the bytes of a batch cannot be those that were sent; null: they are. */
function damageOf(batch: Buffer): string | null {
  if (batch[MAGIC_AT] !== MAGIC) return `format ${batch[MAGIC_AT]} amid records of format ${MAGIC}`;
  const isIntact = crc32c(batch.subarray(ATTRIBUTES_AT)) === batch.readUInt32BE(CHECKSUM_AT);
  return isIntact ? null : 'the records fail their checksum';
}

/** Of a batch in which nothing can be relied on, not beyond what is known: nothing is to be left out. */
function lastOffsetOf(batch: Buffer, isIntact: boolean, rest: Buffer): number {
  const offset = offsetOf(batch);
  const delta = batch.readInt32BE(LAST_OFFSET_DELTA_AT);
  if (isIntact) return offset + delta;
  const next = rest.length >= RECORDS_AT ? offsetOf(rest) : offset;
  if (next > offset) return next - 1;
  return offset + Math.max(0, Math.min(delta, batch.readInt32BE(COUNT_AT) - 1));
}

async function decodeBatch(
  bytes: Buffer,
  from: number,
  budget: FetchBudget,
  into: DecodedRecord[],
): Promise<void> {
  const reader = new ByteReader(bytes);
  const baseOffset = reader.int64();
  reader.bytes(ATTRIBUTES_AT - BATCH_LENGTH_AT); // length, leader's epoch, magic, checksum
  const attributes = reader.int16();
  reader.int32(); // the last offset's delta
  const baseTime = reader.int64();
  const maxTime = reader.int64();
  const producerId = String(reader.int64());
  reader.bytes(2 + 4); // producer's epoch, sequence
  const count = reader.int32();

  const batch = {
    isControl: (attributes & CONTROL) !== 0,
    context: { producerId, inTransaction: (attributes & TRANSACTIONAL) !== 0 },
  };
  const records = new ByteReader(await recordsOf(bytes, attributes & CODEC_MASK, budget));
  for (let left = count; left > 0; left--) {
    if (left % 64 === 0 && budget.pacer.isDue) await budget.pacer.pause();
    const length = records.varint();
    const end = records.position + length;
    records.int8();
    const timeDelta = records.varint();
    const time = (attributes & LOG_APPEND_TIME) !== 0 ? maxTime : baseTime + timeDelta;
    const offset = baseOffset + records.varint();
    if (offset >= from) {
      if (!budget.takeRecord()) return;
      const keyLength = records.varint();
      const keyAt = records.position;
      records.skip(keyLength);
      const valueLength = records.varint();
      const valueAt = records.position;
      records.skip(valueLength);
      const headers = decodeHeaders(records);
      into.push(
        new FetchedRecord(
          records.buffer,
          keyAt,
          headers === null ? -1 : keyLength,
          valueAt,
          valueLength,
          headers ?? { [UNREADABLE_RECORD]: TOO_MANY_HEADERS },
          String(offset),
          time,
          batch,
        ),
      );
    }
    records.goTo(end);
  }
}

async function recordsOf(batch: Buffer, codec: number, budget: FetchBudget): Promise<Buffer> {
  const data = batch.subarray(RECORDS_AT);
  if (codec === 0) return data;
  const unfolded = await unfolding.unfold(codec, data, budget.leftBytes);
  budget.unfolded(unfolded.length);
  return unfolded;
}

/** Most records have none. */
const NO_HEADERS: RecordHeaders = Object.freeze({});
const TOO_MANY_HEADERS = Buffer.from(`More than ${MAX_HEADER_COUNT} headers`);

/**
 * One by one: kafkajs copies all headers for each, and a record can have a hundred thousand. Null: so many that they
 * are not read.
 */
function decodeHeaders(records: ByteReader): RecordHeaders | null {
  const count = records.varint();
  if (count === 0) return NO_HEADERS;
  if (count > MAX_HEADER_COUNT) return null;
  const headers: RecordHeaders = {};
  for (let left = count; left > 0; left--) {
    const nameBytes = records.bytes(records.varint());
    const value = records.bytes(records.varint());
    if (nameBytes === null || nameBytes.length > MAX_HEADER_NAME_BYTES) continue;
    const name = nameBytes.toString();
    const before = Object.hasOwn(headers, name) ? headers[name] : undefined;
    if (Array.isArray(before)) before.push(value);
    else if (name === '__proto__') continue;
    else headers[name] = before === undefined ? value : [before, value];
  }
  return headers;
}

function unreadable(batch: Buffer, lastOffset: number, error: unknown): DecodedRecord {
  const reason = error instanceof Error ? error.message : String(error);
  const time = Number(batch.readBigInt64BE(LAST_OFFSET_DELTA_AT + 12));
  return {
    magicByte: MAGIC,
    attributes: 0,
    timestamp: String(time),
    time,
    offset: String(lastOffset),
    key: null,
    value: batch,
    headers: { [UNREADABLE_BATCH]: Buffer.from(reason) },
    isControlRecord: false,
    batchContext: { producerId: '-1', inTransaction: false },
  };
}
