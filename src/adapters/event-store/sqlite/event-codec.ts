import { crc32 } from 'node:zlib';
import {
  type DamagedPlace,
  EventStoreError,
  type RecordedEvent,
} from '../../../application/ports/event-store.js';

/** An event's row as text, which costs half of what buffers cost to make and to throw away. */
export type TextRow = readonly [
  position: number,
  streamId: number,
  revision: number,
  /** 32 digits. */
  eventId: string,
  type: string,
  recordedAt: number,
  checksum: number,
  dataBytes: number,
  data: string,
  metadata: string,
];

export const TEXT_COLUMNS =
  'position, stream_id, revision, hex(event_id), type, recorded_at, checksum, length(data), ' +
  'CAST(data AS TEXT), CAST(metadata AS TEXT)';

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
const scratch = Buffer.alloc(NUMBERS_AT + 5 * 8);
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
  placeToScratch(position, streamId, revision, recordedAt, data.length);
  return crc32(metadata, crc32(data, crc32(scratch, crc32(type)))) | 0;
}

function placeToScratch(
  position: number,
  streamId: number,
  revision: number,
  recordedAt: number,
  dataBytes: number,
): void {
  scratchView.setFloat64(NUMBERS_AT, position, true);
  scratchView.setFloat64(NUMBERS_AT + 8, streamId, true);
  scratchView.setFloat64(NUMBERS_AT + 16, revision, true);
  scratchView.setFloat64(NUMBERS_AT + 24, recordedAt, true);
  scratchView.setFloat64(NUMBERS_AT + 32, dataBytes, true);
}

/** {@link uuidToBytes} into the place where {@link checksumOf} wants the id; valid until the next call. */
export function uuidToScratch(text: string): Buffer {
  return uuidToBytes(text, scratchId);
}

const typeChecksums = new Map<string, number>();

/** True where the row is what was appended: as {@link checksumOf}, over the texts' UTF-8. */
export function isIntact(row: TextRow): boolean {
  const [position, streamId, revision, eventId, type, recordedAt, checksum, dataBytes, data, metadata] = row;
  if (eventId.length !== 2 * NUMBERS_AT) return false;
  for (let byte = 0; byte < NUMBERS_AT; byte++) {
    const high = eventId.charCodeAt(2 * byte);
    const low = eventId.charCodeAt(2 * byte + 1);
    scratch[byte] = (capitalNibble(high) << 4) | capitalNibble(low);
  }
  placeToScratch(position, streamId, revision, recordedAt, dataBytes);
  let typeChecksum = typeChecksums.get(type);
  if (typeChecksum === undefined) {
    typeChecksum = crc32(type);
    // There are three, but nothing else bounds them.
    if (typeChecksums.size < 100) typeChecksums.set(type, typeChecksum);
  }
  return (crc32(metadata, crc32(data, crc32(scratch, typeChecksum))) | 0) === checksum;
}

function capitalNibble(code: number): number {
  return code < 58 ? code - 48 : code - 55;
}

/** Throws `corrupt`, naming stream and revision, unless the row is what was appended. */
export function toRecordedEvent(row: EventRow, stream: string | null): RecordedEvent {
  const [position, streamId, revision, eventId, type, recordedAt, checksum, data, metadata] = row;
  const actual = checksumOf(position, streamId, revision, eventId, type, recordedAt, data, metadata);
  if (stream === null || eventId.length !== 16 || actual !== checksum) {
    throw corruptEvent(stream ?? `number ${streamId}`, revision, { stream, position: BigInt(position) });
  }
  const id = bytesToUuid(eventId);
  return { id, type, data, metadata, stream, revision, position: BigInt(position), recordedAt };
}

export function corruptEvent(stream: string, revision: number, damaged?: DamagedPlace): EventStoreError {
  const message = `the event ${revision} of stream '${stream}' is damaged: it is missing or fails its checksum`;
  return new EventStoreError('corrupt', message, damaged === undefined ? {} : { damaged });
}
