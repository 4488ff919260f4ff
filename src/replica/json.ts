/** JSON values as the core holds them, and the few questions it asks of them. */

export type JsonScalar = boolean | number | string;
export type JsonValue = null | JsonScalar | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value of an own key of JSON; `undefined` where there is none, whatever `Object.prototype` has of that name. */
export function own<T>(object: { [key: string]: T }, key: string): T | undefined {
  const value = object[key];
  // What an object has by its prototype is a function, or the prototype itself: no value in JSON is either.
  return typeof value === 'function' || value === Object.prototype ? undefined : value;
}

export function isEmpty(object: object): boolean {
  for (const _ in object) return false;
  return true;
}

/**
 * Equality by value: numbers numerically (1 = 1.0, 0 = −0), objects whatever their keys' order, arrays by element.
 * No value equals one that is not there.
 */
export function equal(a: JsonValue, b: JsonValue | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((element, index) => equal(element, b[index]));
  }
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  for (const key of keys) {
    if (!equal(a[key] as JsonValue, own(b, key))) return false;
  }
  return true;
}

/** Bytes of a string as JSON in UTF-8, quotes and escapes included. */
export function stringBytes(text: string): number {
  let bytes = 2 + text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20) {
      // \b \t \n \f \r take two bytes, the other control characters six.
      bytes += code >= 8 && code <= 13 && code !== 11 ? 1 : 5;
    } else if (code < 0x80) {
      if (code === 0x22 || code === 0x5c) bytes += 1;
    } else if (code < 0x800) {
      bytes += 1;
    } else if (code >= 0xd800 && code <= 0xdfff) {
      // Half of a pair of surrogates, which together take four bytes: two for each half. A lone one is refused
      // before it comes here.
      bytes += 1;
    } else {
      bytes += 2;
    }
  }
  return bytes;
}

/** Bytes of `JSON.stringify(value)` in UTF-8. */
export function jsonBytes(value: JsonValue): number {
  if (typeof value === 'string') return stringBytes(value);
  if (typeof value === 'number') return String(value).length;
  if (typeof value === 'boolean') return value ? 4 : 5;
  if (value === null) return 4;
  let bytes = 1;
  if (Array.isArray(value)) {
    for (const element of value) bytes += 1 + jsonBytes(element);
    return value.length === 0 ? 2 : bytes;
  }
  for (const key of Object.keys(value)) bytes += entryBytes(key, jsonBytes(value[key] as JsonValue));
  return bytes === 1 ? 2 : bytes;
}

/**
 * What one member adds to its object: its key, the colon, its value and one more byte for the comma or the closing
 * brace. An object's size is 1 + the sum of these, or 2 where it is empty.
 */
export function entryBytes(key: string, valueBytes: number): number {
  return stringBytes(key) + valueBytes + 2;
}

/** Null also where it is no JSON. */
export function parsedOrNull(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
