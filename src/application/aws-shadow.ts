/**
 * The replica in the form of AWS IoT Device Shadow, so that what was written for that moves over by another endpoint:
 * times in seconds, no `changed`, a delta only where something is outstanding.
 *
 * Source: AWS IoT Core developer guide, "Device Shadow service documents", "Device Shadow error messages".
 */
import { type Refusal } from '../replica/commands.js';
import { isEmpty, isObject, type JsonObject, type JsonValue, own } from '../replica/json.js';
import { isReplicaId } from '../replica/limits.js';
import { type OutputChannel } from './ports/bus.js';

/** The replica of a thing's shadow; without a name, or with an empty one: the classic shadow. Null: no legal names. */
export function replicaOfShadow(thing: string, shadow?: string): string | null {
  const isClassic = shadow === undefined || shadow === '';
  if (thing.includes('/') || (!isClassic && shadow.includes('/'))) return null;
  const id = isClassic ? thing : `${thing}/name/${shadow}`;
  return isReplicaId(id) ? id : null;
}

/** The thing of a replica, and its shadow's name; undefined: the classic one. */
export function shadowOfReplica(replicaId: string): { thing: string; shadow: string | undefined } {
  const [thing = '', , shadow] = replicaId.split('/');
  return { thing, shadow };
}

/**
 * An output's document in AWS's form, as JSON text.
 *
 * @returns null: AWS sends none, which is so for a delta in which nothing is outstanding
 */
export function shadowDocument(channel: OutputChannel, replicaId: string, document: string): string | null {
  const value = JSON.parse(document) as JsonObject;
  switch (channel) {
    case 'update.delta': {
      const { state } = value;
      return isObject(state) && !isEmpty(state) ? deltaOf(value) : null;
    }
    case 'update.documents':
      return JSON.stringify({
        previous: momentOf(value['previous']),
        current: momentOf(value['current']),
        ...stamped(withoutMoments(value)),
      });
    case 'get.accepted': {
      const { metadata } = value;
      const { delta: _, ...sections } = isObject(metadata) ? metadata : {};
      return JSON.stringify({ ...stamped(value), metadata: inSeconds(sections) });
    }
    case 'update.rejected':
    case 'get.rejected':
    case 'delete.rejected':
      return JSON.stringify({ ...stamped(value), message: messageOf(value, replicaId) });
    default:
      return JSON.stringify(
        value['metadata'] === undefined
          ? stamped(value)
          : { ...stamped(value), metadata: inSeconds(value['metadata']) },
      );
  }
}

/** What AWS has no message for: that nothing is outstanding any more, for a broker that keeps a delta until it is told. */
export function emptyShadowDelta(document: string): string {
  return deltaOf(JSON.parse(document) as JsonObject);
}

function deltaOf({ state = {}, metadata, changed: _, ...rest }: JsonObject): string {
  return JSON.stringify({ ...stamped(rest), state, metadata: inSeconds(metadata) });
}

/** A refusal as AWS words it. */
export function shadowRefusal(refusal: Refusal, replicaId: string): Refusal {
  return { ...refusal, message: wordsOf(refusal.code, replicaId) ?? refusal.message };
}

function messageOf(value: JsonObject, replicaId: string): JsonValue {
  return wordsOf(value['code'], replicaId) ?? value['message'] ?? '';
}

/** Where AWS says it otherwise, or less. */
function wordsOf(code: JsonValue | undefined, replicaId: string): string | undefined {
  switch (code) {
    case 403:
      return 'Forbidden';
    case 404:
      return noShadow(replicaId);
    case 413:
      return 'The payload exceeds the maximum size allowed';
    case 415:
      return 'Unsupported documented encoding; supported encoding is UTF-8';
    default:
      return undefined;
  }
}

function noShadow(replicaId: string): string {
  const { thing, shadow } = shadowOfReplica(replicaId);
  return `No shadow exists with name: '${shadow ?? thing}'`;
}

function stamped(value: JsonObject): JsonObject {
  const timestamp = own(value, 'timestamp');
  return typeof timestamp === 'number' ? { ...value, timestamp: secondsOf(timestamp) } : value;
}

function withoutMoments({ previous: _, current: __, ...rest }: JsonObject): JsonObject {
  return rest;
}

/** A state before or after an update; where there was none, an empty one. */
function momentOf(value: JsonValue | undefined): JsonObject {
  if (!isObject(value)) return { state: {}, metadata: {} };
  return { ...value, metadata: inSeconds(value['metadata']) };
}

/** Metadata with each leaf's time in seconds. */
function inSeconds(metadata: JsonValue | undefined): JsonValue {
  if (Array.isArray(metadata)) return metadata.map(inSeconds);
  if (!isObject(metadata)) return {};
  const timestamp = own(metadata, 'timestamp');
  // A key of the state may be called so, too: then there is metadata of its own below it.
  if (typeof timestamp === 'number') return { timestamp: secondsOf(timestamp) };
  return Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, inSeconds(value)]));
}

function secondsOf(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
