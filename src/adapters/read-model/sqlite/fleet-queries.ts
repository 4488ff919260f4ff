import type Database from 'better-sqlite3';
import {
  type FleetCount,
  type FleetQuery,
  type FleetSelection,
  type ListedRow,
} from '../../../application/ports/read-model.js';
import { LISTED_COLUMNS, listedOf, statusNumber, type StoredListedRow } from '../stored.js';
import { pageSql, presenceSql, selectionSql } from './fleet-sql.js';

/** Where presence leaves fewer devices than this, they are looked up, one by one. */
const FEW_COUNT = 50_000;
/** In an order that is not that of presence all of them must be, where the other way ends when the page is full. */
const FEW_IN_ANOTHER_ORDER_COUNT = 2_000;
const DEVICE =
  "CASE instr(device_id, '/') WHEN 0 THEN device_id ELSE substr(device_id, 1, instr(device_id, '/') - 1) END";

/** The replicas with the presence of their devices. In the second form the database cannot but begin with presence. */
const ALL = `devices LEFT JOIN presence ON device = ${DEVICE}`;
const OF_PRESENT = `presence CROSS JOIN devices
  ON device_id = device OR (device_id > device || '/name/' AND device_id < device || '/name0')`;

/** A page of the generation's devices. */
export function listDevices(db: Database.Database, generation: number, query: FleetQuery): ListedRow[] {
  const { sort = { by: 'deviceId', descending: false }, after, limit, withText = false } = query;
  const selection = selectionSql(generation, query);
  const columns = withText ? `${LISTED_COLUMNS}, replica` : `${LISTED_COLUMNS}, NULL`;
  const isInOrder = sort.by === 'connectedSince' || sort.by === 'disconnectedSince';
  const from = sourceOf(db, query, isInOrder ? FEW_COUNT : FEW_IN_ANOTHER_ORDER_COUNT);
  const rows: StoredListedRow[] = [];
  for (const part of pageSql(sort, after)) {
    if (rows.length >= limit) break;
    const text = `SELECT ${columns} FROM ${from} WHERE ${selection.text} AND ${part.text} LIMIT ?`;
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
  const from = asksForPresence(text) ? sourceOf(db, selection, FEW_COUNT) : 'devices';
  const counts = db
    .prepare<unknown[], [number, number]>(
      `SELECT status, count(*) FROM ${from} WHERE ${text} GROUP BY status`,
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

/** Columns alone are in the text, and nothing of a query. */
function asksForPresence(text: string): boolean {
  return text.includes('connected_since');
}

/** From which side the tables are joined: the database does not know how many devices are connected, or since when. */
function sourceOf(db: Database.Database, selection: FleetSelection, fewCount: number): string {
  const asked = presenceSql(selection);
  if (asked === null) return ALL;
  const count = db
    .prepare<unknown[], number>(`SELECT count(*) FROM (SELECT 1 FROM presence WHERE ${asked.text} LIMIT ?)`)
    .pluck()
    .get([...asked.values, fewCount]);
  return count === fewCount ? ALL : OF_PRESENT;
}
