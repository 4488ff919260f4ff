import { describe, expect, it } from '@jest/globals';
import { type ReplicaEvent } from '../../../src/replica/events.js';
import { type JsonValue } from '../../../src/replica/json.js';
import {
  decodeStored,
  decodeStoredEvent,
  deviceOf,
  encodeData,
  encodeMetadata,
  METADATA_START,
  SCHEMA_VERSION,
  streamOf,
  UnknownEventError,
} from '../../../src/replica/stored.js';
import { origin } from '../support/scenario.js';

const read = (event: ReplicaEvent, from = origin(1)): unknown =>
  decodeStored(
    event.type,
    JSON.parse(encodeData('d1', event).toString()) as JsonValue,
    JSON.parse(encodeMetadata(from).toString()) as JsonValue,
  );

describe('A stored event', () => {
  it('has the members that are stored for good', () => {
    const event: ReplicaEvent = {
      type: 'ReportedStateChanged',
      version: 3,
      timestamp: 30,
      state: { a: null },
      clientToken: 't',
    };
    expect(encodeData('d1', event).toString()).toBe(
      '{"deviceId":"d1","version":3,"timestamp":30,"state":{"a":null},"clientToken":"t"}',
    );
  });

  it('has the metadata that is stored for good', () => {
    const full = origin(7, {}, { messageId: 'm"', correlationId: 'c', traceparent: '00-1-2-01' });
    expect(JSON.parse(encodeMetadata(full).toString())).toStrictEqual({
      schema: 1,
      $causationId: 'command-7',
      $correlationId: 'c',
      source: { topic: 'state.update', partition: 0, offset: 7, timestamp: 1_007, log: 'first-life' },
      fingerprint: 'update:7',
      messageId: 'm"',
      traceparent: '00-1-2-01',
    });
  });

  it('has metadata that begins with its schema', () => {
    expect(METADATA_START).toBe('{"schema":1,');
    expect(encodeMetadata(origin(7)).toString()).toMatch(/^\{"schema":1,/);
  });

  it('has the text of its state as it was sent, where that is known', () => {
    const event: ReplicaEvent = {
      type: 'DesiredStateChanged',
      version: 1,
      timestamp: 2,
      state: { a: 1 },
      stateJson: '{"a":1.0}',
    };
    expect(encodeData('d1', event).toString()).toBe(
      '{"deviceId":"d1","version":1,"timestamp":2,"state":{"a":1.0}}',
    );
  });

  it('correlates with its own command where the request names nothing', () => {
    expect(JSON.parse(encodeMetadata(origin(7)).toString())).toMatchObject({ $correlationId: 'command-7' });
  });

  it('does not store the size, which can be counted', () => {
    const event = {
      type: 'ReportedStateChanged',
      version: 1,
      timestamp: 1,
      state: {},
      bytesAfter: 0,
    } as const;
    expect(encodeData('d1', event).toString()).not.toContain('bytesAfter');
  });

  it.each<ReplicaEvent>([
    { type: 'ReportedStateChanged', version: 1, timestamp: 2, state: { a: [{ b: 'é"\\\n' }], '': {} } },
    { type: 'DesiredStateChanged', version: 1, timestamp: 2, state: null },
    { type: 'DesiredStateChanged', version: 1, timestamp: 2, state: null, scope: 'all' },
    { type: 'ReportedStateChanged', version: 1, timestamp: 2, state: {}, scope: 'none', clientToken: '' },
    { type: 'ReplicaDeleted', version: 1, timestamp: 2 },
    { type: 'ReplicaDeleted', version: 1, timestamp: 2, clientToken: 'é"\\' },
  ])('is read back as it was: %j', (event) => {
    expect(read(event)).toStrictEqual({ event, origin: origin(1) });
  });

  it('is read back with its whole origin', () => {
    const event: ReplicaEvent = { type: 'ReplicaDeleted', version: 1, timestamp: 2 };
    const full = origin(7, { log: 'é"' }, { messageId: 'm"', correlationId: 'c\n', traceparent: 't' });
    expect(read(event, full)).toStrictEqual({ event, origin: full });
  });
});

describe('A stored event without its origin', () => {
  it('is read as with it', () => {
    const data = { version: 1, timestamp: 2, state: { a: 1 }, scope: 'all', clientToken: 't' };
    const event = { type: 'DesiredStateChanged', ...data };
    expect(decodeStoredEvent('DesiredStateChanged', data)).toStrictEqual(event);
  });

  it.each<[type: string, data: JsonValue, message: string]>([
    ['DesiredStateChanged', [], 'DesiredStateChanged: data and metadata must be objects'],
    ['Other', { version: 1, timestamp: 2 }, "Event type is not known: 'Other'"],
  ])('is an error where it is not known: %s %j', (type, data, message) => {
    const decode = (): unknown => decodeStoredEvent(type, data);
    expect(decode).toThrow(UnknownEventError);
    expect(decode).toThrow(message);
  });
});

describe('A stored event that is not known', () => {
  const data = { version: 1, timestamp: 2, state: {} };
  const metadata: { [key: string]: JsonValue } = {
    schema: 1,
    $causationId: 'command-1',
    $correlationId: 'command-1',
    source: { topic: 'state.update', partition: 0, offset: 1, timestamp: 1_001, log: 'first-life' },
    fingerprint: 'update:1',
  };
  const type = 'ReportedStateChanged';

  it.each<[what: string, type: string, data: JsonValue, metadata: JsonValue, message: string]>([
    ['type', 'StateChanged', data, metadata, "Event type is not known: 'StateChanged'"],
    ['inherited type', 'toString', data, metadata, "Event type is not known: 'toString'"],
    [
      'schema',
      type,
      data,
      { ...metadata, schema: SCHEMA_VERSION + 1 },
      'schema 2 is newer than this service knows',
    ],
    ['schema’s type', type, data, { ...metadata, schema: '1' }, "'schema' must be a number"],
    ['data', type, [], metadata, 'data and metadata must be objects'],
    ['metadata', type, data, null, 'data and metadata must be objects'],
    ['version', type, { ...data, version: '1' }, metadata, "'version' must be a number"],
    ['timestamp', type, { version: 1, state: {} }, metadata, "'timestamp' must be a number"],
    ['state', type, { ...data, state: [] }, metadata, "'state' must be an object or null"],
    ['absent state', type, { version: 1, timestamp: 2 }, metadata, "'state' must be an object or null"],
    ['source', type, data, { ...metadata, source: 1 }, "metadata must have 'source'"],
    ['place', type, data, { ...metadata, source: { topic: 't' } }, "'partition' must be a number"],
    ['token', type, { ...data, clientToken: 1 }, metadata, "'clientToken' must be a string"],
    ['scope', type, { ...data, scope: 'some' }, metadata, "'scope' must be all or none"],
    ['causation', type, data, { ...metadata, $causationId: 1 }, "'$causationId' must be a string"],
    ['fingerprint', type, data, { ...metadata, fingerprint: null }, "'fingerprint' must be a string"],
  ])('for its %s is an error that says so', (_what, type, data, metadata, message) => {
    const decode = (): unknown => decodeStored(type, data, metadata);
    expect(decode).toThrow(UnknownEventError);
    expect(decode).toThrow(message);
  });

  it('bears its name', () => {
    expect(new UnknownEventError('x')).toMatchObject({ name: 'UnknownEventError', message: 'x' });
  });

  it('is none for members of its metadata that may be absent', () => {
    const { $correlationId: _, ...rest } = metadata;
    expect(decodeStored(type, data, rest).origin).toStrictEqual(origin(1));
    const odd = { ...metadata, $correlationId: 1, messageId: 1, traceparent: null };
    expect(decodeStored(type, data, odd).origin).toStrictEqual(origin(1));
  });
});

describe('A stream', () => {
  it('is named by its device', () => {
    expect(streamOf('d:1')).toBe('deviceState-d:1');
    expect(deviceOf(streamOf('d:1'))).toBe('d:1');
  });

  it('of something else is no device’s', () => {
    expect(deviceOf('deviceOther-1')).toBeNull();
  });
});
