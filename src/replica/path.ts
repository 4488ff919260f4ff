import { type ReplicaEvent, type SectionName, sectionOf } from './events.js';
import { isObject, type JsonValue, own } from './json.js';
import { type Replica } from './replica.js';

/** A value's place in a replica: a section, and the keys below it from the outside in. */
export interface ValuePath {
  readonly section: SectionName;
  readonly keys: readonly string[];
}

/**
 * Reads a path: a JSON pointer (RFC 6901) where it begins with `/`, as in `/reported/temp`; else keys separated by
 * dots, as in `reported.temp`, where `\.` is a dot in a key and `\\` a backslash. Null: it is neither, or does not
 * begin with `reported` or `desired`, or names nothing in it.
 */
export function parsePath(text: string): ValuePath | null {
  const [section, ...keys] = (text.startsWith('/') ? pointerKeys(text) : dottedKeys(text)) ?? [];
  return keys.length > 0 && (section === 'reported' || section === 'desired') ? { section, keys } : null;
}

function pointerKeys(text: string): string[] | null {
  if (/~(?![01])/.test(text)) return null;
  return text
    .slice(1)
    .split('/')
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function dottedKeys(text: string): string[] | null {
  const keys = [''];
  for (let i = 0; i < text.length; i++) {
    let char = text.charAt(i);
    if (char === '.') {
      keys.push('');
      continue;
    }
    if (char === '\\') {
      char = text.charAt(++i);
      if (char !== '.' && char !== '\\') return null;
    }
    keys[keys.length - 1] += char;
  }
  return keys;
}

/** The path as a JSON pointer. */
export function pointerOf({ section, keys }: ValuePath): string {
  return `/${[section, ...keys].map((key) => key.replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`;
}

/** The value at the path; undefined: there is none. An array has no places within it: it is set whole. */
export function valueAt(replica: Replica, { section, keys }: ValuePath): JsonValue | undefined {
  let value: JsonValue | undefined = replica[section];
  for (const key of keys) {
    if (!isObject(value)) return undefined;
    value = own(value, key);
  }
  return value;
}

/** When the scalar or array at the path was last set; undefined: there is none, or an object, whose members have times. */
export function timeAt(replica: Replica, { section, keys }: ValuePath): number | undefined {
  let node: unknown = section === 'reported' ? replica.reportedMeta : replica.desiredMeta;
  for (const key of keys) {
    if (!isObject(node)) return undefined;
    node = own(node, key);
  }
  return typeof node === 'number' ? node : undefined;
}

/** The array on the way to the path, as a path; null: there is none. */
export function arrayAbove(replica: Replica, { section, keys }: ValuePath): ValuePath | null {
  let value: JsonValue | undefined = replica[section];
  for (const [index, key] of keys.entries()) {
    if (Array.isArray(value)) return { section, keys: keys.slice(0, index) };
    if (!isObject(value)) return null;
    value = own(value, key);
  }
  return null;
}

/**
 * What an event does to the value at a path, whatever stood there before: `sets`: it names it, or something in it,
 * and after it there is a value; `removes`: after it there is none; `nothing`: it leaves it as it was.
 */
export function effectOn(event: ReplicaEvent, { section, keys }: ValuePath): 'sets' | 'removes' | 'nothing' {
  if (event.type === 'ReplicaDeleted') return 'removes';
  if (sectionOf(event) !== section) return 'nothing';
  let patch: JsonValue | undefined = event.state;
  for (const key of keys) {
    if (!isObject(patch)) return 'removes';
    patch = own(patch, key);
    if (patch === undefined) return 'nothing';
  }
  return patch === null ? 'removes' : 'sets';
}
