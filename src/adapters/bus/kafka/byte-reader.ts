/** Reads Kafka's primitive types from a buffer. Throws a RangeError beyond the end. */
export class ByteReader {
  constructor(
    readonly buffer: Buffer,
    private at = 0,
  ) {}

  get position(): number {
    return this.at;
  }

  /** Goes on to a place that was not passed yet. Throws a RangeError for another one. */
  goTo(at: number): void {
    if (!(at >= this.at && at <= this.buffer.length)) throw new RangeError('Not where it should end');
    this.at = at;
  }

  /** Leaves out so many bytes; none for a negative length. */
  skip(length: number): void {
    if (length > 0) this.goTo(this.at + length);
  }

  int8(): number {
    const value = this.buffer.readInt8(this.at);
    this.at += 1;
    return value;
  }

  int16(): number {
    const value = this.buffer.readInt16BE(this.at);
    this.at += 2;
    return value;
  }

  int32(): number {
    const value = this.buffer.readInt32BE(this.at);
    this.at += 4;
    return value;
  }

  /** Offsets, times and ids; exact up to 2^53. */
  int64(): number {
    const value = this.buffer.readBigInt64BE(this.at);
    this.at += 8;
    return Number(value);
  }

  /** Zigzag, of any length up to 64 bits; exact up to 2^53. */
  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.buffer[this.at++];
      if (byte === undefined || factor > 2 ** 63) throw new RangeError('Not a number of Kafka');
      value += (byte & 127) * factor;
      if (byte < 128) break;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** Null for a negative length. */
  bytes(length: number): Buffer | null {
    if (length < 0) return null;
    const end = this.at + length;
    if (end > this.buffer.length) throw new RangeError('Beyond the end');
    const value = this.buffer.subarray(this.at, end);
    this.at = end;
    return value;
  }

  text(length: number): string {
    return this.bytes(length)?.toString() ?? '';
  }

  array<T>(read: () => T): T[] {
    const values: T[] = [];
    for (let left = this.int32(); left > 0; left--) values.push(read());
    return values;
  }
}
