import { type Refusal } from './commands.js';
import { type JsonValue } from './json.js';

/** Bounds on what a device may send and hold. */
export interface Limits {
  /** The most bytes of a request. Default 128 KiB. */
  readonly maxRequestBytes: number;
  /** The most bytes of desired and reported together, after the merge, as UTF-8 JSON without metadata. Default 32 KiB. */
  readonly maxStateBytes: number;
  /** The most levels of objects and arrays in a section, its own object being the first. Default 6. */
  readonly maxDepth: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxRequestBytes: 128 * 1024,
  maxStateBytes: 32 * 1024,
  maxDepth: 6,
};

/** The most bytes of a clientToken, as UTF-8. */
export const MAX_CLIENT_TOKEN_BYTES = 64;

/** The root, `state` and then the section: levels of a request above the first that counts. */
export const LEVELS_ABOVE_SECTION = 2;

const REPLICA_ID =
  /^(?!\.{1,2}(?:\/|$))[A-Za-z0-9:._-]{1,128}(?:\/name\/(?!\.{1,2}$)[$A-Za-z0-9:._-]{1,64})?$/;
const ID_PREFIX = /^[$A-Za-z0-9:._/-]+$/;

/** The most bytes of a replica's id. */
export const MAX_REPLICA_ID_BYTES = 128 + '/name/'.length + 64;

/**
 * A device id, 1 to 128 of `[A-Za-z0-9:._-]`, not `.` or `..`: that of the device's main replica; or that of one of its
 * named replicas: `{deviceId}/name/{replica}`, the name 1 to 64 of the same and `$`, not `.` or `..`.
 */
export function isReplicaId(id: string): boolean {
  return REPLICA_ID.test(id);
}

/** The device that a replica is of. */
export function deviceOfReplica(replicaId: string): string {
  return replicaId.split('/', 1)[0] ?? '';
}

/** What the ids of some replicas may begin with. */
export function isIdPrefix(text: string): boolean {
  return text.length <= MAX_REPLICA_ID_BYTES && ID_PREFIX.test(text);
}

const bad = (message: string): Refusal => ({ code: 400, message });

/** What a walk over a parsed request has seen: to be compared with what its text has. */
export interface WalkResult {
  members: number;
  hasZero: boolean;
}

/**
 * Walks a parsed value and finds what must not be in a state: a forbidden key, a null in an array, a number beyond
 * what JavaScript holds exactly; and, where the text had an escape, a NUL or a lone surrogate.
 *
 * Recursive: the caller has bounded the depth.
 *
 * @param checkStrings whether strings can hold a NUL or a lone surrogate at all: in valid UTF-8 only by an escape
 * @param name the key under which the value stands, for the message
 * @param inArray whether the value is part of an array: there no merge removes a null, at whatever depth
 */
export function checkValue(
  value: JsonValue,
  checkStrings: boolean,
  seen: WalkResult,
  name: string,
  inArray = false,
): Refusal | null {
  if (typeof value === 'string') return checkStrings ? checkString(value, name) : null;
  if (typeof value === 'number') {
    if (value === 0) seen.hasZero = true;
    // Above 2^53 every double is an integer, and 1e400 is Infinity.
    if (value > Number.MAX_SAFE_INTEGER || value < -Number.MAX_SAFE_INTEGER) return inexact(name);
    return null;
  }
  if (value === null) return inArray ? bad(`An array cannot hold null: '${shown(name)}'`) : null;
  if (typeof value !== 'object') return null;
  if (Array.isArray(value)) {
    for (const element of value) {
      const refusal = checkValue(element, checkStrings, seen, name, true);
      if (refusal) return refusal;
    }
    return null;
  }
  for (const key in value) {
    seen.members++;
    if (key === '__proto__' || key === 'constructor' || key === 'prototype') {
      return bad(`Key is not allowed: '${key}'`);
    }
    if (checkStrings) {
      const refusal = checkString(key, key);
      if (refusal) return refusal;
    }
    const refusal = checkValue(value[key] as JsonValue, checkStrings, seen, key, inArray);
    if (refusal) return refusal;
  }
  return null;
}

function checkString(text: string, name: string): Refusal | null {
  if (text.includes('\0')) return bad(`A string or key holds a NUL character: '${shown(name)}'`);
  if (!text.isWellFormed()) return bad(`A string or key holds a lone surrogate: '${shown(name)}'`);
  return null;
}

export function inexact(name: string): Refusal {
  return bad(`A number cannot be held exactly (integers go to ±9007199254740991): '${shown(name)}'`);
}

/** A key as it may stand in a message: whole characters, and not long. */
export function shown(key: string): string {
  const cleaned = key.toWellFormed().replaceAll('\0', '\uFFFD');
  const characters = [...cleaned.slice(0, 130)];
  return characters.length > 64 ? `${characters.slice(0, 64).join('').toWellFormed()}…` : cleaned;
}
