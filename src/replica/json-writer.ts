/**
 * JSON texts put together in bytes. A text that grows piece by piece costs V8 several times as much: when it is made, and
 * again when it is first read, which copies all of its pieces. One text is written at a time: `begin`, what it
 * consists of, and `endText` or `endBytes`.
 */
import { type JsonObject, type JsonValue } from './json.js';
import { type MetaNode } from './replica.js';

const FIRST_BYTES = 64 * 1024;
/** What is kept for the next text; a larger one gets room of its own. */
const MAX_KEPT_BYTES = 1024 * 1024;
/** Up to this length a text is copied here: a call out of JavaScript costs more than that. */
const SHORT_LENGTH = 48;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** What is being written. */
let bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
let view = viewOf(bytes);
let end = 0;
let isAscii = true;

/** One leaf's metadata; most leaves of a text have the same. In words, of which the last may be longer than the text. */
let leafTime = NaN;
let leafBytes = 0;
let leafWords = new Int32Array(0);

/** Begins a text; what was not ended is forgotten. */
export function begin(): void {
  end = 0;
  isAscii = true;
  if (bytes.length > MAX_KEPT_BYTES) takeBuffer(Buffer.allocUnsafeSlow(FIRST_BYTES));
}

/** Adds JSON as it is. */
export function put(text: string): void {
  makeRoom(3 * text.length);
  if (text.length <= SHORT_LENGTH && putShort(text)) return;
  const count = bytes.write(text, end);
  // No other character takes one byte for each of its units.
  if (count !== text.length) isAscii = false;
  end += count;
}

/** Adds the metadata of those paths that `value` has: in the value's own shape, with its time at each leaf. */
export function putMetadata(value: JsonValue, meta: MetaNode): void {
  if (typeof value !== 'object' || value === null) {
    // An object's metadata is an object, or one time for all of it; nothing else's is.
    writeLeaf(meta as number);
  } else if (Array.isArray(value)) {
    writeArray(value, meta);
  } else {
    writeObject(value, meta);
  }
}

/** The text that was written since `begin`. */
export function endText(): string {
  return bytes.toString(isAscii ? 'latin1' : 'utf8', 0, end);
}

/** As {@link endText}, in UTF-8, in a buffer of its own. */
export function endBytes(): Buffer {
  const copy = Buffer.allocUnsafe(end);
  bytes.copy(copy, 0, 0, end);
  return copy;
}

/** @returns false: it has other characters than those of ASCII, and nothing was added */
function putShort(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return false;
    bytes[end + i] = code;
  }
  end += text.length;
  return true;
}

function writeObject(value: JsonObject, meta: MetaNode): void {
  let before = 0x7b;
  for (const key in value) {
    writeKey(before, key);
    putMetadata(value[key] as JsonValue, typeof meta === 'number' ? meta : (meta[key] as MetaNode));
    before = COMMA;
  }
  close(before, 0x7b, 0x7d);
}

function writeArray(value: readonly JsonValue[], meta: MetaNode): void {
  let before = 0x5b;
  for (const element of value) {
    makeRoom(1);
    bytes[end++] = before;
    putMetadata(element, meta);
    before = COMMA;
  }
  close(before, 0x5b, 0x5d);
}

/** @param before what was written last: where that is not a comma, nothing is open yet */
function close(before: number, opening: number, closing: number): void {
  makeRoom(2);
  if (before === opening) bytes[end++] = opening;
  bytes[end++] = closing;
}

/** The key as `JSON.stringify` gives it, with `before` before it and the colon after it. */
function writeKey(before: number, key: string): void {
  makeRoom(key.length + 4);
  const start = end;
  bytes[end++] = before;
  bytes[end++] = QUOTE;
  for (let i = 0; i < key.length; i++) {
    const code = key.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) {
      end = start + 1;
      put(`${JSON.stringify(key)}:`);
      return;
    }
    bytes[end++] = code;
  }
  bytes[end++] = QUOTE;
  bytes[end++] = COLON;
}

function writeLeaf(time: number): void {
  if (time !== leafTime) {
    const text = `{"timestamp":${time}}`;
    leafTime = time;
    leafBytes = text.length;
    const words = Buffer.from(text.padEnd(4 * Math.ceil(text.length / 4)));
    leafWords = Int32Array.from({ length: words.length / 4 }, (_, i) => words.readInt32LE(4 * i));
  }
  makeRoom(4 * leafWords.length);
  for (let i = 0; i < leafWords.length; i++) view.setInt32(end + 4 * i, leafWords[i] as number, true);
  end += leafBytes;
}

function makeRoom(count: number): void {
  if (end + count <= bytes.length) return;
  const larger = Buffer.allocUnsafeSlow(2 * (end + count));
  bytes.copy(larger, 0, 0, end);
  takeBuffer(larger);
}

function takeBuffer(buffer: Buffer): void {
  bytes = buffer;
  view = viewOf(buffer);
}

function viewOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length);
}
