import { createHash } from 'node:crypto';
import { FLEET_FIELDS } from '../../application/fleet-filter.js';
import { answer, type Answer, parseTime, refuse } from '../../application/moments.js';
import { parseFleetFilter } from '../../application/parse-fleet-filter.js';
import {
  type FleetPlace,
  type FleetQuery,
  type FleetSelection,
  type FleetSort,
} from '../../application/ports/read-model.js';
import { isIdPrefix, isReplicaId } from '../../replica/limits.js';
import { type Column, readFields } from './fleet-fields.js';

/** What was sent for each name; several times: an array. */
export type Sent = Readonly<Record<string, unknown>>;

export const DEFAULT_LIMIT = 100;
export const MAX_LIMIT = 1000;

const FLAGS = ['inSync', 'connected'] as const;
const TIMES = ['reportedSince', 'desiredSince', 'updatedSince'] as const;
const SELECTION = ['prefix', ...FLAGS, ...TIMES, 'filter'] as const;
const LIST = [...SELECTION, 'sort', 'fields', 'limit', 'cursor'] as const;
const SORTS = ['deviceId', ...FLEET_FIELDS] as const;

export interface FleetRequest {
  readonly query: FleetQuery;
  /** What of each device is asked for; null: the usual. */
  readonly columns: readonly Column[] | null;
  /** The cursor of the page that goes on after this place. */
  readonly cursorAt: (place: FleetPlace) => string;
}

/** The question of `GET /fleet`. Refuses with 400 what cannot be understood. */
export function readFleetRequest(sent: Sent): Answer<FleetRequest> {
  const given = readNames(sent, LIST);
  if (!given.ok) return given;
  const selection = readSelection(given.value);
  if (!selection.ok) return selection;
  const sort = readSort(given.value['sort']);
  if (!sort.ok) return sort;
  const columns = readFields(given.value['fields']);
  if (!columns.ok) return columns;
  const limit = readLimit(given.value['limit']);
  if (!limit.ok) return limit;
  const key = keyOf(selection.value, sort.value);
  const after = readCursor(given.value['cursor'], key, sort.value);
  if (!after.ok) return after;
  const withText = columns.value?.some(({ kind }) => kind === 'state') === true;
  return answer({
    query: {
      ...selection.value,
      sort: sort.value,
      limit: limit.value,
      ...(after.value === null ? {} : { after: after.value }),
      ...(withText ? { withText } : {}),
    },
    columns: columns.value,
    cursorAt: ({ value, deviceId }) =>
      Buffer.from(JSON.stringify([key, value, deviceId])).toString('base64url'),
  });
}

/** The question of `GET /fleet/count`. */
export function readFleetSelection(sent: Sent): Answer<FleetSelection> {
  const given = readNames(sent, SELECTION);
  return given.ok ? readSelection(given.value) : given;
}

type Given = Readonly<Record<string, string | undefined>>;

/** A parameter that is not known is refused: to leave it out would answer another question than was asked. */
function readNames(sent: Sent, known: readonly string[]): Answer<Given> {
  for (const [name, value] of Object.entries(sent)) {
    if (!known.includes(name)) {
      return refuse(400, `Unknown parameter: '${name}'; there are ${known.join(', ')}`);
    }
    if (typeof value !== 'string') return refuse(400, `Parameter given more than once: '${name}'`);
  }
  return answer(sent as Given);
}

function readSelection(given: Given): Answer<FleetSelection> {
  const { prefix, filter } = given;
  const flags: Record<string, boolean> = {};
  for (const name of FLAGS) {
    const text = given[name];
    if (text === undefined) continue;
    if (text !== 'true' && text !== 'false') return refuse(400, `Invalid ${name}: must be true or false`);
    flags[name] = text === 'true';
  }
  if (prefix !== undefined && prefix !== '' && !isIdPrefix(prefix)) {
    return refuse(400, 'Invalid prefix: of [A-Za-z0-9:._/-], as ids are');
  }
  const times: Record<string, number> = {};
  for (const name of TIMES) {
    const text = given[name];
    if (text === undefined) continue;
    const time = parseTime(text);
    if (time === null) {
      return refuse(
        400,
        `Invalid ${name}: a time in ISO 8601 with its zone, such as 2026-05-01T12:00:00Z, or in milliseconds since the epoch`,
      );
    }
    times[name] = time;
  }
  const parsed = filter === undefined ? null : parseFleetFilter(filter);
  if (parsed?.ok === false) return parsed;
  return answer({
    ...flags,
    ...(prefix === undefined || prefix === '' ? {} : { prefix }),
    ...times,
    ...(parsed === null ? {} : { filter: parsed.value }),
  });
}

function readSort(text = 'deviceId'): Answer<FleetSort> {
  const descending = text.startsWith('-');
  const by = SORTS.find((name) => name === text.slice(descending ? 1 : 0));
  if (by !== undefined) return answer({ by, descending });
  return refuse(400, `Invalid sort: one of ${SORTS.join(', ')}, with a - before it for the reverse order`);
}

function readLimit(text: string | undefined): Answer<number> {
  const limit = text === undefined ? DEFAULT_LIMIT : /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_LIMIT) return answer(limit);
  return refuse(400, `Invalid limit: must be 1 to ${MAX_LIMIT}`);
}

/** What a cursor belongs to: whom the query means, and in which order. Fields and limit may change between pages. */
function keyOf(selection: FleetSelection, sort: FleetSort): string {
  const text = JSON.stringify([selection, sort]);
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}

/** Opaque to clients. Null: none was sent. */
function readCursor(text: string | undefined, key: string, { by }: FleetSort): Answer<FleetPlace | null> {
  if (text === undefined) return answer(null);
  const [itsKey, value, deviceId, ...rest] = arrayOf(text);
  const isPlace =
    typeof itsKey === 'string' &&
    typeof deviceId === 'string' &&
    isReplicaId(deviceId) &&
    (value === null || (by !== 'deviceId' && Number.isSafeInteger(value))) &&
    rest.length === 0;
  if (isPlace && itsKey !== key) {
    return refuse(400, 'Invalid cursor: it belongs to a query with another sort or other filters');
  }
  if (!isPlace) return refuse(400, 'Invalid cursor: send that of the page before as it is');
  return answer({ value: value as number | null, deviceId });
}

function arrayOf(cursor: string): unknown[] {
  try {
    const value = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown;
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
