/** What the bytes of a JSON text tell that JSON.parse does not. */
export interface Scan {
  /** Colons outside strings: in valid JSON, the members of all objects. */
  readonly members: number;
  /** The deepest nesting of brackets outside strings. */
  readonly depth: number;
  readonly hasEscape: boolean;
  /** A number that JavaScript may write otherwise: with an exponent, with many digits, or with zeros too many. */
  readonly hasOddNumber: boolean;
  /**
   * True only where the text of each object in it is what JSON.stringify makes of that object: no space, no escape, no
   * key that comes in another place, no number that is written otherwise.
   */
  readonly isCanonical: boolean;
  /** Where the text of `state.reported` and `state.desired` begins and ends, where they may be objects. */
  readonly reported: Span | null;
  readonly desired: Span | null;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const OPEN = 0x7b;
const CLOSE = 0x7d;
/** A number that is not longer is written as it was read: it has no more digits than every double keeps. */
const MAX_PLAIN_LENGTH = 15;
/** With so many zeros after the point and nothing before it, JavaScript writes an exponent. */
const EXPONENT_ZEROS = 6;

const STATE = Buffer.from('"state"');
const REPORTED = Buffer.from('"reported"');
const DESIRED = Buffer.from('"desired"');

/**
 * One pass over the bytes. In UTF-8 no byte of a longer character looks like an ASCII one. What it says of text that is
 * not JSON does not matter, but for the depth, which only grows too large.
 */
export function scanJson(bytes: Uint8Array): Scan {
  const end = bytes.length;
  let members = 0;
  let depth = 0;
  let deepest = 0;
  let hasEscape = false;
  let hasOddNumber = false;
  let isCanonical = true;
  /** Where the last string begins. */
  let text = 0;
  let isInState = false;
  let section: 'reported' | 'desired' | null = null;
  let start = 0;
  let reported: Span | null = null;
  let desired: Span | null = null;
  let i = 0;
  while (i < end) {
    const at = i;
    const byte = bytes[i++] as number;
    if (byte === QUOTE) {
      text = at;
      while (i < end) {
        const inner = bytes[i++] as number;
        if (inner === QUOTE) break;
        if (inner === BACKSLASH) {
          hasEscape = true;
          i++;
        }
      }
    } else if (byte === 0x3a) {
      members++;
      // Objects have keys that are numbers before all others.
      if (isDigit(bytes[text + 1])) isCanonical = false;
      if (depth === 1) {
        isInState = isAt(bytes, text, at, STATE);
      } else if (depth === 2 && isInState && bytes[i] === OPEN) {
        section = isAt(bytes, text, at, REPORTED)
          ? 'reported'
          : isAt(bytes, text, at, DESIRED)
            ? 'desired'
            : null;
        start = i;
      }
    } else if (byte === OPEN || byte === 0x5b) {
      if (++depth > deepest) deepest = depth;
    } else if (byte === CLOSE || byte === 0x5d) {
      depth--;
      if (depth === 2 && section !== null) {
        const span = { start, end: i };
        if (section === 'reported') reported = span;
        else desired = span;
        section = null;
      }
    } else if (byte === MINUS || isDigit(byte)) {
      while (i < end && isOfNumber(bytes[i] as number)) i++;
      if (!isPlainNumber(bytes, at, i)) hasOddNumber = true;
    } else if (byte <= 0x20) {
      isCanonical = false;
    }
  }
  isCanonical &&= !hasEscape && !hasOddNumber;
  return { members, depth: deepest, hasEscape, hasOddNumber, isCanonical, reported, desired };
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= 0x39;
}

function isOfNumber(byte: number): boolean {
  return isDigit(byte) || byte === POINT || byte === MINUS || byte === 0x2b || (byte | 0x20) === 0x65;
}

/** Whether the string that begins at `start` is this one, up to the colon at `end`. */
function isAt(bytes: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
  if (end - start !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false;
  return true;
}

/** Whether a number is written as JavaScript writes it; of others it may say no. */
function isPlainNumber(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start] === MINUS ? start + 1 : start;
  if (bytes[first] === ZERO) {
    // Not −0.
    if (bytes[first + 1] !== POINT) return end - start === 1;
    let zeros = 0;
    while (bytes[first + 2 + zeros] === ZERO) zeros++;
    if (zeros >= EXPONENT_ZEROS) return false;
  }
  if (end - first > MAX_PLAIN_LENGTH) return false;
  let point = -1;
  for (let i = first; i < end; i++) {
    if (bytes[i] === POINT) point = i;
    else if (!isDigit(bytes[i])) return false;
  }
  return point < 0 || bytes[end - 1] !== ZERO;
}
