import { isEmpty, jsonBytes, type JsonObject } from './json.js';
import {
  type Origin,
  type ReplicaEvent,
  type SectionChanged,
  type SectionName,
  sectionOf,
} from './events.js';
import { merge } from './merge.js';
import { refreshDelta } from './delta.js';
import { REMEMBERED_COMMANDS, type Replica, type SourceMark } from './replica.js';

/** What an update really changed, as merge patches: null where removed, absent where nothing did. */
export type Changed = Partial<Record<SectionName, JsonObject | null>>;

/**
 * Folds one event into a replica, in place, and returns it.
 *
 * @param revision the event's revision in its stream
 * @param changed filled with what the event changed; null: not wanted (a fold of the past)
 */
export function evolve(
  replica: Replica,
  event: ReplicaEvent,
  origin: Origin,
  revision: number,
  changed: Changed | null = null,
): Replica {
  evolveState(replica, event, revision, changed);
  remember(replica, origin);
  return replica;
}

/** As {@link evolve}, without what recognises commands: for who only shows states. */
export function evolveState(
  replica: Replica,
  event: ReplicaEvent,
  revision: number,
  changed: Changed | null,
): void {
  switch (event.type) {
    case 'ReportedStateChanged':
    case 'DesiredStateChanged':
      changeSection(replica, event, changed);
      replica.bytesAtMost = event.bytesAtMost ?? Infinity;
      replica.exists = true;
      break;
    case 'ReplicaDeleted':
      replica.reported = {};
      replica.desired = {};
      replica.reportedMeta = {};
      replica.desiredMeta = {};
      replica.delta = {};
      replica.reportedBytes = 0;
      replica.desiredBytes = 0;
      replica.bytesAtMost = 0;
      replica.bytesCounted = 0;
      replica.exists = false;
      break;
    default:
      event satisfies never;
  }
  replica.version = event.version;
  replica.timestamp = event.timestamp;
  replica.revision = revision;
}

function changeSection(replica: Replica, event: SectionChanged, changed: Changed | null): void {
  if (event.scope === 'none') return;
  const name = sectionOf(event);
  const bytesKey = name === 'reported' ? 'reportedBytes' : 'desiredBytes';
  if (event.state === null) {
    if (changed && !isEmpty(replica[name])) changed[name] = null;
    replica[name] = {};
    replica[name === 'reported' ? 'reportedMeta' : 'desiredMeta'] = {};
    replica[bytesKey] = 0;
    // Without desired nothing is outstanding; without reported everything is, each node being the desired value itself.
    replica.delta = { ...replica.desired };
    return;
  }
  const change: JsonObject = {};
  merge(
    replica[name],
    name === 'reported' ? replica.reportedMeta : replica.desiredMeta,
    event.state,
    event.timestamp,
    changed && change,
  );
  if (changed && !isEmpty(change)) changed[name] = change;
  replica[bytesKey] = event.bytesAfter ?? -1;
  if (replica.reportedBytes >= 0 && replica.desiredBytes >= 0) {
    replica.bytesCounted = replica.reportedBytes + replica.desiredBytes;
  }
  refreshDelta(replica.delta, replica.desired, replica.reported, event.state);
}

/** Counts what the sections take, after a fold that did not know. */
export function countBytes(replica: Replica): void {
  replica.reportedBytes = isEmpty(replica.reported) ? 0 : jsonBytes(replica.reported);
  replica.desiredBytes = isEmpty(replica.desired) ? 0 : jsonBytes(replica.desired);
  replica.bytesCounted = replica.bytesAtMost = replica.reportedBytes + replica.desiredBytes;
}

/** The key under which a partition's mark is kept. */
export function sourceKey(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

function remember(replica: Replica, origin: Origin): void {
  const { source, fingerprint, messageId } = origin;
  const key = sourceKey(source.topic, source.partition);
  const mark = replica.sources.get(key);
  if (mark === undefined) {
    const first: SourceMark = {
      offset: source.offset,
      timestamp: source.timestamp,
      fingerprint,
      log: source.log,
      maxOffset: source.offset,
      maxTimestamp: source.timestamp,
      priorOffset: -1,
      priorTimestamp: -1,
    };
    replica.sources.set(key, first);
  } else {
    if (source.log !== mark.log) {
      mark.priorOffset = mark.maxOffset;
      mark.priorTimestamp = mark.maxTimestamp;
    }
    // A command may be recorded after a later one of its log: it was refused at first. The later one stays the mark,
    // or what is between them would look new.
    if (source.log !== mark.log || source.offset >= mark.offset) {
      mark.offset = source.offset;
      mark.timestamp = source.timestamp;
      mark.fingerprint = fingerprint;
      mark.log = source.log;
    }
    mark.maxOffset = Math.max(mark.maxOffset, source.offset);
    mark.maxTimestamp = Math.max(mark.maxTimestamp, source.timestamp);
  }
  if (messageId === undefined) return;
  const commands = (replica.commands ??= new Map());
  // Set anew, so that the map's order stays the order of the commands.
  commands.delete(messageId);
  commands.set(messageId, fingerprint);
  if (commands.size > REMEMBERED_COMMANDS) {
    const oldest = commands.keys().next();
    if (!oldest.done) commands.delete(oldest.value);
  }
}
