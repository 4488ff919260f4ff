/** How rows and checkpoints are stored, the same in every database. */
import { type Presence, type PresenceEnd } from '../../application/ports/presence.js';
import {
  type Checkpoint,
  type DeviceRow,
  type DeviceStatus,
  type Generation,
  type ListedRow,
  type Proof,
  ReadModelError,
} from '../../application/ports/read-model.js';

/** Arrays cost half of what objects cost to read. */
export type StoredRow = readonly [
  deviceId: string,
  revision: number,
  version: number,
  status: number,
  lastReported: number | null,
  lastDesired: number | null,
  since: number,
  sinceVersion: number,
  priorSince: number,
  outstanding: number,
  openCount: number,
  open: string | null,
  broken: string | null,
  text: string,
];

/** The columns of a {@link StoredRow} but the last one, in their order. */
export const SMALL_COLUMNS =
  'device_id, revision, version, status, last_reported, last_desired, since, since_version, prior_since, outstanding, open_count, open_changes, broken';

/** A status is stored as its place here; the lists count on it. */
const STATUSES: readonly DeviceStatus[] = ['not-in-sync', 'in-sync', 'broken', 'deleted'];

/** What a list shows of a row. */
export type StoredListedRow = readonly [
  deviceId: string,
  version: number,
  status: number,
  lastReported: number | null,
  lastDesired: number | null,
  since: number,
  outstanding: number,
  broken: string | null,
  connectedSince: number | null,
  disconnectedSince: number | null,
  text: string | null,
];

/** The columns of a {@link StoredListedRow} but the last one, in their order. */
export const LISTED_COLUMNS =
  'device_id, version, status, last_reported, last_desired, since, outstanding, broken, connected_since, disconnected_since';

export function listedOf(row: StoredListedRow): ListedRow {
  const [deviceId, version, status, lastReported, lastDesired, since, outstanding, broken] = row;
  const [, , , , , , , , connectedSince, disconnectedSince, text] = row;
  return {
    deviceId,
    version,
    status: statusAt(status),
    lastReported,
    lastDesired,
    since,
    outstanding,
    broken,
    connectedSince,
    disconnectedSince,
    ...(text === null ? {} : { text }),
  };
}

export function statusNumber(status: DeviceStatus): number {
  return STATUSES.indexOf(status);
}

function statusAt(number: number): DeviceStatus {
  return STATUSES[number] ?? 'broken';
}

export function storedOf(row: DeviceRow): StoredRow {
  return [
    row.deviceId,
    row.revision,
    row.version,
    statusNumber(row.status),
    row.lastReported,
    row.lastDesired,
    row.since,
    row.sinceVersion,
    row.priorSince,
    row.outstanding,
    row.openCount,
    row.open,
    row.broken,
    row.text,
  ];
}

export function rowOf(row: StoredRow): DeviceRow {
  const [deviceId, revision, version, status, lastReported, lastDesired] = row;
  const [, , , , , , since, sinceVersion, priorSince, outstanding, openCount, open, broken, text] = row;
  return {
    deviceId,
    revision,
    version,
    status: statusAt(status),
    lastReported,
    lastDesired,
    since,
    sinceVersion,
    priorSince,
    outstanding,
    openCount,
    open,
    broken,
    text,
  };
}

export type StoredPresence = readonly [
  connectedSince: number | null,
  disconnectedSince: number | null,
  clientId: string | null,
  ended: PresenceEnd | null,
  /** SQLite has no booleans. */
  will: boolean | 0 | 1,
];

/** The columns of a {@link StoredPresence}, in their order. */
export const PRESENCE_COLUMNS = 'connected_since, disconnected_since, client_id, ended, will';

export function storedPresence({ connected, since, clientId, ended, will }: Presence): StoredPresence {
  return [connected ? since : null, connected ? null : since, clientId, ended, will ? 1 : 0];
}

export function presenceOf([
  connectedSince,
  disconnectedSince,
  clientId,
  ended,
  will,
]: StoredPresence): Presence {
  const since = connectedSince ?? disconnectedSince ?? 0;
  return { connected: connectedSince !== null, since, clientId, ended, will: Boolean(will) };
}

/** The device that a replica is of: itself, or the one that it is a named replica of. */
export function deviceOf(replicaId: string): string {
  return replicaId.split('/', 1)[0] ?? '';
}

/** Null where there is no proof. */
export function proofText({ proof }: Checkpoint): string | null {
  return proof === null ? null : JSON.stringify({ ...proof, position: String(proof.position) });
}

export function checkpointOf(position: string | null, proof: string | null): Checkpoint | null {
  return position === null
    ? null
    : { position: BigInt(position), proof: proof === null ? null : proofOf(proof) };
}

function proofOf(text: string): Proof {
  const { stream, revision, id, position } = JSON.parse(text) as Omit<Proof, 'position'> & {
    position: string;
  };
  return { stream, revision, id, position: BigInt(position) };
}

/** Whether the generation may be made the active one: see `activate`. */
export function mayReplace(
  active: Generation | undefined,
  next: Generation,
  instead: number | null | undefined,
): boolean {
  if (instead !== undefined) return (active?.id ?? null) === instead;
  return (active?.checkpoint?.position ?? -1n) <= (next.checkpoint?.position ?? -1n);
}

export function superseded(id: number): ReadModelError {
  return new ReadModelError('superseded', `Generation ${id} of the read model was taken over or given up`);
}
