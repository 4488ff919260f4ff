import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isObject, type JsonObject, type JsonValue } from '../../../src/replica/json.js';
import { begin, endBytes, endText, put, putMetadata } from '../../../src/replica/json-writer.js';
import { type MetaNode } from '../../../src/replica/replica.js';

/** The same by way of an object. */
function expected(value: JsonValue, meta: MetaNode): JsonValue {
  if (Array.isArray(value)) return value.map((element) => expected(element, meta));
  if (!isObject(value)) return { timestamp: meta as number };
  const entries = Object.entries(value).map(([key, inner]): [string, JsonValue] => {
    return [key, expected(inner, typeof meta === 'number' ? meta : (meta[key] as MetaNode))];
  });
  return Object.fromEntries(entries);
}

function metadataText(value: JsonValue, meta: MetaNode): string {
  begin();
  putMetadata(value, meta);
  return endText();
}

describe('Metadata', () => {
  const values = fc.object({
    key: fc.oneof(fc.string(), fc.string({ unit: 'binary' })).filter((key) => key !== '__proto__'),
    values: [fc.string(), fc.integer(), fc.boolean(), fc.constant(null)],
  }) as fc.Arbitrary<JsonObject>;

  it('is that of the object, where all leaves have one time', () => {
    fc.assert(
      fc.property(values, fc.nat(), (value, time) => {
        expect(metadataText(value, time)).toBe(JSON.stringify(expected(value, time)));
      }),
    );
  });

  it('has the time of each leaf', () => {
    fc.assert(
      fc.property(values, fc.infiniteStream(fc.nat(3)), (value, times) => {
        const metaOf = (node: JsonValue): MetaNode =>
          isObject(node)
            ? Object.fromEntries(Object.entries(node).map(([key, inner]) => [key, metaOf(inner)]))
            : (times.next().value as number);
        const meta = metaOf(value);
        expect(metadataText(value, meta)).toBe(JSON.stringify(expected(value, meta)));
      }),
    );
  });

  it.each(['ü', '\u{1f600}', '\ud800', '"', '\\', '\n', '\u007f', ''])(
    'has the key %j as JSON has it',
    (key) => {
      expect(metadataText({ a: 1, [key]: { b: 2 } }, 5)).toBe(
        JSON.stringify(expected({ a: 1, [key]: { b: 2 } }, 5)),
      );
    },
  );

  it('may be as long as it likes', () => {
    const value = {
      list: Array.from({ length: 5_000 }, (_, i) => i),
      ['k'.repeat(100_000)]: ['ü'.repeat(9)],
    };
    expect(metadataText(value, 1_700_000_000_000)).toBe(JSON.stringify(expected(value, 1_700_000_000_000)));
    expect(metadataText({ a: 1 }, 7)).toBe('{"a":{"timestamp":7}}');
  });
});

describe('A text put together', () => {
  const pieces = fc.array(fc.oneof(fc.string(), fc.string({ unit: 'binary', maxLength: 200 })));

  it('is its pieces, as a text and in UTF-8', () => {
    fc.assert(
      fc.property(pieces, (texts) => {
        begin();
        for (const text of texts) put(text);
        expect(endBytes()).toStrictEqual(Buffer.from(endText()));
        // A half of a pair of surrogates has no bytes in UTF-8, and JSON.stringify gives none.
        expect(endText()).toBe(texts.map((text) => text.toWellFormed()).join(''));
      }),
    );
  });

  it('begins anew after one that is as long as it likes, and keeps none of it', () => {
    const long = 'ü'.repeat(1_000_000);
    begin();
    put(long);
    const bytes = endBytes();
    begin();
    put('{}');
    expect(endText()).toBe('{}');
    expect(bytes.toString()).toBe(long);
  });
});
