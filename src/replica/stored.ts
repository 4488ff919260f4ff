/**
 * Stored events as JSON text, and back. Type names, member names and meanings below are stored for good: what changes
 * them is a new schema version, upcast here and nowhere else.
 */
import { type Origin, type ReplicaEvent, type SectionChanged, type Source } from './events.js';
import { isObject, type JsonObject, type JsonValue, own } from './json.js';
import { begin, endBytes, put } from './json-writer.js';

/** Written into the metadata of every event. */
export const SCHEMA_VERSION = 1;

/** What the metadata of an event of this schema begins with. */
export const METADATA_START = `{"schema":${SCHEMA_VERSION},`;

/** The stream of a device's events. */
export const STREAM_PREFIX = 'deviceState-';

export function streamOf(deviceId: string): string {
  return STREAM_PREFIX + deviceId;
}

/** The device of a stream; null where the stream is not a device's. */
export function deviceOf(stream: string): string | null {
  return stream.startsWith(STREAM_PREFIX) ? stream.slice(STREAM_PREFIX.length) : null;
}

/** `{"deviceId","version","timestamp","state"?,"scope"?,"clientToken"?}` */
export function encodeData(deviceId: string, event: ReplicaEvent): Buffer {
  begin();
  put('{"deviceId":"');
  put(deviceId);
  put(`","version":${event.version},"timestamp":${event.timestamp}`);
  if (event.type !== 'ReplicaDeleted') putChange(event);
  if (event.clientToken !== undefined) putMember('clientToken', event.clientToken);
  put('}');
  return endBytes();
}

function putChange({ state, stateJson, scope }: SectionChanged): void {
  put(',"state":');
  put(stateJson ?? JSON.stringify(state));
  if (scope !== undefined) putMember('scope', scope);
}

/** @param value any text */
function putMember(name: string, value: string): void {
  put(`,"${name}":`);
  put(JSON.stringify(value));
}

/** `{"schema","$causationId","$correlationId","source":{…},"fingerprint","messageId"?,"traceparent"?}` */
export function encodeMetadata(origin: Origin): Buffer {
  const { source, commandId, correlationId, messageId, traceparent } = origin;
  begin();
  put(METADATA_START);
  put('"$causationId":"');
  put(commandId);
  put('"');
  putMember('$correlationId', correlationId ?? commandId);
  put(',"source":{"topic":');
  put(JSON.stringify(source.topic));
  put(`,"partition":${source.partition},"offset":${source.offset},"timestamp":${source.timestamp}`);
  putMember('log', source.log);
  put('},"fingerprint":"');
  put(origin.fingerprint);
  put('"');
  if (messageId !== undefined) putMember('messageId', messageId);
  if (traceparent !== undefined) putMember('traceparent', traceparent);
  put('}');
  return endBytes();
}

/** An event as it was stored, its JSON parsed. */
export interface StoredEvent {
  readonly event: ReplicaEvent;
  readonly origin: Origin;
}

/** Thrown where a stored event is not one that this version of the service knows. Says which part, and what to do. */
export class UnknownEventError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnknownEventError';
  }
}

/**
 * Reads a stored event, whatever schema version wrote it.
 *
 * @throws {UnknownEventError} for an unknown type, a schema from the future, or members that are not as stored
 */
export function decodeStored(type: string, data: JsonValue, metadata: JsonValue): StoredEvent {
  if (!isObject(data) || !isObject(metadata))
    throw new UnknownEventError(`${type}: data and metadata must be objects`);
  const schema = numberOf(metadata, 'schema', type);
  if (schema > SCHEMA_VERSION) {
    throw new UnknownEventError(
      `${type}: schema ${schema} is newer than this service knows (${SCHEMA_VERSION}); run the newer service`,
    );
  }
  return { event: eventOf(type, data), origin: originOf(metadata, type) };
}

/**
 * Reads a stored event of this version's schema without its origin, for who only folds states.
 *
 * @throws {UnknownEventError} for an unknown type, or members that are not as stored
 */
export function decodeStoredEvent(type: string, data: JsonValue): ReplicaEvent {
  if (!isObject(data)) throw new UnknownEventError(`${type}: data and metadata must be objects`);
  return eventOf(type, data);
}

function eventOf(type: string, data: JsonObject): ReplicaEvent {
  const token = own(data, 'clientToken');
  if (token !== undefined && typeof token !== 'string') {
    throw new UnknownEventError(`${type}: 'clientToken' must be a string`);
  }
  const common = {
    version: numberOf(data, 'version', type),
    timestamp: numberOf(data, 'timestamp', type),
    ...(token === undefined ? {} : { clientToken: token }),
  };
  switch (type) {
    case 'ReportedStateChanged':
    case 'DesiredStateChanged': {
      const state = own(data, 'state');
      if (state !== null && !isObject(state))
        throw new UnknownEventError(`${type}: 'state' must be an object or null`);
      const scope = own(data, 'scope');
      if (scope === undefined) return { type, ...common, state };
      if (scope !== 'all' && scope !== 'none')
        throw new UnknownEventError(`${type}: 'scope' must be all or none`);
      return { type, ...common, state, scope };
    }
    case 'ReplicaDeleted':
      return { type, ...common };
    default:
      throw new UnknownEventError(`Event type is not known: '${type}'`);
  }
}

function originOf(metadata: JsonObject, type: string): Origin {
  const source = own(metadata, 'source');
  if (!isObject(source)) throw new UnknownEventError(`${type}: metadata must have 'source'`);
  const commandId = stringOf(metadata, '$causationId', type);
  const correlationId = own(metadata, '$correlationId');
  const messageId = own(metadata, 'messageId');
  const traceparent = own(metadata, 'traceparent');
  return {
    commandId,
    fingerprint: stringOf(metadata, 'fingerprint', type),
    source: sourceOf(source, type),
    ...(typeof messageId === 'string' ? { messageId } : {}),
    ...(typeof correlationId === 'string' && correlationId !== commandId ? { correlationId } : {}),
    ...(typeof traceparent === 'string' ? { traceparent } : {}),
  };
}

function sourceOf(source: JsonObject, type: string): Source {
  return {
    topic: stringOf(source, 'topic', type),
    partition: numberOf(source, 'partition', type),
    offset: numberOf(source, 'offset', type),
    timestamp: numberOf(source, 'timestamp', type),
    log: stringOf(source, 'log', type),
  };
}

function numberOf(object: JsonObject, key: string, type: string): number {
  const value = own(object, key);
  if (typeof value !== 'number') throw new UnknownEventError(`${type}: '${key}' must be a number`);
  return value;
}

function stringOf(object: JsonObject, key: string, type: string): string {
  const value = own(object, key);
  if (typeof value !== 'string') throw new UnknownEventError(`${type}: '${key}' must be a string`);
  return value;
}
