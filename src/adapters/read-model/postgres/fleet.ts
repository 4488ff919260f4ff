import { type FleetField, NULLABLE_FIELDS } from '../../../application/fleet-filter.js';
import {
  type FleetPlace,
  type FleetQuery,
  type FleetSelection,
  type FleetSort,
} from '../../../application/ports/read-model.js';
import { LISTED_COLUMNS } from '../stored.js';
import { type Query } from './database.js';
import { COLUMNS, conditionSql, type Parameters, parameters } from './filter-sql.js';

/** The active generation, of which each question is. In one statement with the rows, so of one moment with them. */
export const SHOWN = '(SELECT id, position FROM replica_generations WHERE status = 1) AS shown';

/** The replicas with the presence of their devices. */
const DEVICES = "replica_devices LEFT JOIN replica_presence ON device = split_part(device_id, '/', 1)";

/** Where there is a generation and no device. */
export type NoRow = readonly [deviceId: null];

/** A row of nulls after the position where there is no device. */
export function listQuery({ sort, after, limit, withText = false, ...selection }: FleetQuery): Query {
  const values: Parameters = parameters();
  const where = `generation = shown.id AND ${selectionSql(selection, values)}`;
  const columns = `${LISTED_COLUMNS}, ${withText ? 'replica' : 'NULL::text'}`;
  const { by, descending }: FleetSort = sort ?? { by: 'deviceId', descending: false };
  const direction = descending ? 'DESC' : 'ASC';
  const count = values.add(limit, 'bigint');
  const branch = (condition: string, order: string): string =>
    `(SELECT ${columns} FROM ${DEVICES} WHERE ${where} AND ${condition} ORDER BY ${order} LIMIT ${count})`;
  let rows: string;
  let order: string;
  if (by === 'deviceId') {
    order = `device_id ${direction}`;
    rows = branch(
      after === undefined
        ? 'true'
        : `device_id ${descending ? '<' : '>'} ${values.add(after.deviceId, 'text')}`,
      order,
    );
  } else {
    const column = COLUMNS[by];
    order = `${column} ${direction} NULLS LAST, device_id`;
    // An index holds nulls at one end alone, so they are read by themselves, after the rest.
    const parts = [
      ...(after?.value === null
        ? []
        : [branch(placeSql(column, descending, after, values), `${column} ${direction}, device_id`)]),
      ...(mayBeNull(by, selection) ? [branch(nullPlaceSql(column, after, values), 'device_id')] : []),
    ];
    rows = parts.length === 0 ? branch('false', 'device_id') : parts.join(' UNION ALL ');
  }
  return {
    text: `
SELECT shown.position::text, page.* FROM ${SHOWN} LEFT JOIN LATERAL (
  SELECT * FROM (${rows}) AS found ORDER BY ${order} LIMIT ${count}
) AS page ON true ORDER BY ${order.replaceAll(/\b(device_id|version|last_\w+|since|outstanding|(?:dis)?connected_since)\b/g, 'page.$1')}`,
    values: values.list,
  };
}

/** Whether there may be devices that have no such value; not of the field that stands for what is asked of presence. */
function mayBeNull(by: FleetField, { connected }: FleetSelection): boolean {
  if (connected !== undefined && by === (connected ? 'connectedSince' : 'disconnectedSince')) return false;
  return NULLABLE_FIELDS.has(by);
}

/** Of those that have a value, the ones strictly after the place. */
function placeSql(
  column: string,
  descending: boolean,
  after: FleetPlace | undefined,
  values: Parameters,
): string {
  if (after === undefined) return `${column} IS NOT NULL`;
  const value = values.add(after.value, 'bigint');
  const deviceId = values.add(after.deviceId, 'text');
  // The first condition is for the index; the second says it exactly.
  const [upTo, beyond] = descending ? ['<=', '<'] : ['>=', '>'];
  return `${column} ${upTo} ${value} AND (${column} ${beyond} ${value} OR device_id > ${deviceId})`;
}

function nullPlaceSql(column: string, after: FleetPlace | undefined, values: Parameters): string {
  const isAmongThem = after !== undefined && after.value === null;
  return isAmongThem
    ? `${column} IS NULL AND device_id > ${values.add(after.deviceId, 'text')}`
    : `${column} IS NULL`;
}

export function countQuery(selection: FleetSelection): Query {
  const values = parameters();
  const of = (status: number): string => `count(*) FILTER (WHERE status = ${status})`;
  return {
    text: `
SELECT shown.position::text, counts.* FROM ${SHOWN} CROSS JOIN LATERAL (
  SELECT ${of(0)}, ${of(1)}, ${of(2)} FROM ${DEVICES}
    WHERE generation = shown.id AND ${selectionSql(selection, values)}
) AS counts`,
    values: values.list,
  };
}

function selectionSql(selection: FleetSelection, values: Parameters): string {
  const { inSync, connected, prefix, reportedSince, desiredSince, updatedSince, filter } = selection;
  const terms = [inSync === undefined ? 'status < 3' : `status = ${inSync ? 1 : 0}`];
  if (prefix !== undefined && prefix !== '') {
    terms.push(`device_id >= ${values.add(prefix, 'text')}`);
    const end = afterPrefix(prefix);
    if (end !== null) terms.push(`device_id < ${values.add(end, 'text')}`);
  }
  if (reportedSince !== undefined) terms.push(`last_reported >= ${values.add(reportedSince, 'bigint')}`);
  if (desiredSince !== undefined) terms.push(`last_desired >= ${values.add(desiredSince, 'bigint')}`);
  if (updatedSince !== undefined) {
    const since = values.add(updatedSince, 'bigint');
    terms.push(`(last_reported >= ${since} OR last_desired >= ${since})`);
  }
  if (connected !== undefined) terms.push(`${connected ? '' : 'dis'}connected_since IS NOT NULL`);
  if (filter !== undefined) terms.push(conditionSql(filter, values));
  return terms.join(' AND ');
}

/** The first text that is after all that begin with the prefix, by code points; null: there is none. */
function afterPrefix(prefix: string): string | null {
  const points = [...prefix];
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const point = (last.codePointAt(0) ?? 0) + 1;
    if (point <= 0x10ffff)
      return [...points, String.fromCodePoint(point === 0xd800 ? 0xe000 : point)].join('');
  }
  return null;
}
