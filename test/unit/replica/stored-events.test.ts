import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ReplicaEvent } from '../../../src/replica/events.js';
import { type JsonValue } from '../../../src/replica/json.js';
import { decodeStored, encodeData, encodeMetadata, SCHEMA_VERSION } from '../../../src/replica/stored.js';
import { patch } from '../support/arbitraries.js';
import { origin } from '../support/scenario.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const readJson = (path: string): unknown => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));

const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
const files = readdirSync(join(ROOT, 'schemas'));
const schemas = new Map<string, ValidateFunction>(
  files.map((file) => [file, ajv.compile(readJson(`schemas/${file}`) as object)]),
);

function problemsOf(file: string, text: string): unknown {
  const validate = schemas.get(file);
  if (validate === undefined) return `there is no schemas/${file}`;
  return validate(JSON.parse(text)) ? null : validate.errors;
}

const dataSchema = (type: string): string => `${type}.v${SCHEMA_VERSION}.json`;
const METADATA_SCHEMA = `metadata.v${SCHEMA_VERSION}.json`;
const DATA = '{"deviceId":"d","version":1,"timestamp":1,"state":{}}';

interface Frozen {
  readonly name: string;
  readonly stored: { readonly type: string; readonly data: string; readonly metadata: string };
  readonly decoded: unknown;
}

describe('the schemas of stored events', () => {
  it('are there for each type and for the metadata, and say how they are named', () => {
    expect([...files].sort()).toEqual([
      'DesiredStateChanged.v1.json',
      'ReplicaDeleted.v1.json',
      'ReportedStateChanged.v1.json',
      'metadata.v1.json',
    ]);
    for (const file of files) expect(readJson(`schemas/${file}`)).toMatchObject({ $id: file });
  });

  const common = {
    version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    timestamp: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  };
  const options = { clientToken: fc.string(), scope: fc.constantFrom('all' as const, 'none' as const) };
  const change = (type: 'ReportedStateChanged' | 'DesiredStateChanged') =>
    fc
      .tuple(fc.record({ ...common, state: fc.option(patch) }), fc.record(options, { requiredKeys: [] }))
      .map(([all, some]) => ({ type, ...all, ...some }));
  const deletion = fc
    .tuple(fc.record(common), fc.record({ clientToken: fc.string() }, { requiredKeys: [] }))
    .map(([all, some]) => ({ type: 'ReplicaDeleted' as const, ...all, ...some }));
  const event: fc.Arbitrary<ReplicaEvent> = fc.oneof(
    change('ReportedStateChanged'),
    change('DesiredStateChanged'),
    deletion,
  );

  it('hold for every event that is written', () => {
    fc.assert(
      fc.property(event, (given) => {
        expect(problemsOf(dataSchema(given.type), encodeData('device-1', given).toString())).toBeNull();
      }),
    );
  });

  it('hold for all metadata that is written', () => {
    const rest = fc.record(
      {
        messageId: fc.string({ minLength: 1, maxLength: 128, unit: 'grapheme-ascii' }),
        correlationId: fc.string(),
        traceparent: fc.string(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.nat(), fc.string({ minLength: 1 }), rest, (offset, topic, given) => {
        expect(
          problemsOf(METADATA_SCHEMA, encodeMetadata(origin(offset, { topic }, given)).toString()),
        ).toBeNull();
      }),
    );
  });

  it.each([
    ['a member more', DATA.replace('"version"', '"extra":1,"version"')],
    ['no device', DATA.replace('"deviceId":"d",', '')],
    ['a version as text', DATA.replace('"version":1', '"version":"1"')],
    ['a state that is a list', DATA.replace('{}', '[]')],
    ['a scope that nobody knows', DATA.replace('"state"', '"scope":"some","state"')],
  ])('do not hold for %s', (_, text) => {
    expect(problemsOf('ReportedStateChanged.v1.json', DATA)).toBeNull();
    expect(problemsOf('ReportedStateChanged.v1.json', text)).not.toBeNull();
  });
});

describe('an event of version 1', () => {
  const { events } = readJson('test/fixtures/events-v1.json') as { events: Frozen[] };

  it.each(events.map((frozen) => [frozen.name, frozen] as const))(
    'is read as ever: %s',
    (_, { stored, decoded }) => {
      const read = decodeStored(
        stored.type,
        JSON.parse(stored.data) as JsonValue,
        JSON.parse(stored.metadata) as JsonValue,
      );
      expect(read).toStrictEqual(decoded);
    },
  );

  it.each(events.map((frozen) => [frozen.name, frozen] as const))('keeps its schema: %s', (_, { stored }) => {
    expect(problemsOf(`${stored.type}.v1.json`, stored.data)).toBeNull();
    expect(problemsOf('metadata.v1.json', stored.metadata)).toBeNull();
  });

  it('is there of every type', () => {
    expect(new Set(events.map(({ stored }) => stored.type)).size).toBe(3);
  });
});
