import { isAscii, isUtf8 } from 'node:buffer';
import { type Refusal } from '../replica/commands.js';
import { type RequestedState, type SectionTexts } from '../replica/commands.js';
import { isObject, type JsonObject, type JsonValue, own } from '../replica/json.js';
import {
  checkValue,
  DEFAULT_LIMITS,
  inexact,
  LEVELS_ABOVE_SECTION,
  type Limits,
  MAX_CLIENT_TOKEN_BYTES,
  shown,
  type WalkResult,
} from '../replica/limits.js';
import { type Answer } from './moments.js';
import { type Scan, scanJson } from './scan-json.js';

/** What every request may hold beside its state. */
export interface Envelope {
  readonly version?: number;
  readonly clientToken?: string;
}

export interface UpdateRequest extends Envelope {
  readonly state: RequestedState | null;
}

/** `clientToken` goes into the refusal wherever it could still be read. */
export type Reading<T> =
  | { readonly ok: true; readonly request: T }
  | { readonly ok: false; readonly refusal: Refusal; readonly clientToken?: string };

/**
 * Reads an update request from its bytes, with every check of the contract. Never throws.
 *
 * @param texts filled with the sections' text, where it stands in the bytes as JSON.stringify would write it
 */
export function readUpdate(
  bytes: Uint8Array,
  limits: Limits,
  texts: SectionTexts = {},
): Reading<UpdateRequest> {
  const parsed = parse(bytes, limits);
  if ('refusal' in parsed) return { ok: false, refusal: parsed.refusal };
  const { root } = parsed;
  const envelope = readEnvelope(root);
  const refusal = envelope.refusal ?? checkState(root) ?? check(parsed);
  if (refusal !== undefined && refusal !== null) {
    return { ok: false, refusal, ...tokenOf(envelope.fields, parsed) };
  }
  takeTexts(parsed, bytes, texts);
  return { ok: true, request: { ...envelope.fields, state: root['state'] as RequestedState | null } };
}

/**
 * Reads a get or delete request, whose body may be absent or empty: `{"clientToken"?, "version"?}`. Never throws.
 */
export function readEnvelopeOnly(bytes: Uint8Array | null, limits: Limits): Reading<Envelope> {
  if (bytes === null || bytes.length === 0) return { ok: true, request: {} };
  const parsed = parse(bytes, limits);
  if ('refusal' in parsed) return { ok: false, refusal: parsed.refusal };
  const envelope = readEnvelope(parsed.root);
  const refusal = envelope.refusal ?? check(parsed);
  if (refusal !== null) return { ok: false, refusal, ...tokenOf(envelope.fields, parsed) };
  return { ok: true, request: envelope.fields };
}

/** Reads a request of any other kind: an object in which the same is refused as in a command. Never throws. */
export function readObject(bytes: Uint8Array): Answer<JsonObject> {
  // How large it may be is the server's business, which has read it.
  const parsed = parse(bytes, { ...DEFAULT_LIMITS, maxRequestBytes: Infinity });
  if ('refusal' in parsed) return { ok: false, refusal: parsed.refusal };
  const refusal = check(parsed);
  return refusal === null ? { ok: true, value: parsed.root } : { ok: false, refusal };
}

interface Parsed {
  readonly root: JsonObject;
  readonly text: string;
  readonly scan: Scan;
}

const bad = (message: string): { refusal: Refusal } => ({ refusal: { code: 400, message } });
const INVALID_JSON = bad('Invalid JSON');

function parse(bytes: Uint8Array, limits: Limits): Parsed | { refusal: Refusal } {
  if (bytes.length > limits.maxRequestBytes) {
    const message = `The request is ${bytes.length} bytes; maximum is ${limits.maxRequestBytes}`;
    return { refusal: { code: 413, message } };
  }
  const isPlain = isAscii(bytes);
  if (!isPlain && !isUtf8(bytes)) return { refusal: { code: 415, message: 'The request is not UTF-8' } };
  const scan = scanJson(bytes);
  // Before it is parsed: JSON.parse takes any depth, and what walks the result afterwards is recursive.
  if (scan.depth > limits.maxDepth + LEVELS_ABOVE_SECTION) {
    return bad(`JSON contains too many levels of nesting; maximum is ${limits.maxDepth}`);
  }
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = buffer.toString(isPlain ? 'latin1' : 'utf8');
  let root: JsonValue;
  try {
    root = JSON.parse(text) as JsonValue;
  } catch {
    return INVALID_JSON;
  }
  return isObject(root) ? { root, text, scan } : INVALID_JSON;
}

function takeTexts({ scan, text }: Parsed, bytes: Uint8Array, into: SectionTexts): void {
  // Only where each character is one byte do the places in the bytes count in the text.
  if (!scan.isCanonical || text.length !== bytes.length) return;
  const { reported, desired } = scan;
  if (reported !== null) into.reported = text.slice(reported.start, reported.end);
  if (desired !== null) into.desired = text.slice(desired.start, desired.end);
}

function readEnvelope(root: JsonObject): { fields: Envelope; refusal: Refusal | null } {
  const version = own(root, 'version');
  const clientToken = own(root, 'clientToken');
  if (
    clientToken !== undefined &&
    (typeof clientToken !== 'string' || Buffer.byteLength(clientToken) > MAX_CLIENT_TOKEN_BYTES)
  ) {
    return { fields: {}, ...bad('Invalid clientToken') };
  }
  const token = clientToken === undefined ? {} : { clientToken };
  if (version === undefined) return { fields: token, refusal: null };
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 0) {
    return { fields: token, ...bad('Invalid version') };
  }
  return { fields: { ...token, version }, refusal: null };
}

function checkState(root: JsonObject): Refusal | null {
  const state = own(root, 'state');
  if (state === undefined) return bad('Missing required node: state').refusal;
  if (state === null) return null;
  if (!isObject(state)) return bad('State node must be an object').refusal;
  for (const key of Object.keys(state)) {
    if (key !== 'desired' && key !== 'reported') {
      return bad(`State contains an invalid node: '${shown(key)}'`).refusal;
    }
    const section = state[key];
    if (section !== null && !isObject(section)) {
      return bad(`${key === 'desired' ? 'Desired' : 'Reported'} node must be an object`).refusal;
    }
  }
  return null;
}

/** All that needs a walk over the parsed values, compared with what the text holds. */
function check({ root, text, scan }: Parsed): Refusal | null {
  const seen: WalkResult = { members: 0, hasZero: false };
  const refusal = checkValue(root, scan.hasEscape, seen, '');
  if (refusal) return refusal;
  // JSON.parse keeps the last of equal keys: then the text has more members than the result.
  if (seen.members !== scan.members) return bad(`Duplicate key: '${shown(findDuplicate(text))}'`).refusal;
  if (seen.hasZero && scan.hasOddNumber) {
    const literal = findUnderflow(text);
    if (literal !== null) return inexact(literal);
  }
  return null;
}

/** A refusal must be able to carry the token back, so only a token that is text itself. */
function tokenOf(fields: Envelope, { scan }: Parsed): { clientToken?: string } {
  const { clientToken } = fields;
  if (clientToken === undefined || (scan.hasEscape && !clientToken.isWellFormed())) return {};
  return { clientToken };
}

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/gs;

/** Names the first key that stands twice in one object. The text is valid JSON and has one. */
function findDuplicate(text: string): string {
  const open: (Set<string> | null)[] = [];
  let last = '';
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(null);
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':') {
      const keys = open.at(-1);
      const key = last.includes('\\') ? (JSON.parse(last) as string) : last.slice(1, -1);
      if (keys?.has(key) === true) return key;
      keys?.add(key);
    }
    last = token;
  }
  return '';
}

/** The first number that is not 0 but becomes 0, such as 1e-400; null: none. */
function findUnderflow(text: string): string | null {
  for (const [token] of text.matchAll(TOKENS)) {
    const code = token.charCodeAt(0);
    const isNumber = code === 0x2d || (code >= 0x30 && code <= 0x39);
    if (isNumber && Number(token) === 0 && /[1-9]/.test(token.split(/e/i, 1)[0] ?? '')) return token;
  }
  return null;
}
