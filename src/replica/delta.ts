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
