import type Database from 'better-sqlite3';
import {
  type FleetCount,
  type FleetQuery,
  type FleetSelection,
  type ListedRow,
} from '../../../application/ports/read-model.js';
import { pageSql, selectionSql } from './fleet-sql.js';
import { statusAt, statusNumber } from './statements.js';

type StoredListedRow = readonly [
  deviceId: string,
  version: number,
  status: number,
  lastReported: number | null,
  lastDesired: number | null,
  since: number,
  outstanding: number,
  broken: string | null,
  text: string | null,
];

const LISTED = 'device_id, version, status, last_reported, last_desired, since, outstanding, broken';

/** A page of the generation's devices. */
export function listDevices(db: Database.Database, generation: number, query: FleetQuery): ListedRow[] {
  const { sort = { by: 'deviceId', descending: false }, after, limit, withText = false } = query;
  const selection = selectionSql(generation, query);
  const columns = withText ? `${LISTED}, replica` : `${LISTED}, NULL`;
  const rows: StoredListedRow[] = [];
  for (const part of pageSql(sort, after)) {
    if (rows.length >= limit) break;
    const text = `SELECT ${columns} FROM devices WHERE ${selection.text} AND ${part.text} LIMIT ?`;
    const values = [...selection.values, ...part.values, limit - rows.length];
    rows.push(...db.prepare<unknown[], StoredListedRow>(text).raw().all(values));
  }
  return rows.map(listedOf);
}

/** How many of the generation's devices there are. */
export function countDevices(
  db: Database.Database,
  generation: number,
  selection: FleetSelection,
): Omit<FleetCount, 'position'> {
  const { text, values } = selectionSql(generation, selection);
  const counts = db
    .prepare<unknown[], [number, number]>(
      `SELECT status, count(*) FROM devices WHERE ${text} GROUP BY status`,
    )
    .raw()
    .all(values);
  const of = new Map(counts);
  return {
    inSync: of.get(statusNumber('in-sync')) ?? 0,
    notInSync: of.get(statusNumber('not-in-sync')) ?? 0,
    broken: of.get(statusNumber('broken')) ?? 0,
  };
}

function listedOf(row: StoredListedRow): ListedRow {
  const [deviceId, version, status, lastReported, lastDesired, since, outstanding, broken, text] = row;
  return {
    deviceId,
    version,
    status: statusAt(status),
    lastReported,
    lastDesired,
    since,
    outstanding,
    broken,
    ...(text === null ? {} : { text }),
  };
}
