/** What a fleet query must answer, said plainly: over all rows in memory, value by value. */
import {
  type FleetFilter,
  type Operand,
  type Scalar,
  type StatePath,
} from '../../src/application/fleet-filter.js';
import {
  type DeviceRow,
  type FleetPlace,
  type FleetQuery,
  type ListedRow,
} from '../../src/application/ports/read-model.js';
import { diff } from '../../src/replica/delta.js';
import { isEmpty, isObject, type JsonObject, type JsonValue, own } from '../../src/replica/json.js';

/** A row with the presence of its device. */
export type OracleRow = DeviceRow & ListedRow;

/** A device with the sections that its row's text holds. */
export interface OracleDevice {
  readonly row: OracleRow;
  readonly reported: JsonObject;
  readonly desired: JsonObject;
}

export function bytesBefore(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export function selected(devices: readonly OracleDevice[], query: Omit<FleetQuery, 'limit'>): OracleRow[] {
  const { inSync, connected, prefix = '', reportedSince, desiredSince, updatedSince, filter } = query;
  const isSince = (time: number | null, since: number | undefined): boolean =>
    since === undefined || (time !== null && time >= since);
  return devices
    .filter((device) => {
      const { deviceId, status, lastReported, lastDesired } = device.row;
      if (status === 'deleted' || !deviceId.startsWith(prefix)) return false;
      if (inSync !== undefined && status !== (inSync ? 'in-sync' : 'not-in-sync')) return false;
      const known = connected === false ? device.row.disconnectedSince : device.row.connectedSince;
      if (connected !== undefined && known === null) return false;
      if (!isSince(lastReported, reportedSince) || !isSince(lastDesired, desiredSince)) return false;
      if (!isSince(lastReported, updatedSince) && !isSince(lastDesired, updatedSince)) return false;
      return filter === undefined || holds(filter, device);
    })
    .map(({ row }) => row)
    .sort((a, b) => inOrder(placeOf(a, query), placeOf(b, query), query));
}

export function placeOf(row: ListedRow, { sort }: Pick<FleetQuery, 'sort'>): FleetPlace {
  const by = sort?.by ?? 'deviceId';
  return { value: by === 'deviceId' ? null : row[by], deviceId: row.deviceId };
}

export function inOrder(a: FleetPlace, b: FleetPlace, { sort }: Pick<FleetQuery, 'sort'>): number {
  const sign = sort?.descending === true ? -1 : 1;
  const byId = bytesBefore(a.deviceId, b.deviceId);
  if ((sort?.by ?? 'deviceId') === 'deviceId') return sign * byId;
  if (a.value === b.value) return byId;
  if (a.value === null) return 1;
  return b.value === null ? -1 : sign * (a.value - b.value);
}

export function holds(filter: FleetFilter, device: OracleDevice): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.terms.every((term) => holds(term, device));
    case 'or':
      return filter.terms.some((term) => holds(term, device));
    case 'not':
      return !holds(filter.term, device);
    case 'exists':
      return valueOf(filter.operand, device) !== undefined;
    case 'in':
      return filter.values.some((value) => valueOf(filter.operand, device) === value);
    case 'compare':
      return compares(valueOf(filter.operand, device), filter.op, filter.value);
    default:
      return filter satisfies never;
  }
}

function compares(value: JsonValue | undefined, op: string, literal: Scalar): boolean {
  if (typeof value !== typeof literal) return false;
  if (op === '==') return value === literal;
  if (typeof literal === 'boolean') return false;
  const order =
    typeof literal === 'string' ? bytesBefore(value as string, literal) : (value as number) - literal;
  return { '<': order < 0, '<=': order <= 0, '>': order > 0, '>=': order >= 0 }[op] as boolean;
}

function valueOf(operand: Operand, device: OracleDevice): JsonValue | undefined {
  return operand.kind === 'field' ? (device.row[operand.field] ?? undefined) : stateAt(operand.path, device);
}

export function stateAt({ section, keys }: StatePath, device: OracleDevice): JsonValue | undefined {
  const { reported, desired } = device;
  let value: JsonValue | undefined = { reported, desired, delta: diff(desired, reported) }[section];
  if (keys.length === 0) return isEmpty(value) ? undefined : value;
  for (const key of keys) value = isObject(value) ? own(value, key) : undefined;
  return value;
}
