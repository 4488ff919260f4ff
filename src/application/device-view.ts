import {
  closeLeaves,
  decodeOpenChanges,
  encodeOpenChanges,
  noOpenChanges,
  type OpenChanges,
  openLeaves,
  type Settled,
} from '../replica/convergence.js';
import { type ReplicaEvent } from '../replica/events.js';
import { type Changed, evolveState } from '../replica/evolve.js';
import { isEmpty, isObject, type JsonObject } from '../replica/json.js';
import { emptyReplica, type Replica } from '../replica/replica.js';
import { decodeSnapshot, encodeSnapshot, SNAPSHOT_SCHEMA_VERSION } from '../replica/snapshot.js';
import { type DeviceRow, type DeviceStatus } from './ports/read-model.js';

/** Raised whenever the fields below, or what is counted beside them, come to mean something else; with that of the replica's text it is {@link VIEW_SCHEMA_VERSION}. */
const FIELDS_VERSION = 2;

/** What the rows mean. A generation of another version is not gone on with: a new one is built beside it. */
export const VIEW_SCHEMA_VERSION = FIELDS_VERSION * 1000 + SNAPSHOT_SCHEMA_VERSION;

/** A device as the read model shows it, on its way from event to event. Changed in place by its one holder. */
export interface DeviceView {
  readonly replica: Replica;
  lastReported: number | null;
  lastDesired: number | null;
  inSync: boolean;
  since: number;
  sinceVersion: number;
  priorSince: number;
  broken: string | null;
  /** Null: none, which costs nothing to fold on. */
  open: OpenChanges | null;
}

export function emptyView(deviceId: string): DeviceView {
  const replica = emptyReplica(deviceId);
  return { replica, ...NEVER, broken: null, open: null };
}

/** A device before its first event, and after a delete. */
const NEVER = {
  lastReported: null,
  lastDesired: null,
  inSync: true,
  since: 0,
  sinceVersion: 0,
  priorSince: 0,
};

/**
 * Folds one event into the view, in place. The view is not broken, and the event is the next one of its device.
 *
 * @returns the desired changes that are settled by it
 */
export function evolveView(view: DeviceView, event: ReplicaEvent, revision: number): readonly Settled[] {
  const { replica } = view;
  const existed = replica.exists;
  const changed: Changed | null = event.type === 'DesiredStateChanged' ? {} : null;
  // What recognises commands is of no use to readers, and would be most of the row.
  evolveState(replica, event, revision, changed);
  const settled = converge(view, event, changed);
  if (event.type === 'ReplicaDeleted') {
    Object.assign(view, NEVER);
    view.since = event.timestamp;
    return settled;
  }
  if (!existed) view.since = event.timestamp;
  if (event.scope !== 'none') {
    if (event.type === 'ReportedStateChanged') view.lastReported = event.timestamp;
    else view.lastDesired = event.timestamp;
  }
  const inSync = isEmpty(replica.delta);
  if (inSync === view.inSync) return settled;
  view.inSync = inSync;
  // The second event of an update may take back what the first one did: together they changed nothing.
  const takesBack = view.sinceVersion === event.version;
  const before = view.since;
  view.since = takesBack ? view.priorSince : event.timestamp;
  view.priorSince = before;
  view.sinceVersion = event.version;
  return settled;
}

const NONE: readonly Settled[] = [];

function converge(view: DeviceView, event: ReplicaEvent, changed: Changed | null): readonly Settled[] {
  if (view.open === null && changed?.desired === undefined) return NONE;
  const open = (view.open ??= noOpenChanges());
  const { delta } = view.replica;
  const settled = closeLeaves(open, event, changed ?? {}, delta);
  const atOnce = openLeaves(open, event, changed ?? {}, delta);
  if (open.changes.size === 0) view.open = null;
  return atOnce === null ? settled : [...settled, atOnce];
}

export function rowOfView(view: DeviceView): DeviceRow {
  const { replica, lastReported, lastDesired, since, sinceVersion, priorSince, broken } = view;
  const { deviceId, revision, version } = replica;
  return {
    deviceId,
    revision,
    version,
    status: statusOf(view),
    lastReported,
    lastDesired,
    since,
    sinceVersion,
    priorSince,
    outstanding: leavesOf(replica.delta),
    openCount: view.open?.changes.size ?? 0,
    open: view.open === null ? null : encodeOpenChanges(view.open),
    broken,
    text: encodeSnapshot(replica),
  };
}

/** Null where the row's text is not one that this version wrote. */
export function viewOfRow(row: DeviceRow): DeviceView | null {
  const replica = decodeSnapshot(row.text, row.deviceId);
  if (replica === null || replica.revision !== row.revision) return null;
  const open = row.open === null ? null : decodeOpenChanges(row.open);
  if (open === null && row.open !== null) return null;
  const { lastReported, lastDesired, since, sinceVersion, priorSince, broken } = row;
  const inSync = isEmpty(replica.delta);
  return { replica, lastReported, lastDesired, inSync, since, sinceVersion, priorSince, broken, open };
}

function statusOf({ replica, inSync, broken }: DeviceView): DeviceStatus {
  if (broken !== null) return 'broken';
  if (!replica.exists) return 'deleted';
  return inSync ? 'in-sync' : 'not-in-sync';
}

/** An array and an empty object are one leaf each. */
function leavesOf(delta: JsonObject): number {
  let count = 0;
  for (const key of Object.keys(delta)) {
    const value = delta[key];
    count += isObject(value) && !isEmpty(value) ? leavesOf(value) : 1;
  }
  return count;
}
