import { type RecordParts } from './kafkajs-internals.js';

/*
 * kafkajs 2.2.4 encodes each header with a buffer of its own, of 512 bytes, and each number in it with another; with
 * the eight headers of an output that is most of what sending it costs. This writes a record where it belongs in its
 * request (Kafka's record format v2: lengths as zigzag varints, then the bytes).
 */

const ATTRIBUTES_BYTES = 1;
/** Up to this length a string is looked through here: calls out of JavaScript cost more than that. */
const SHORT_LENGTH = 48;

type Bytes = Buffer | string | null | undefined;

/** The bytes of a record after its length. */
export function bodySize(parts: RecordParts, offsetDelta: number, timestampDelta: number): number {
  const deltas = varLongSize(timestampDelta) + varIntSize(offsetDelta);
  return ATTRIBUTES_BYTES + deltas + (parts.partsBytes ?? partsBytes(parts));
}

/** The bytes of a record's key, value and headers, with their lengths. */
export function partsBytes({ key, value, headers, valueBytes }: RecordParts): number {
  let size = sizedBytes(lengthOf(key)) + sizedBytes(valueBytes ?? lengthOf(value));
  let count = 0;
  for (const name in headers) {
    const header = headers[name];
    const nameBytes = sizedBytes(lengthOf(name));
    if (Array.isArray(header)) {
      for (const each of header as readonly Bytes[]) size += nameBytes + sizedBytes(lengthOf(each));
      count += header.length;
    } else {
      size += nameBytes + sizedBytes(lengthOf(header as Bytes));
      count++;
    }
  }
  return size + varIntSize(count);
}

/** @param body what {@link bodySize} says of the record @returns where the record ends */
export function writeRecord(
  buf: Buffer,
  start: number,
  { key, value, headers, valueBytes }: RecordParts,
  offsetDelta: number,
  timestampDelta: number,
  body: number,
): number {
  let at = writeVarInt(buf, start, body);
  buf[at++] = 0;
  at = writeVarLong(buf, at, timestampDelta);
  at = writeVarInt(buf, at, offsetDelta);
  at = writeBytes(buf, at, key);
  at = writeBytes(buf, at, value, valueBytes);
  let count = 0;
  for (const name in headers) {
    const header = headers[name];
    count += Array.isArray(header) ? header.length : 1;
  }
  at = writeVarInt(buf, at, count);
  for (const name in headers) {
    const header = headers[name];
    if (Array.isArray(header)) {
      for (const each of header as readonly Bytes[]) at = writeBytes(buf, writeBytes(buf, at, name), each);
    } else {
      at = writeBytes(buf, writeBytes(buf, at, name), header as Bytes);
    }
  }
  return at;
}

/** In UTF-8; −1 stands for null. */
export function lengthOf(bytes: Bytes): number {
  if (bytes === null || bytes === undefined) return -1;
  return typeof bytes === 'string' ? textBytes(bytes) : bytes.length;
}

/** The bytes of a text in UTF-8. */
function textBytes(text: string): number {
  const { length } = text;
  return length <= SHORT_LENGTH && isAscii(text) ? length : Buffer.byteLength(text);
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

function sizedBytes(length: number): number {
  return length < 0 ? 1 : varIntSize(length) + length;
}

export function varIntSize(value: number): number {
  return unsignedSize(zigZag(value));
}

function zigZag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0;
}

function unsignedSize(value: number): number {
  let size = 1;
  for (let rest = value >>> 7; rest !== 0; rest >>>= 7) size++;
  return size;
}

function writeVarInt(buf: Buffer, start: number, value: number): number {
  return writeUnsigned(buf, start, zigZag(value));
}

function writeUnsigned(buf: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) buf[at++] = (rest & 0x7f) | 0x80;
  buf[at++] = rest;
  return at;
}

/** Deltas within one batch fit 31 bits, but for times that a caller set far apart. */
function varLongSize(value: number): number {
  if (fitsInt(value)) return varIntSize(value);
  let size = 1;
  for (let rest = zigZag64(value) >> 7n; rest !== 0n; rest >>= 7n) size++;
  return size;
}

function writeVarLong(buf: Buffer, start: number, value: number): number {
  if (fitsInt(value)) return writeVarInt(buf, start, value);
  let at = start;
  let rest = zigZag64(value);
  for (; rest > 0x7fn; rest >>= 7n) buf[at++] = Number(rest & 0x7fn) | 0x80;
  buf[at++] = Number(rest);
  return at;
}

function fitsInt(value: number): boolean {
  return (value | 0) === value;
}

function zigZag64(value: number): bigint {
  const big = BigInt(value);
  return BigInt.asUintN(64, (big << 1n) ^ (big >> 63n));
}

/** @param known how many bytes they are, where that was counted already */
function writeBytes(buf: Buffer, start: number, bytes: Bytes, known?: number): number {
  if (typeof bytes === 'string' && bytes.length <= SHORT_LENGTH) {
    const end = writeShort(buf, start, bytes);
    if (end > 0) return end;
  }
  const length = known ?? lengthOf(bytes);
  const at = writeVarInt(buf, start, length);
  if (length < 0 || bytes === null || bytes === undefined) return at;
  // One byte for each character: ASCII, which is copied in two thirds of the time.
  if (typeof bytes === 'string') buf.write(bytes, at, length, length === bytes.length ? 'latin1' : 'utf8');
  else bytes.copy(buf, at);
  return at + length;
}

/** A short text of ASCII characters, whose length takes one byte. Returns 0 for any other one. */
function writeShort(buf: Buffer, start: number, text: string): number {
  buf[start] = zigZag(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return 0;
    buf[start + 1 + i] = code;
  }
  return start + 1 + text.length;
}
