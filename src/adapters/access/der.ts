/** One element of DER: its tag, its content, and all of its bytes. */
export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  readonly whole: Buffer;
}

export const SEQUENCE = 0x30;
export const INTEGER = 0x02;

/** The elements that stand one after the other. Throws where it is no DER with lengths of at most four bytes. */
export function* elementsOf(bytes: Buffer): Generator<Element> {
  for (let at = 0; at < bytes.length;) {
    const tag = bytes.readUInt8(at);
    const first = bytes.readUInt8(at + 1);
    const isLong = first >= 0x80;
    const start = at + 2 + (isLong ? first & 0x7f : 0);
    const end = start + (isLong ? bytes.readUIntBE(at + 2, first & 0x7f) : first);
    if (end > bytes.length) throw new RangeError('An element is longer than what it stands in');
    yield { tag, content: bytes.subarray(start, end), whole: bytes.subarray(at, end) };
    at = end;
  }
}
