import {
  type Presence,
  type PresenceChange,
  type PresenceWritten,
} from '../../../application/ports/presence.js';
import { deviceOf, PRESENCE_COLUMNS, presenceOf, type StoredPresence, storedPresence } from '../stored.js';
import { type Database, type Query, type Run } from './database.js';

export async function findPresence(database: Database, replicaId: string): Promise<Presence | null> {
  const [row] = await database.read<StoredPresence>({
    name: 'presence',
    text: `SELECT ${PRESENCE_COLUMNS} FROM replica_presence WHERE device = $1`,
    values: [deviceOf(replicaId)],
  });
  return row === undefined ? null : presenceOf(row);
}

export async function countConnected(database: Database): Promise<number> {
  const [row] = await database.read<[number]>({
    text: 'SELECT count(*) FROM replica_presence WHERE connected_since IS NOT NULL',
    values: [],
  });
  return row?.[0] ?? 0;
}

/** Where two write of one instance that is silent, the first one's lock on its row keeps the other waiting. */
const GIVE_UP_SILENT = `
DELETE FROM replica_instances
  WHERE instance <> $1 AND written_at <= clock_timestamp() - $2::double precision * interval '1 millisecond'
  RETURNING instance, seen_at`;

const END = `
UPDATE replica_presence
  SET disconnected_since = greatest(connected_since, $1), connected_since = NULL, ended = 'unknown'
  WHERE connected_since IS NOT NULL AND instance = $2`;

/** The clock was put back: what begins now is later all the same. */
const PUT_BACK = 'UPDATE replica_presence SET opened_at = 0 WHERE instance = $1 AND opened_at > $2';

const SEE = `
INSERT INTO replica_instances VALUES ($1, $2, clock_timestamp())
  ON CONFLICT (instance) DO UPDATE SET seen_at = excluded.seen_at, written_at = excluded.written_at`;

const PUT = `
INSERT INTO replica_presence AS kept (device, ${PRESENCE_COLUMNS}, opened_at, connection, instance)
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::bigint[],
    $8::text[], $9::text[])
  ON CONFLICT (device) DO UPDATE SET
    connected_since = excluded.connected_since, disconnected_since = excluded.disconnected_since,
    client_id = excluded.client_id, ended = excluded.ended, will = excluded.will,
    opened_at = excluded.opened_at, connection = excluded.connection, instance = excluded.instance
  WHERE ((excluded.opened_at, excluded.connection) > (kept.opened_at, kept.connection)
      OR (excluded.connection = kept.connection AND (kept.connected_since IS NOT NULL OR kept.ended = 'unknown')))
    -- What is told once more on the topic is no news, and its time not the time of a change.
    AND NOT (excluded.instance IS NULL AND (excluded.connected_since IS NULL) = (kept.connected_since IS NULL))`;

const FORGET = `
DELETE FROM replica_presence USING replica_generations AS shown
  WHERE shown.status = 1 AND disconnected_since < $1 AND NOT EXISTS (
    SELECT 1 FROM replica_devices WHERE generation = shown.id AND split_part(device_id, '/', 1) = device)`;

/** Locked, so that nobody gives this instance up between here and the end of the transaction. */
const SEEN = 'SELECT seen_at FROM replica_instances WHERE instance = $1 FOR UPDATE';

/** See `PresenceStore.writePresence`. */
export async function writePresence(
  run: Run,
  { instance, at, isAfresh, changes, silentMs, forgetBefore }: PresenceWritten,
): Promise<boolean> {
  const [seen] = await run<[number]>({ text: SEEN, values: [instance] });
  if (isAfresh) {
    await run(endOf(instance, seen?.[0] ?? 0));
    await run({ text: PUT_BACK, values: [instance, at] });
  }
  await run({ text: SEE, values: [instance, at] });
  const silent = await run<[string, number]>({ text: GIVE_UP_SILENT, values: [instance, silentMs] });
  for (const [other, seenAt] of silent) await run(endOf(other, seenAt));
  if (changes.length > 0) await run({ text: PUT, values: columnsOf(changes, instance) });
  if (forgetBefore !== undefined) await run({ text: FORGET, values: [forgetBefore] });
  return seen !== undefined || isAfresh;
}

function endOf(instance: string, at: number): Query {
  return { text: END, values: [at, instance] };
}

/** In the order of the devices, so that two instances that write the same ones wait for each other at the first. */
function columnsOf(changes: readonly PresenceChange[], instance: string): unknown[][] {
  const rows = changes
    .toSorted((a, b) => (a.deviceId < b.deviceId ? -1 : 1))
    .map((change) => [
      change.deviceId,
      ...storedPresence(change),
      change.openedAt,
      change.connection,
      change.clientId === null ? null : instance,
    ]);
  return Array.from({ length: 9 }, (_, column) => rows.map((row) => row[column]));
}
