import type Database from 'better-sqlite3';
import {
  type Presence,
  type PresenceChange,
  type PresenceWritten,
} from '../../../application/ports/presence.js';
import { PRESENCE_COLUMNS, presenceOf, type StoredPresence, storedPresence } from '../stored.js';

/** What is asked of the file about connections, prepared once. */
export class PresenceStatements {
  private readonly get: Database.Statement<[device: string], StoredPresence>;
  private readonly countConnected: Database.Statement<[], number>;
  private readonly seenAt: Database.Statement<[instance: string], number>;
  private readonly see: Database.Statement<[instance: string, at: number]>;
  private readonly silent: Database.Statement<[instance: string, upTo: number], [string, number]>;
  private readonly forgetInstance: Database.Statement<[instance: string]>;
  private readonly end: Database.Statement<[at: number, instance: string]>;
  private readonly putBack: Database.Statement<[instance: string, at: number]>;
  private readonly put: Database.Statement<unknown[]>;
  private readonly forget: Database.Statement<[before: number]>;

  constructor(private readonly db: Database.Database) {
    this.get = db
      .prepare<[string], StoredPresence>(`SELECT ${PRESENCE_COLUMNS} FROM presence WHERE device = ?`)
      .raw();
    this.countConnected = db
      .prepare<[], number>('SELECT count(*) FROM presence WHERE connected_since IS NOT NULL')
      .pluck();
    this.seenAt = db
      .prepare<[string], number>('SELECT seen_at FROM presence_instances WHERE instance = ?')
      .pluck();
    this.see = db.prepare('INSERT OR REPLACE INTO presence_instances (instance, seen_at) VALUES (?, ?)');
    this.silent = db
      .prepare<[string, number], [string, number]>(
        'SELECT instance, seen_at FROM presence_instances WHERE instance <> ? AND seen_at <= ?',
      )
      .raw();
    this.forgetInstance = db.prepare('DELETE FROM presence_instances WHERE instance = ?');
    this.end = db.prepare(
      `UPDATE presence SET disconnected_since = max(connected_since, ?), connected_since = NULL, ended = 'unknown'
       WHERE connected_since IS NOT NULL AND instance = ?`,
    );
    this.putBack = db.prepare('UPDATE presence SET opened_at = 0 WHERE instance = ? AND opened_at > ?');
    this.put = db.prepare(
      `INSERT INTO presence (device, ${PRESENCE_COLUMNS}, opened_at, connection, instance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (device) DO UPDATE SET
         connected_since = excluded.connected_since, disconnected_since = excluded.disconnected_since,
         client_id = excluded.client_id, ended = excluded.ended, will = excluded.will,
         opened_at = excluded.opened_at, connection = excluded.connection, instance = excluded.instance
       WHERE ((excluded.opened_at, excluded.connection) > (opened_at, connection)
           OR (excluded.connection = connection AND (connected_since IS NOT NULL OR ended = 'unknown')))
         -- What is told once more on the topic is no news, and its time not the time of a change.
         AND NOT (excluded.instance IS NULL
           AND (excluded.connected_since IS NULL) = (connected_since IS NULL))`,
    );
    const hasNone = (ids: string): string =>
      `NOT EXISTS (SELECT 1 FROM devices WHERE generation = (SELECT id FROM generations WHERE active = 1) AND ${ids})`;
    this.forget = db.prepare(
      `DELETE FROM presence WHERE disconnected_since < ? AND EXISTS (SELECT 1 FROM generations WHERE active = 1)
         AND ${hasNone('device_id = device')}
         AND ${hasNone("device_id > device || '/name/' AND device_id < device || '/name0'")}`,
    );
  }

  of(device: string): Presence | null {
    const row = this.get.get(device);
    return row === undefined ? null : presenceOf(row);
  }

  connectedCount(): number {
    return this.countConnected.get() ?? 0;
  }

  write(written: PresenceWritten): boolean {
    return this.db.transaction(() => this.writeWithin(written)).immediate();
  }

  private writeWithin({ instance, at, isAfresh, changes, silentMs, forgetBefore }: PresenceWritten): boolean {
    const seenAt = this.seenAt.get(instance);
    if (isAfresh) {
      this.end.run(seenAt ?? 0, instance);
      // The clock was put back: what begins now is later all the same.
      this.putBack.run(instance, at);
    }
    this.see.run(instance, at);
    for (const [other, lastAt] of this.silent.all(instance, at - silentMs)) {
      this.end.run(lastAt, other);
      this.forgetInstance.run(other);
    }
    for (const change of changes) this.put.run(...valuesOf(change, instance));
    if (forgetBefore !== undefined) this.forget.run(forgetBefore);
    return seenAt !== undefined || isAfresh;
  }
}

function valuesOf(change: PresenceChange, instance: string): unknown[] {
  const { deviceId, openedAt, connection, clientId } = change;
  return [deviceId, ...storedPresence(change), openedAt, connection, clientId === null ? null : instance];
}
