import { type DeviceRow, type RowsWritten } from '../../../application/ports/read-model.js';
import { proofText, SMALL_COLUMNS, storedOf } from '../stored.js';
import { type Query } from './database.js';
import { lockKey } from './lock-key.js';
import { searchableOf } from './searchable.js';

export type GenerationRow = readonly [
  id: number,
  status: number,
  schema: number,
  position: string | null,
  proof: string | null,
];

const WHOLE = `${SMALL_COLUMNS}, replica`;

export const GENERATIONS: Query = {
  name: 'generations',
  text: 'SELECT id, status, schema, position::text, proof FROM replica_generations WHERE status < 2 ORDER BY id',
  values: [],
};

/** The same, and no row of them is changed by others before the end of the transaction. */
export const GENERATIONS_TO_CHANGE: Query = { text: `${GENERATIONS.text} FOR UPDATE`, values: [] };

/** Nobody else begins or swaps generations meanwhile; rows go on being written. */
export const LOCK_GENERATIONS: Query = {
  text: `SELECT pg_advisory_xact_lock(${lockKey('generations')})`,
  values: [],
};

/** @param status 0: the one that is being built; 1: the active one */
export function giveUp(status: 0 | 1): Query {
  return { text: 'UPDATE replica_generations SET status = 2 WHERE status = $1', values: [status] };
}

export function begin(schema: number): Query {
  return {
    text: 'INSERT INTO replica_generations (status, schema) VALUES (0, $1) RETURNING id',
    values: [schema],
  };
}

export function activate(id: number): Query {
  return { text: 'UPDATE replica_generations SET status = 1 WHERE id = $1', values: [id] };
}

export function load(id: number, deviceIds: readonly string[]): Query {
  return {
    name: 'load',
    text: `SELECT ${WHOLE} FROM replica_devices WHERE generation = $1 AND device_id = ANY ($2::text[])`,
    values: [id, deviceIds],
  };
}

export function find(deviceId: string): Query {
  return {
    name: 'find',
    text: `SELECT ${WHOLE} FROM replica_devices
             WHERE generation = (SELECT id FROM replica_generations WHERE status = 1) AND device_id = $1`,
    values: [deviceId],
  };
}

export function scan(after: string, limit: number): Query {
  return {
    name: 'scan',
    text: `SELECT ${WHOLE} FROM replica_devices
             WHERE generation = (SELECT id FROM replica_generations WHERE status = 1) AND device_id > $1
             ORDER BY device_id LIMIT $2`,
    values: [after, limit],
  };
}

/**
 * Rows and checkpoint in one statement: whole or not at all, and one way to the server and back. It gives a row where
 * the checkpoint was as expected, else none, and nothing was done. Another writer of the generation is waited for.
 */
const WRITE = `
WITH moved AS (
  UPDATE replica_generations SET position = $2::numeric, proof = $3
    WHERE id = $1 AND status < 2 AND position IS NOT DISTINCT FROM $4::numeric
    RETURNING id
), put AS (
  INSERT INTO replica_devices (generation, ${WHOLE}, state)
    SELECT moved.id, row.*
      FROM moved, unnest($5::text[], $6::bigint[], $7::bigint[], $8::smallint[], $9::bigint[], $10::bigint[],
        $11::bigint[], $12::bigint[], $13::bigint[], $14::integer[], $15::integer[], $16::text[], $17::text[],
        $18::text[], $19::jsonb[]) AS row
    ON CONFLICT (generation, device_id) DO UPDATE SET
      revision = excluded.revision, version = excluded.version, status = excluded.status,
      last_reported = excluded.last_reported, last_desired = excluded.last_desired, since = excluded.since,
      since_version = excluded.since_version, prior_since = excluded.prior_since,
      outstanding = excluded.outstanding, open_count = excluded.open_count,
      open_changes = excluded.open_changes, broken = excluded.broken, replica = excluded.replica,
      state = excluded.state
    WHERE excluded.revision > replica_devices.revision
      OR (excluded.revision = replica_devices.revision AND excluded.broken IS NOT NULL)
), counted AS (
  INSERT INTO replica_settled (generation, hour, outcome, bucket, count, sum_ms)
    SELECT moved.id, row.* FROM moved, unnest($20::bigint[], $21::text[], $22::smallint[], $23::bigint[],
      $24::bigint[]) AS row
    ON CONFLICT (generation, hour, outcome, bucket) DO UPDATE SET
      count = replica_settled.count + excluded.count, sum_ms = replica_settled.sum_ms + excluded.sum_ms
)
SELECT id FROM moved`;

export function write(id: number, { rows, settled = [], expected, checkpoint }: RowsWritten): Query {
  const values = [
    id,
    String(checkpoint.position),
    proofText(checkpoint),
    expected === null ? null : String(expected),
    ...columnsOf(rows),
    settled.map(({ hour }) => hour),
    settled.map(({ outcome }) => outcome),
    settled.map(({ bucket }) => bucket),
    settled.map(({ count }) => count),
    settled.map(({ sumMs }) => sumMs),
  ];
  return { name: 'write', text: WRITE, values };
}

const COLUMN_COUNT = 14;

function columnsOf(rows: readonly DeviceRow[]): unknown[][] {
  const columns: unknown[][] = Array.from({ length: COLUMN_COUNT + 1 }, () => []);
  for (const row of rows) {
    storedOf(row).forEach((value, place) => columns[place]?.push(storable(value)));
    columns[COLUMN_COUNT]?.push(searchableOf(row.text));
  }
  return columns;
}

/** Text in PostgreSQL cannot hold U+0000. The replica's is JSON, which has it escaped; a reason may quote anything. */
function storable(value: string | number | null): string | number | null {
  return typeof value === 'string' && value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value;
}

/** The oldest generation that was given up, if any. */
export const GIVEN_UP: Query = {
  text: 'SELECT id FROM replica_generations WHERE status = 2 ORDER BY id LIMIT 1',
  values: [],
};

/** How many rows of the generation were removed, of one table or the other. */
export function sweepRows(id: number, maxCount: number): Query {
  const remove = (table: string): string =>
    `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${table} WHERE generation = $1 LIMIT $2))
       RETURNING 1`;
  return {
    text: `WITH devices AS (${remove('replica_devices')}), settled AS (${remove('replica_settled')})
             SELECT greatest((SELECT count(*) FROM devices), (SELECT count(*) FROM settled))`,
    values: [id, maxCount],
  };
}

export function sweepGeneration(id: number): Query {
  return { text: 'DELETE FROM replica_generations WHERE id = $1 AND status = 2', values: [id] };
}
