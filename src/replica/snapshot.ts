/**
 * A replica as JSON text, and back: what a device's events fold to up to one of them, so that the fold can begin
 * there. A snapshot can always be made anew; so one that is not understood is no error, it is not used.
 */
import { diff, inShape, shapeOf } from './delta.js';
import { isObject, type JsonObject, type JsonValue, own, parsedOrNull } from './json.js';
import { emptyReplica, type MetaNode, type MetaObject, type Replica, type SourceMark } from './replica.js';

/**
 * Written into every snapshot; others are not read. Raised whenever the text below changes, and whenever `evolve`
 * makes something else of the same events.
 */
export const SNAPSHOT_SCHEMA_VERSION = 1;

const MARK_NUMBERS = [
  'offset',
  'timestamp',
  'maxOffset',
  'maxTimestamp',
  'priorOffset',
  'priorTimestamp',
] as const;

/** What {@link decodeSnapshot} makes of the text behaves as this replica does, to the byte and for good. */
export function encodeSnapshot(replica: Replica): string {
  const { deviceId, version, exists, timestamp, revision } = replica;
  const { reported, desired, reportedMeta, desiredMeta, delta } = replica;
  return JSON.stringify({
    schema: SNAPSHOT_SCHEMA_VERSION,
    deviceId,
    version,
    exists,
    timestamp,
    revision,
    reported,
    desired,
    reportedMeta,
    desiredMeta,
    delta: shapeOf(delta, desired, reported),
    // Infinity becomes null.
    bytes: [replica.reportedBytes, replica.desiredBytes, replica.bytesAtMost, replica.bytesCounted],
    sources: [...replica.sources],
    ...(replica.commands === undefined ? {} : { commands: [...replica.commands] }),
  });
}

/** The replica of a snapshot; null where the text is not one that this version wrote of this device. */
export function decodeSnapshot(text: string, deviceId: string): Replica | null {
  return replicaOf(parsedOrNull(text), deviceId);
}

function replicaOf(value: JsonValue, deviceId: string): Replica | null {
  if (!isObject(value) || value['schema'] !== SNAPSHOT_SCHEMA_VERSION || value['deviceId'] !== deviceId) {
    return null;
  }
  const { version, exists, timestamp, revision, reported, desired, reportedMeta, desiredMeta } = value;
  if (!isWhole(version) || !isWhole(timestamp) || !isWhole(revision) || typeof exists !== 'boolean')
    return null;
  if (!isObject(reported) || !isObject(desired)) return null;
  if (!isMetaOf(reportedMeta, reported) || !isMetaOf(desiredMeta, desired)) return null;
  const delta = inShape(diff(desired, reported), value['delta'], desired, reported);
  const bytes = bytesOf(value['bytes']);
  const sources = sourcesOf(value['sources']);
  const commands = commandsOf(value['commands']);
  if (delta === null || bytes === null || sources === null || commands === null) return null;
  return {
    ...emptyReplica(deviceId),
    version,
    exists,
    timestamp,
    revision,
    reported,
    desired,
    reportedMeta,
    desiredMeta,
    delta,
    ...bytes,
    sources,
    commands,
  };
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** True where metadata has the section's own shape. */
function isMetaOf(meta: JsonValue | undefined, section: JsonObject): meta is MetaObject & JsonObject {
  if (!isObject(meta)) return false;
  const keys = Object.keys(section);
  return (
    keys.length === Object.keys(meta).length &&
    keys.every((key) => {
      const value = section[key] as JsonValue;
      const node: MetaNode | JsonValue | undefined = own(meta, key);
      return isObject(value) ? isMetaOf(node, value) : isWhole(node);
    })
  );
}

type Bytes = Pick<Replica, 'reportedBytes' | 'desiredBytes' | 'bytesAtMost' | 'bytesCounted'>;

function bytesOf(value: JsonValue | undefined): Bytes | null {
  if (!Array.isArray(value) || value.length !== 4) return null;
  const [reportedBytes, desiredBytes, atMost, bytesCounted] = value;
  if (!isWhole(reportedBytes) || !isWhole(desiredBytes) || !isWhole(bytesCounted)) return null;
  if (atMost !== null && !isWhole(atMost)) return null;
  return { reportedBytes, desiredBytes, bytesAtMost: atMost ?? Infinity, bytesCounted };
}

function sourcesOf(value: JsonValue | undefined): Map<string, SourceMark> | null {
  if (!Array.isArray(value)) return null;
  const sources = new Map<string, SourceMark>();
  for (const entry of value) {
    if (!Array.isArray(entry)) return null;
    const [key, mark] = entry;
    if (typeof key !== 'string' || !isObject(mark) || !isMark(mark)) return null;
    sources.set(key, mark);
  }
  return sources;
}

function isMark(mark: JsonObject): mark is JsonObject & SourceMark {
  return (
    typeof mark['fingerprint'] === 'string' &&
    typeof mark['log'] === 'string' &&
    MARK_NUMBERS.every((name) => isWhole(mark[name]))
  );
}

/** Undefined: there are none. Null: not understood. */
function commandsOf(value: JsonValue | undefined): Map<string, string> | undefined | null {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) return null;
  const commands = new Map<string, string>();
  for (const entry of value) {
    if (!Array.isArray(entry)) return null;
    const [messageId, fingerprint] = entry;
    if (typeof messageId !== 'string' || typeof fingerprint !== 'string') return null;
    commands.set(messageId, fingerprint);
  }
  return commands;
}
