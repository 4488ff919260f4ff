import { equal, isEmpty, isObject, own, type JsonObject, type JsonValue } from './json.js';

/** The keys of desired whose value is missing or different in reported, recursive to the differing leaf. */
export function diff(desired: JsonObject, reported: JsonObject): JsonObject {
  const delta: JsonObject = {};
  for (const key of Object.keys(desired)) {
    const wanted = desired[key] as JsonValue;
    const actual = own(reported, key);
    if (isObject(wanted) && isObject(actual)) {
      const inner = diff(wanted, actual);
      if (!isEmpty(inner)) delta[key] = inner;
    } else if (!equal(wanted, actual)) {
      delta[key] = wanted;
    }
  }
  return delta;
}

/**
 * Brings a delta up to date, in place, after a patch was merged into desired or into reported. Only what the patch
 * names can have changed, so only that is looked at.
 *
 * The delta must have been right before that merge, and made by `diff` or by this function: a node is an object of
 * its own where both sides are objects, and the very desired value elsewhere. So a node that is the desired object
 * itself says that reported had no object there.
 */
export function refreshDelta(
  delta: JsonObject,
  desired: JsonObject,
  reported: JsonObject,
  patch: JsonObject,
): void {
  for (const key in patch) {
    const wanted = own(desired, key);
    if (wanted === undefined) {
      remove(delta, key);
      continue;
    }
    const actual = own(reported, key);
    if (isObject(wanted) && isObject(actual)) {
      const node = own(delta, key);
      const change = patch[key] as JsonValue;
      let inner: JsonObject;
      if (isObject(change) && (node === undefined || (isObject(node) && node !== wanted))) {
        // Both sides were objects before, or the wanted one was made by this very patch: what the patch does not
        // name is as equal or as different as it was.
        inner = node ?? {};
        refreshDelta(inner, wanted, actual, change);
      } else {
        inner = diff(wanted, actual);
      }
      if (isEmpty(inner)) remove(delta, key);
      else delta[key] = inner;
    } else if (equal(wanted, actual)) {
      remove(delta, key);
    } else {
      delta[key] = wanted;
    }
  }
}

/** To delete what is not there costs as much as to delete what is. */
function remove(object: JsonObject, key: string): void {
  // Stryker disable next-line ConditionalExpression: only sooner
  if (object[key] !== undefined) delete object[key];
}

/** The keys of a delta in their order: an object where the delta has a node of its own, 0 for a desired value. */
type Shape = 0 | { [key: string]: Shape };

/**
 * The order of a delta's keys is that of the updates that made it, which no section tells any more. What stands under
 * them is told by the sections.
 */
export function shapeOf(delta: JsonObject, desired: JsonObject, reported: JsonObject): Shape {
  const shape: Shape = {};
  for (const key of Object.keys(delta)) {
    const wanted = own(desired, key);
    const actual = own(reported, key);
    shape[key] = isObject(wanted) && isObject(actual) ? shapeOf(delta[key] as JsonObject, wanted, actual) : 0;
  }
  return shape;
}

/** A delta with its keys in the order of the shape; null where the two do not have the same keys. */
export function inShape(
  delta: JsonObject,
  shape: JsonValue | undefined,
  desired: JsonObject,
  reported: JsonObject,
): JsonObject | null {
  if (!isObject(shape)) return null;
  const keys = Object.keys(shape);
  if (keys.length !== Object.keys(delta).length) return null;
  const ordered: JsonObject = {};
  for (const key of keys) {
    const value = own(delta, key);
    if (value === undefined) return null;
    const wanted = own(desired, key);
    const actual = own(reported, key);
    if (!isObject(wanted) || !isObject(actual)) {
      // The very desired value: by that `refreshDelta` sees that reported has no object there.
      ordered[key] = value;
      continue;
    }
    const inner = inShape(value as JsonObject, shape[key], wanted, actual);
    if (inner === null) return null;
    ordered[key] = inner;
  }
  return ordered;
}
