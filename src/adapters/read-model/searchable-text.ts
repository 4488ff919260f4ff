import { isObject, type JsonValue, parsedOrNull } from '../../replica/json.js';

/**
 * A string as it is searched for. Databases end or refuse a string at U+0000; so that and U+0001 become two characters
 * each, by which no two strings become the same or change their order. Half a character, which no command can bring in,
 * is replaced.
 */
export function searchableText(text: string): string {
  return text.toWellFormed().replaceAll('\u0001', '\u0001\u0002').replaceAll('\0', '\u0001\u0001');
}

/** Null: JSON text, as `JSON.stringify` makes it, is searchable as it is. Else the text whose keys and strings are so. */
export function searchableJson(text: string): string | null {
  if (!text.includes('\\u000') && !text.includes('\\ud')) return null;
  const value = parsedOrNull(text);
  return value === null ? null : JSON.stringify(searchable(value));
}

function searchable(value: JsonValue): JsonValue {
  if (typeof value === 'string') return searchableText(value);
  if (Array.isArray(value)) return value.map(searchable);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [searchableText(key), searchable(inner)]),
  );
}
