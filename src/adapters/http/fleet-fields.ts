import { type StatePath } from '../../application/fleet-filter.js';
import { answer, type Answer, refuse } from '../../application/moments.js';
import { parseStatePath, splitList } from '../../application/parse-fleet-filter.js';
import { type ListedRow } from '../../application/ports/read-model.js';
import { isEmpty, isObject, type JsonObject, type JsonValue, own } from '../../replica/json.js';
import { decodeSnapshot } from '../../replica/snapshot.js';

/** At the most so many in one query. */
const MAX_FIELDS = 50;

const NAMES = [
  'deviceId',
  'version',
  'lastReported',
  'lastDesired',
  'inSync',
  'since',
  'outstanding',
  'connected',
  'connectedSince',
  'disconnectedSince',
  'broken',
] as const;

/** Something that is shown of a device. */
export type Column =
  | { readonly kind: 'field'; readonly name: (typeof NAMES)[number] }
  | { readonly kind: 'state'; readonly path: StatePath };

/** Null: none was sent. Refuses with 400 what is neither a field nor a place in a state. */
export function readFields(text: string | undefined): Answer<readonly Column[] | null> {
  if (text === undefined) return answer(null);
  const parts = splitList(text);
  if (parts.length > MAX_FIELDS) return refuse(400, `Invalid fields: more than ${MAX_FIELDS}`);
  const columns: Column[] = [];
  for (const part of parts) {
    const name = NAMES.find((known) => known === part);
    if (name !== undefined) {
      columns.push({ kind: 'field', name });
      continue;
    }
    const path = parseStatePath(`fields ('${part}')`, part);
    if (!path.ok) {
      return refuse(400, `${path.refusal.message}. There are ${NAMES.join(', ')}, and places in a state`);
    }
    columns.push({ kind: 'state', path: path.value });
  }
  return answer(columns);
}

export type Shown = Record<string, unknown>;

/**
 * A device as it is answered: what was asked for, its id always, and why it is broken where it is. State values stand
 * under `state`, where they stand in a state; what a device does not have is left out.
 */
export function shownDevice(row: ListedRow, columns: readonly Column[] | null): Shown {
  const { deviceId, version, lastReported, lastDesired, status, since, outstanding, broken } = row;
  const inSync = status === 'broken' ? null : status === 'in-sync';
  const { connectedSince, disconnectedSince } = row;
  const connected = connectedSince !== null ? true : disconnectedSince !== null ? false : null;
  const presence = { connected, connectedSince, disconnectedSince };
  const rest = broken === null ? {} : { broken };
  const index = { deviceId, version, lastReported, lastDesired, inSync, since, outstanding };
  const all: Shown = { ...index, ...presence, ...rest };
  if (columns === null) return all;
  const shown: Shown = { deviceId };
  for (const column of columns) {
    if (column.kind === 'field' && column.name in all) shown[column.name] = all[column.name];
  }
  Object.assign(shown, rest);
  const paths = columns.flatMap((column) => (column.kind === 'state' ? [column.path] : []));
  if (paths.length > 0) shown['state'] = stateOf(row, paths);
  return shown;
}

function stateOf({ text = '', deviceId }: ListedRow, paths: readonly StatePath[]): JsonObject {
  const replica = decodeSnapshot(text, deviceId);
  const state: JsonObject = {};
  if (replica === null) return state;
  for (const { section, keys } of paths) {
    let value: JsonValue | undefined = isEmpty(replica[section]) ? undefined : replica[section];
    for (const key of keys) value = isObject(value) ? own(value, key) : undefined;
    if (value !== undefined) put(state, [section, ...keys], value);
  }
  return state;
}

/** One place may be in another one: then the larger value has it already, or takes it in. */
function put(target: JsonObject, [key = '', ...below]: readonly string[], value: JsonValue): void {
  if (below.length === 0) {
    define(target, key, value);
    return;
  }
  const inner = own(target, key);
  const node = isObject(inner) ? { ...inner } : {};
  define(target, key, node);
  put(node, below, value);
}

/** As an own property, whatever its name. */
function define(target: JsonObject, key: string, value: JsonValue): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}
