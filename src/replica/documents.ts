/**
 * The documents that go out, as JSON text. Their shapes are the wire contract; the same events on the same state give
 * the same text, so that an answer that is sent again is the same answer.
 */
import { type Refusal } from './commands.js';
import { type ReplicaEvent, type SectionChanged, type SectionName, sectionOf } from './events.js';
import { type Changed } from './evolve.js';
import { isEmpty } from './json.js';
import { metadataText } from './metadata-text.js';
import { type MetaObject, type Replica } from './replica.js';

const SECTIONS: readonly SectionName[] = ['reported', 'desired'];

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

/** `{"a":…,"b":…}` */
function members(parts: readonly (readonly [name: string, json: string])[]): string {
  let text = '';
  for (const [name, json] of parts) text += `${text === '' ? '{' : ','}"${name}":${json}`;
  return text === '' ? '{}' : `${text}}`;
}

/** The answer to an accepted update: the request's own sections and keys, each leaf with the update's time. */
export function acceptedDocument(events: readonly SectionChanged[]): string {
  const first = events[0];
  if (first === undefined) throw new Error('An accepted update has at least one event');
  if (first.scope === 'none') return `{"state":{},"metadata":{},${ending(first)}`;
  if (first.scope === 'all') return `{"state":null,"metadata":${leaf(first.timestamp)},${ending(first)}`;
  const state: [string, string][] = [];
  const metadata: [string, string][] = [];
  for (const event of events) {
    const name = sectionOf(event);
    state.push([name, event.stateJson ?? JSON.stringify(event.state)]);
    metadata.push([name, metadataText(event.state, event.timestamp)]);
  }
  return `{"state":${members(state)},"metadata":${members(metadata)},${ending(first)}`;
}

/** All that is outstanding now, and what this update changed. */
export function deltaDocument(replica: Replica, changed: Changed, stamp: Stamp): string {
  return `{"state":${JSON.stringify(replica.delta)},"changed":${JSON.stringify(changed)},"metadata":${metadataText(replica.delta, replica.desiredMeta)},${ending(stamp)}`;
}

/** All that is outstanding now, for one who asks; null where nothing is. */
export function currentDelta(replica: Replica, timestamp: number): string | null {
  if (isEmpty(replica.delta)) return null;
  return `{"state":${JSON.stringify(replica.delta)},"metadata":${metadataText(replica.delta, replica.desiredMeta)},${ending({ version: replica.version, timestamp })}`;
}

/** True where an update is followed by a delta message: it leaves a difference, or it changed a value. */
export function sendsDelta(replica: Replica, changed: Changed): boolean {
  return !isEmpty(replica.delta) || !isEmpty(changed);
}

/** State, metadata and version of a replica at one moment; `null` where it does not exist. */
export function snapshotDocument(replica: Replica): string {
  if (!replica.exists) return 'null';
  const state: [string, string][] = [];
  const metadata: [string, string][] = [];
  for (const name of SECTIONS) {
    if (isEmpty(replica[name])) continue;
    state.push([name, JSON.stringify(replica[name])]);
    metadata.push([name, metadataText(replica[name], metaOf(replica, name))]);
  }
  return `{"state":${members(state)},"metadata":${members(metadata)},"version":${replica.version}}`;
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
  const state: [string, string][] = [];
  const metadata: [string, string][] = [];
  for (const name of ['desired', 'reported'] as const) {
    if (isEmpty(replica[name])) continue;
    state.push([name, JSON.stringify(replica[name])]);
    metadata.push([name, metadataText(replica[name], metaOf(replica, name))]);
  }
  if (!isEmpty(replica.delta)) {
    state.push(['delta', JSON.stringify(replica.delta)]);
    metadata.push(['delta', metadataText(replica.delta, replica.desiredMeta)]);
  }
  return `{"state":${members(state)},"metadata":${members(metadata)},"version":${replica.version},"timestamp":`;
}

/** The answer to an accepted delete. */
export function deletedDocument(event: ReplicaEvent): string {
  return `{${ending(event)}`;
}

/** The answer to a refused command. */
export function rejectedDocument(refusal: Refusal, timestamp: number, clientToken?: string): string {
  return `{"code":${refusal.code},"message":${JSON.stringify(refusal.message)},${timeAndToken(timestamp, clientToken)}`;
}

function metaOf(replica: Replica, name: SectionName): MetaObject {
  return name === 'reported' ? replica.reportedMeta : replica.desiredMeta;
}
