import { equal, isEmpty, isObject, own, type JsonObject, type JsonValue } from './json.js';

/**
 * The merge patch (RFC 7396) that makes `to` of `from`: `{}` where they are equal. Neither may hold null, as no state
 * does. What it holds of `to` is `to`'s own: it must not be changed.
 */
export function mergePatchBetween(from: JsonObject, to: JsonObject): JsonObject {
  const patch: JsonObject = {};
  for (const key of Object.keys(from)) {
    if (own(to, key) === undefined) patch[key] = null;
  }
  for (const key of Object.keys(to)) {
    const before = own(from, key);
    const after = to[key] as JsonValue;
    if (isObject(before) && isObject(after)) {
      const inner = mergePatchBetween(before, after);
      if (!isEmpty(inner)) patch[key] = inner;
    } else if (!equal(after, before)) {
      patch[key] = after;
    }
  }
  return patch;
}
