/**
 * The documents that go out, as JSON text. Their shapes are the wire contract; the same events on the same state give
 * the same text, so that an answer that is sent again is the same answer.
 */
import { type Refusal } from './commands.js';
import { type ReplicaEvent, type SectionChanged, type SectionName, sectionOf } from './events.js';
import { type Changed } from './evolve.js';
import { isEmpty } from './json.js';
import { begin, endText, put, putMetadata } from './json-writer.js';
import { type MetaObject, type Replica } from './replica.js';

/** What a document tells of a replica. */
type Part = SectionName | 'delta';

const SECTIONS: readonly Part[] = ['reported', 'desired'];
const PARTS: readonly Part[] = ['desired', 'reported', 'delta'];

export interface Stamp {
  readonly version: number;
  readonly timestamp: number;
  readonly clientToken?: string;
}

function ending(stamp: Stamp): string {
  return `"version":${stamp.version},${timeAndToken(stamp.timestamp, stamp.clientToken)}`;
}

function timeAndToken(timestamp: number, clientToken: string | undefined): string {
  return `"timestamp":${timestamp}${tokenMember(clientToken)}}`;
}

function tokenMember(clientToken: string | undefined): string {
  return clientToken === undefined ? '' : `,"clientToken":${JSON.stringify(clientToken)}`;
}

/** One leaf's metadata. */
function leaf(timestamp: number): string {
  return `{"timestamp":${timestamp}}`;
}

/**
 * Writes `{"a":…,"b":…}`.
 *
 * @param count members before this one
 */
function putName(count: number, name: Part): void {
  put(count === 0 ? '{"' : ',"');
  put(name);
  put('":');
}

function putClosing(count: number): void {
  put(count === 0 ? '{}' : '}');
}

/** The answer to an accepted update: the request's own sections and keys, each leaf with the update's time. */
export function acceptedDocument(events: readonly SectionChanged[]): string {
  const first = events[0];
  if (first === undefined) throw new Error('An accepted update has at least one event');
  if (first.scope === 'none') return `{"state":{},"metadata":{},${ending(first)}`;
  if (first.scope === 'all') return `{"state":null,"metadata":${leaf(first.timestamp)},${ending(first)}`;
  begin();
  put('{"state":');
  let count = 0;
  for (const event of events) {
    putName(count++, sectionOf(event));
    put(event.stateJson ?? JSON.stringify(event.state));
  }
  put('},"metadata":');
  count = 0;
  for (const event of events) {
    putName(count++, sectionOf(event));
    putMetadata(event.state, event.timestamp);
  }
  put('},');
  put(ending(first));
  return endText();
}

/** All that is outstanding now, and what this update changed. */
export function deltaDocument(replica: Replica, changed: Changed, stamp: Stamp): string {
  begin();
  put('{"state":');
  put(JSON.stringify(replica.delta));
  put(',"changed":');
  put(JSON.stringify(changed));
  return endOfDelta(replica, stamp);
}

/** All that is outstanding now, for one who asks; null where nothing is. */
export function currentDelta(replica: Replica, timestamp: number): string | null {
  if (isEmpty(replica.delta)) return null;
  begin();
  put('{"state":');
  put(JSON.stringify(replica.delta));
  return endOfDelta(replica, { version: replica.version, timestamp });
}

function endOfDelta(replica: Replica, stamp: Stamp): string {
  put(',"metadata":');
  putMetadata(replica.delta, replica.desiredMeta);
  put(',');
  put(ending(stamp));
  return endText();
}

/** True where an update is followed by a delta message: it leaves a difference, or it changed a value. */
export function sendsDelta(replica: Replica, changed: Changed): boolean {
  return !isEmpty(replica.delta) || !isEmpty(changed);
}

/** State, metadata and version of a replica at one moment; `null` where it does not exist. */
export function snapshotDocument(replica: Replica): string {
  if (!replica.exists) return 'null';
  begin();
  putState(replica, SECTIONS);
  put(`,"version":${replica.version}}`);
  return endText();
}

/** @param previous @param current as `snapshotDocument` gives them, before and after the update */
export function documentsDocument(
  previous: string,
  current: string,
  event: { readonly timestamp: number; readonly clientToken?: string },
): string {
  return `{"previous":${previous},"current":${current},${timeAndToken(event.timestamp, event.clientToken)}`;
}

/** The answer to a get. The replica exists. */
export function getDocument(replica: Replica, timestamp: number, clientToken?: string): string {
  return `${getDocumentHead(replica)}${timestamp}${tokenMember(clientToken)}}`;
}

/** The answer to a get up to the value of its timestamp: all of it that changes with the replica alone. */
export function getDocumentHead(replica: Replica): string {
  begin();
  putState(replica, PARTS);
  put(`,"version":${replica.version},"timestamp":`);
  return endText();
}

/** `{"state":{…},"metadata":{…}`: those of the parts that are not empty. */
function putState(replica: Replica, parts: readonly Part[]): void {
  const names = parts.filter((name) => !isEmpty(replica[name]));
  put('{"state":');
  names.forEach((name, index) => {
    putName(index, name);
    put(JSON.stringify(replica[name]));
  });
  putClosing(names.length);
  put(',"metadata":');
  names.forEach((name, index) => {
    putName(index, name);
    putMetadata(replica[name], metaOf(replica, name));
  });
  putClosing(names.length);
}

/** The answer to an accepted delete. */
export function deletedDocument(event: ReplicaEvent): string {
  return `{${ending(event)}`;
}

/** The answer to a refused command. */
export function rejectedDocument(refusal: Refusal, timestamp: number, clientToken?: string): string {
  return `{"code":${refusal.code},"message":${JSON.stringify(refusal.message)},${timeAndToken(timestamp, clientToken)}`;
}

function metaOf(replica: Replica, name: Part): MetaObject {
  return name === 'reported' ? replica.reportedMeta : replica.desiredMeta;
}
