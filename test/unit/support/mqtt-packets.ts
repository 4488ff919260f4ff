/** A packet of so many bytes behind its fixed header. */
export function packetOf(type: number, length: number): Buffer {
  const header = [type << 4];
  let left = length;
  do {
    const digit = left % 128;
    left = Math.floor(left / 128);
    header.push(left > 0 ? digit | 0x80 : digit);
  } while (left > 0);
  // What is in it must not be taken for a header.
  return Buffer.concat([Buffer.from(header), Buffer.alloc(length, 0xff)]);
}

/** The bytes in pieces that end at these places, each taken modulo their number; a piece may be empty. */
export function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end));
}
