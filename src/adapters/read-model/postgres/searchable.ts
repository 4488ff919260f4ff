import { isObject, type JsonObject, own, parsedOrNull } from '../../../replica/json.js';
import { searchableJson } from '../searchable-text.js';

/** What is searched of a replica that cannot be read. */
const NOTHING = '{}';

/**
 * The sections of a replica's text as jsonb takes them: `{"reported": …, "desired": …, "delta": …}`, each where it has
 * keys.
 *
 * @param text as `encodeSnapshot` makes it
 */
export function searchableOf(text: string): string {
  const replica = parsedOrNull(text);
  if (!isObject(replica)) return NOTHING;
  const { reported, desired, delta } = replica;
  const sections: JsonObject = {};
  if (isObject(reported) && Object.keys(reported).length > 0) sections['reported'] = reported;
  if (isObject(desired) && Object.keys(desired).length > 0) sections['desired'] = desired;
  if (isObject(delta) && isObject(desired) && Object.keys(delta).length > 0)
    sections['delta'] = deltaOf(delta, desired);
  const json = JSON.stringify(sections);
  return searchableJson(json) ?? json;
}

/** In the text, what is outstanding is told by its keys alone: an object with more of them, or 0 for the value desired. */
function deltaOf(shape: JsonObject, desired: JsonObject): JsonObject {
  const delta: JsonObject = {};
  for (const key of Object.keys(shape)) {
    const wanted = own(desired, key);
    const below = shape[key];
    if (wanted === undefined) continue;
    delta[key] = isObject(below) && isObject(wanted) ? deltaOf(below, wanted) : wanted;
  }
  return delta;
}
