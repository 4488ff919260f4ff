import { crc32 } from 'node:zlib';
import {
  type DamagedPlace,
  EventStoreError,
  type RecordedEvent,
} from '../../../application/ports/event-store.js';

/** An event's row with but one text, which costs half of what buffers cost to make and to throw away. */
export type TextRow = readonly [
  position: number,
  streamId: number,
  revision: number,
  type: string,
  recordedAt: number,
  checksum: number,
  dataBytes: number,
  metadataBytes: number,
  /** The id's 32 digits, the data and the metadata, one behind the other; null where one of them is lost. */
  text: string | null,
];

export const TEXT_COLUMNS =
  'position, stream_id, revision, type, recorded_at, checksum, length(data), length(metadata), ' +
  'hex(event_id) || data || metadata';

/** The columns of {@link EVENT_COLUMNS}, in their order: arrays cost half of what objects cost to read. */
export type EventRow = readonly [
  position: number,
  streamId: number,
  revision: number,
  eventId: Buffer,
  type: string,
  recordedAt: number,
  checksum: number,
  data: Buffer,
  metadata: Buffer,
];

export const EVENT_COLUMNS =
  'e.position, e.stream_id, e.revision, e.event_id, e.type, e.recorded_at, e.checksum, e.data, e.metadata';

/** Where the two digits of each byte stand in a UUID's text. */
const DIGITS_AT = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;
const NUMBERS_AT = 16;
const DATA_AT = NUMBERS_AT + 5 * 8;
const scratch = Buffer.alloc(DATA_AT);
const scratchId = scratch.subarray(0, NUMBERS_AT);
const scratchView = new DataView(scratch.buffer, scratch.byteOffset, scratch.length);

/** The 16 bytes of a canonical UUID, in `target` (default: a new buffer). The text must have been checked before. */
export function uuidToBytes(text: string, target = Buffer.alloc(16)): Buffer {
  DIGITS_AT.forEach((at, byte) => {
    target[byte] = (nibble(text.charCodeAt(at)) << 4) | nibble(text.charCodeAt(at + 1));
  });
  return target;
}

function nibble(code: number): number {
  return code < 58 ? code - 48 : code - 87;
}

export function bytesToUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * The CRC-32 over everything an event is and where it stands, so that neither changed bytes nor exchanged rows pass.
 * As a signed 32-bit integer, the form better-sqlite3 binds fastest.
 */
export function checksumOf(
  position: number,
  streamId: number,
  revision: number,
  eventId: Buffer,
  type: string,
  recordedAt: number,
  data: Buffer,
  metadata: Buffer,
): number {
  if (eventId !== scratchId) eventId.copy(scratch, 0, 0, NUMBERS_AT);
  numbersTo(scratchView, position, streamId, revision, recordedAt, data.length);
  return crc32(metadata, crc32(data, crc32(scratch, checksumOfType(type)))) | 0;
}

function numbersTo(
  view: DataView,
  position: number,
  streamId: number,
  revision: number,
  recordedAt: number,
  dataBytes: number,
): void {
  view.setFloat64(NUMBERS_AT, position, true);
  view.setFloat64(NUMBERS_AT + 8, streamId, true);
  view.setFloat64(NUMBERS_AT + 16, revision, true);
  view.setFloat64(NUMBERS_AT + 24, recordedAt, true);
  view.setFloat64(NUMBERS_AT + 32, dataBytes, true);
}

/** {@link uuidToBytes} into the place where {@link checksumOf} wants the id; valid until the next call. */
export function uuidToScratch(text: string): Buffer {
  return uuidToBytes(text, scratchId);
}

const typeChecksums = new Map<string, number>();

/** {@link checksumOf} of the type, which it begins with. */
function checksumOfType(type: string): number {
  const known = typeChecksums.get(type);
  if (known !== undefined) return known;
  const checksum = crc32(type);
  // There are three, but nothing else bounds them.
  if (typeChecksums.size < 100) typeChecksums.set(type, checksum);
  return checksum;
}

const ID_DIGITS = 2 * NUMBERS_AT;
/** What {@link checksumOf} goes over, side by side: for one call instead of four. Grown where an event needs more. */
let frame = Buffer.alloc(0);
let frameView = new DataView(frame.buffer);

/** The row's data and metadata; null unless they, and all else of it, are what was appended: as {@link checksumOf}. */
export function readText(row: TextRow): readonly [data: string, metadata: string] | null {
  const [position, streamId, revision, type, recordedAt, checksum, dataBytes, metadataBytes, text] = row;
  if (typeof revision !== 'number' || typeof type !== 'string' || typeof recordedAt !== 'number') return null;
  if (text === null) return null;
  const metadataAt = DATA_AT + dataBytes;
  const end = metadataAt + metadataBytes;
  if (frame.length < end) {
    frame = Buffer.alloc(2 * end);
    frameView = new DataView(frame.buffer);
  }
  // Where there are as many characters as bytes, they are ASCII, or bytes that are no UTF-8, each read as one U+FFFD.
  const isAscii = text.length === ID_DIGITS + dataBytes + metadataBytes;
  const textAt = DATA_AT - ID_DIGITS;
  const written = isAscii ? frame.write(text, textAt, 'latin1') : frame.write(text, textAt);
  if (written !== end - textAt) return null;
  // From the digits behind it, each before it is overwritten.
  for (let byte = 0; byte < NUMBERS_AT; byte++) {
    const at = textAt + 2 * byte;
    frame[byte] = (capitalNibble(frame[at] as number) << 4) | capitalNibble(frame[at + 1] as number);
  }
  numbersTo(frameView, position, streamId, revision, recordedAt, dataBytes);
  if ((crc32(frame.subarray(0, end), checksumOfType(type)) | 0) !== checksum) return null;
  return isAscii
    ? [text.slice(ID_DIGITS, ID_DIGITS + dataBytes), text.slice(ID_DIGITS + dataBytes)]
    : [frame.toString('utf8', DATA_AT, metadataAt), frame.toString('utf8', metadataAt, end)];
}

function capitalNibble(code: number): number {
  return code < 58 ? code - 48 : code - 55;
}

/** A damaged row may have a text, a number or nothing where bytes were written. */
function hasItsTypes([, , revision, eventId, type, recordedAt, , data, metadata]: EventRow): boolean {
  return (
    typeof revision === 'number' &&
    typeof type === 'string' &&
    typeof recordedAt === 'number' &&
    Buffer.isBuffer(eventId) &&
    Buffer.isBuffer(data) &&
    Buffer.isBuffer(metadata)
  );
}

/** Throws `corrupt`, naming stream and revision, unless the row is what was appended. */
export function toRecordedEvent(row: EventRow, stream: string | null): RecordedEvent {
  const [position, streamId, revision, eventId, type, recordedAt, checksum, data, metadata] = row;
  const isIntact =
    hasItsTypes(row) &&
    eventId.length === NUMBERS_AT &&
    checksumOf(position, streamId, revision, eventId, type, recordedAt, data, metadata) === checksum;
  if (stream === null || !isIntact) {
    throw corruptEvent(stream ?? `number ${streamId}`, revision, { stream, position: BigInt(position) });
  }
  const id = bytesToUuid(eventId);
  return { id, type, data, metadata, stream, revision, position: BigInt(position), recordedAt };
}

export function corruptEvent(stream: string, revision: number, damaged?: DamagedPlace): EventStoreError {
  const message = `the event ${revision} of stream '${stream}' is damaged: it is missing or fails its checksum`;
  return new EventStoreError('corrupt', message, damaged === undefined ? {} : { damaged });
}
