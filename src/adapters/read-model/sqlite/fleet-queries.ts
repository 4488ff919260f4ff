import type Database from 'better-sqlite3';
import {
  type FleetCount,
  type FleetQuery,
  type FleetSelection,
  type ListedRow,
} from '../../../application/ports/read-model.js';
import { LISTED_COLUMNS, listedOf, statusNumber, type StoredListedRow } from '../stored.js';
import { pageSql, selectionSql } from './fleet-sql.js';

/** A page of the generation's devices. */
export function listDevices(db: Database.Database, generation: number, query: FleetQuery): ListedRow[] {
  const { sort = { by: 'deviceId', descending: false }, after, limit, withText = false } = query;
  const selection = selectionSql(generation, query);
  const columns = withText ? `${LISTED_COLUMNS}, replica` : `${LISTED_COLUMNS}, NULL`;
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
