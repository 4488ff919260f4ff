/**
 * Just enough of protobuf's wire format for the messages that come by the ten thousand a second; the generated
 * classes of the client are some times slower. All other messages go through those.
 */

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;
const DELETED_FROM = 2 ** 63;
const INITIAL_BYTES = 4_096;

/** Reads the fields of one message in order: `while (reader.next()) switch (reader.field) …`. */
export class FieldReader {
  field = 0;
  #at: number;
  #wireType = VARINT;

  constructor(
    readonly buffer: Buffer,
    start = 0,
    readonly end = buffer.length,
  ) {
    this.#at = start;
  }

  next(): boolean {
    if (this.#at >= this.end) return false;
    const tag = this.varint();
    this.field = tag >>> 3;
    this.#wireType = tag & 7;
    return true;
  }

  /** Exact up to 2^53. */
  varint(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
  }

  bigVarint(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  /** A view of the received message, not a copy. */
  bytes(): Buffer {
    const length = this.varint();
    const start = this.#at;
    this.#move(length);
    return this.buffer.subarray(start, this.#at);
  }

  string(): string {
    const length = this.varint();
    const start = this.#at;
    this.#move(length);
    return this.buffer.toString('utf8', start, this.#at);
  }

  message(): FieldReader {
    const length = this.varint();
    const start = this.#at;
    this.#move(length);
    return new FieldReader(this.buffer, start, this.#at);
  }

  skip(): void {
    switch (this.#wireType) {
      case VARINT:
        while (this.#byte() >= 0x80);
        break;
      case FIXED64:
        this.#move(8);
        break;
      case DELIMITED:
        this.#move(this.varint());
        break;
      case FIXED32:
        this.#move(4);
        break;
      default:
        throw new Error(`A field of the wire type ${this.#wireType} cannot be read.`);
    }
  }

  #byte(): number {
    const byte = this.buffer[this.#at];
    if (byte === undefined || this.#at >= this.end) throw new Error('The message ends within a field.');
    this.#at += 1;
    return byte;
  }

  #move(length: number): void {
    this.#at += length;
    if (this.#at > this.end) throw new Error('The message ends within a field.');
  }
}

/**
 * Writes a message from its end to its start, so that the length of a nested message is known when its head is
 * written: `const end = writer.mark(); …fields, last one first…; writer.close(field, end);`.
 */
export class BackwardsWriter {
  #buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #at = INITIAL_BYTES;

  mark(): number {
    return this.#buffer.length - this.#at;
  }

  close(field: number, mark: number): void {
    this.#head(field, this.mark() - mark);
  }

  bytes(field: number, value: Uint8Array): void {
    this.#reserve(value.length);
    this.#at -= value.length;
    this.#buffer.set(value, this.#at);
    this.#head(field, value.length);
  }

  string(field: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.#reserve(length);
    this.#at -= length;
    this.#buffer.write(value, this.#at, 'utf8');
    this.#head(field, length);
  }

  /** Numbers from 2^63 on stand for 2^63 - 1. */
  varint(field: number, value: number): void {
    this.#raw(value);
    this.#raw(field * 8 + VARINT);
  }

  bigVarint(field: number, value: bigint): void {
    const bytes: number[] = [];
    for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
      bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
      if (rest <= 0x7fn) break;
    }
    this.#put(Uint8Array.from(bytes));
    this.#raw(field * 8 + VARINT);
  }

  /** The message; the writer is empty afterwards. */
  take(): Buffer {
    const message = Buffer.from(this.#buffer.subarray(this.#at));
    this.#at = this.#buffer.length;
    return message;
  }

  #head(field: number, length: number): void {
    this.#raw(length);
    this.#raw(field * 8 + DELIMITED);
  }

  #raw(value: number): void {
    if (value < 0x80) {
      this.#reserve(1);
      this.#at -= 1;
      this.#buffer[this.#at] = value;
      return;
    }
    if (value >= DELETED_FROM) {
      this.#put(MAX_REVISION);
      return;
    }
    let size = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) size += 1;
    this.#reserve(size);
    this.#at -= size;
    let at = this.#at;
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) {
      this.#buffer[at] = (rest % 128) | 0x80;
      at += 1;
    }
    this.#buffer[at] = rest;
  }

  #put(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#at -= bytes.length;
    this.#buffer.set(bytes, this.#at);
  }

  #reserve(size: number): void {
    if (this.#at >= size) return;
    const used = this.mark();
    const larger = Buffer.allocUnsafe(2 * (used + size));
    this.#buffer.copy(larger, larger.length - used, this.#at);
    this.#buffer = larger;
    this.#at = larger.length - used;
  }
}

const MAX_REVISION = Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
