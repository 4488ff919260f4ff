import {
  entryBytes,
  equal,
  isEmpty,
  isObject,
  jsonBytes,
  own,
  type JsonObject,
  type JsonValue,
} from './json.js';
import { type MetaObject } from './replica.js';

/**
 * Merges a patch into a section in place (RFC 7396): per key, recursive for objects; null removes; arrays and scalars
 * replace whole. Every key that the patch names gets the time, also where its value stays.
 *
 * The section never keeps a part of the patch that a later merge would change: objects are copied, arrays are not,
 * since nothing changes an array in place.
 *
 * @param change filled with what really changed, as a merge patch (null where removed); null: not wanted
 */
export function merge(
  target: JsonObject,
  meta: MetaObject,
  patch: JsonObject,
  timestamp: number,
  change: JsonObject | null,
): void {
  for (const key in patch) {
    const next = patch[key] as JsonValue;
    // Stryker disable next-line ConditionalExpression,BlockStatement: as below, only sooner
    if (typeof next !== 'object') {
      meta[key] = timestamp;
      // Where nobody asks what changed, to look costs as much as to set. Nothing that an object has by its prototype is
      // a scalar.
      if (change !== null) {
        if (target[key] === next) continue;
        change[key] = next;
      }
      target[key] = next;
      continue;
    }
    const previous = own(target, key);
    if (next === null) {
      if (previous === undefined) continue;
      delete target[key];
      delete meta[key];
      if (change) change[key] = null;
    } else if (isObject(next)) {
      if (isObject(previous)) {
        const inner: JsonObject | null = change && {};
        // An object's metadata is an object, for as long as the two are changed together, here alone.
        merge(previous, meta[key] as MetaObject, next, timestamp, inner);
        if (change && inner && !isEmpty(inner)) change[key] = inner;
      } else {
        const fresh: JsonObject = {};
        const freshMeta: MetaObject = {};
        merge(fresh, freshMeta, next, timestamp, null);
        target[key] = fresh;
        meta[key] = freshMeta;
        if (change) change[key] = fresh;
      }
    } else {
      meta[key] = timestamp;
      if (equal(next, previous)) continue;
      target[key] = next;
      if (change) change[key] = next;
    }
  }
}

/** True where merging this patch would change a value. */
export function wouldChange(target: JsonObject, patch: JsonObject): boolean {
  for (const key of Object.keys(patch)) {
    const next = patch[key] as JsonValue;
    const previous = own(target, key);
    if (next === null) {
      if (previous !== undefined) return true;
    } else if (isObject(next) && isObject(previous)) {
      if (wouldChange(previous, next)) return true;
    } else if (!equal(next, previous)) {
      return true;
    }
  }
  return false;
}

/** By how many bytes of UTF-8 JSON a section would grow (or shrink: negative) if this patch were merged into it. */
export function growth(target: JsonObject, patch: JsonObject): number {
  let bytes = 0;
  let added = 0;
  let removed = 0;
  for (const key of Object.keys(patch)) {
    const next = patch[key] as JsonValue;
    const previous = own(target, key);
    if (next === null) {
      if (previous === undefined) continue;
      bytes -= entryBytes(key, jsonBytes(previous));
      removed++;
    } else if (isObject(next)) {
      if (isObject(previous)) {
        bytes += growth(previous, next);
        continue;
      }
      bytes += previous === undefined ? entryBytes(key, 0) : -jsonBytes(previous);
      bytes += 2 + growth({}, next);
      if (previous === undefined) added++;
    } else if (previous === undefined) {
      bytes += entryBytes(key, jsonBytes(next));
      added++;
    } else {
      bytes += jsonBytes(next) - jsonBytes(previous);
    }
  }
  // An empty object takes one byte more than the sum over its members says.
  if (added === 0 && removed === 0) return bytes;
  const wasEmpty = isEmpty(target);
  const isEmptyNow = added === 0 && !hasMoreKeysThan(target, removed);
  return bytes + (isEmptyNow ? 1 : 0) - (wasEmpty ? 1 : 0);
}

function hasMoreKeysThan(object: JsonObject, count: number): boolean {
  let seen = 0;
  for (const _ in object) {
    if (++seen > count) return true;
  }
  return false;
}
