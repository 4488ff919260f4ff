import { isObject, type JsonObject, type JsonValue, own } from '../../../replica/json.js';

/** What is searched of a replica that cannot be read. */
const NOTHING = '{}';

/**
 * The sections of a replica's text as jsonb takes them: `{"reported": …, "desired": …, "delta": …}`, each where it has
 * keys.
 *
 * @param text as `encodeSnapshot` makes it
 */
export function searchableOf(text: string): string {
  const replica = parsed(text);
  if (!isObject(replica)) return NOTHING;
  const { reported, desired, delta } = replica;
  const sections: JsonObject = {};
  if (isObject(reported) && Object.keys(reported).length > 0) sections['reported'] = reported;
  if (isObject(desired) && Object.keys(desired).length > 0) sections['desired'] = desired;
  if (isObject(delta) && isObject(desired) && Object.keys(delta).length > 0)
    sections['delta'] = deltaOf(delta, desired);
  const json = JSON.stringify(sections);
  return mayNeedEscape(json) ? JSON.stringify(escaped(sections)) : json;
}

/**
 * A string as it is searched for. jsonb cannot hold U+0000, so that and U+0001 become two characters each, and no two
 * strings become the same or change their order. Half a character, which no command can bring in, is replaced.
 */
export function escapedText(text: string): string {
  return text.toWellFormed().replaceAll('\u0001', '\u0001\u0002').replaceAll('\0', '\u0001\u0001');
}

function mayNeedEscape(json: string): boolean {
  return json.includes('\\u000') || json.includes('\\ud');
}

function escaped(value: JsonValue): JsonValue {
  if (typeof value === 'string') return escapedText(value);
  if (Array.isArray(value)) return value.map(escaped);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [escapedText(key), escaped(of)]));
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

function parsed(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
