import { encoderPrototype, type EncodedRequest, type Encoder } from './kafkajs-internals.js';

/*
 * kafkajs 2.2.4 puts a request together from the inside out: what is encoded is copied into a buffer with the request's
 * header before it, and that into another with its length before it, each filled with zeros first and doubled as it
 * grows. Here an encoder grows to what is needed, without zeros; and a request that was encoded with room before it
 * gets its header and length written there, so that its bytes stay where they are.
 */

/** Bytes to leave before a request for its length, its header and the client's name; with less it is copied. */
export const ROOM_BYTES = 512;

/** A part with room before it: `slab` holds it from `start` to `end`. */
interface Part {
  readonly slab: Buffer;
  readonly start: number;
  readonly end: number;
}

const parts = new WeakMap<object, Part>();
const originalWriteEncoder = encoderPrototype.writeEncoder;

/** Makes kafkajs encode requests this way. May be called any number of times. */
export function installEncoder(): void {
  encoderPrototype.ensureAvailable = ensureAvailable;
  encoderPrototype.writeEncoder = writeEncoder;
}

/** A request whose bytes stand in `slab` from {@link ROOM_BYTES} to `end`. */
export function withRoom(slab: Buffer, end: number): EncodedRequest {
  const buf = slab.subarray(ROOM_BYTES, end);
  const request = { buf, buffer: buf };
  parts.set(request, { slab, start: ROOM_BYTES, end });
  return request;
}

function ensureAvailable(this: Encoder, length: number): void {
  const needed = this.offset + length;
  if (needed <= this.buf.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.buf.length));
  this.buf.copy(larger, 0, 0, this.offset);
  this.buf = larger;
}

function writeEncoder(this: Encoder, value: EncodedRequest): Encoder {
  const part = parts.get(value);
  if (part === undefined || part.start < this.offset) return originalWriteEncoder.call(this, value);
  // Each part is written once; its room is used up by the first that takes it.
  parts.delete(value);
  const start = part.start - this.offset;
  this.buf.copy(part.slab, start, 0, this.offset);
  this.buf = part.slab.subarray(start, part.end);
  this.offset = this.buf.length;
  parts.set(this, { ...part, start });
  return this;
}
