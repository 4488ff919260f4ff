import { type Presence, type PresenceWritten } from '../../../application/ports/presence.js';
import {
  type DeviceRow,
  type FleetCount,
  type FleetPage,
  type FleetQuery,
  type FleetSelection,
  type Generation,
  type OutOfSync,
  type OutOfSyncQuery,
  type ReadModel,
  type RowsWritten,
  type SettledByHour,
  type SettledQuery,
  type SettledSum,
} from '../../../application/ports/read-model.js';
import {
  checkpointOf,
  mayReplace,
  listedOf,
  rowOf,
  type StoredListedRow,
  type StoredRow,
  superseded,
} from '../stored.js';
import { parseDatabaseUrl } from './connection-string.js';
import {
  type HourRow,
  outOfSyncQuery,
  type OutOfSyncRow,
  SETTLED_BY_HOUR,
  settledQuery,
  type SettledRow,
} from './convergence.js';
import { countQuery, listQuery, type NoRow } from './fleet.js';
import { Database, type DatabaseOptions } from './database.js';
import { migrate } from './migrate.js';
import { countConnected, findPresence, writePresence } from './presence.js';
import * as statements from './statements.js';

/**
 * Connects, and makes the tables or brings them up to date.
 *
 * Rejects with `ReadModelError`, its message one line that begins with `DATABASE_URL` and holds no password —
 * `invalid`: the URL is wrong, or the tables are of a newer version or of another program; `unavailable`: the server
 * cannot be reached, or does not let this user in.
 */
export async function openPostgresReadModel(
  url: string,
  options: DatabaseOptions,
): Promise<PostgresReadModel> {
  const database = new Database(parseDatabaseUrl(url), options, migrate);
  try {
    await migrate(database);
  } catch (error) {
    await database.close();
    throw error;
  }
  return new PostgresReadModel(database);
}

/** The read model in PostgreSQL. Any number of processes may use it: the expected checkpoint keeps them apart. */
export class PostgresReadModel implements ReadModel {
  constructor(private readonly database: Database) {}

  async generations(): Promise<Generation[]> {
    return (await this.database.write<statements.GenerationRow>(statements.GENERATIONS)).map(generationOf);
  }

  begin(schema: number): Promise<Generation> {
    return this.database.transaction(async (run) => {
      await run(statements.LOCK_GENERATIONS);
      await run(statements.giveUp(0));
      const [id = 0] = (await run<[number]>(statements.begin(schema))).flat();
      return { id, isActive: false, schema, checkpoint: null };
    });
  }

  activate(id: number, { instead }: { readonly instead?: number | null } = {}): Promise<boolean> {
    return this.database.transaction(async (run) => {
      await run(statements.LOCK_GENERATIONS);
      const rows = await run<statements.GenerationRow>(statements.GENERATIONS_TO_CHANGE);
      const all = rows.map(generationOf);
      const next = all.find((generation) => generation.id === id);
      if (next === undefined) throw superseded(id);
      if (next.isActive) return true;
      if (
        !mayReplace(
          all.find(({ isActive }) => isActive),
          next,
          instead,
        )
      )
        return false;
      await run(statements.giveUp(1));
      await run(statements.activate(id));
      return true;
    });
  }

  async load(id: number, deviceIds: readonly string[]): Promise<DeviceRow[]> {
    return (await this.database.write<StoredRow>(statements.load(id, deviceIds))).map(rowOf);
  }

  async write(id: number, written: RowsWritten): Promise<void> {
    const moved = await this.database.write<[number]>(statements.write(id, written));
    if (moved.length === 0) throw superseded(id);
  }

  async sweep(maxCount: number): Promise<boolean> {
    for (;;) {
      const [id] = (await this.database.write<[number]>(statements.GIVEN_UP)).flat();
      if (id === undefined) return false;
      const [removed = 0] = (await this.database.write<[number]>(statements.sweepRows(id, maxCount))).flat();
      if (removed < maxCount) await this.database.write(statements.sweepGeneration(id));
      if (removed > 0) return true;
    }
  }

  async find(deviceId: string): Promise<DeviceRow | null> {
    const [row] = await this.database.read<StoredRow>(statements.find(deviceId));
    return row === undefined ? null : rowOf(row);
  }

  async scan(after: string, limit: number): Promise<DeviceRow[]> {
    return (await this.database.read<StoredRow>(statements.scan(after, limit))).map(rowOf);
  }

  async list(query: FleetQuery): Promise<FleetPage> {
    const rows = await this.database.read<[position: string | null, ...(StoredListedRow | NoRow)]>(
      listQuery(query),
    );
    const position = rows[0]?.[0] ?? null;
    return {
      // Where there is no device, the one row tells the position alone.
      rows: rows.flatMap(([, ...row]) => (isRow(row) ? [listedOf(row)] : [])),
      position: positionOf(position),
    };
  }

  async count(selection: FleetSelection = {}): Promise<FleetCount> {
    const [row] = await this.database.read<[string | null, number, number, number]>(countQuery(selection));
    const [position, notInSync, inSync, broken] = row ?? [null, 0, 0, 0];
    return { notInSync, inSync, broken, position: positionOf(position) };
  }

  async settled(query: SettledQuery): Promise<SettledSum> {
    const rows = await this.database.read<SettledRow>(settledQuery(query));
    return {
      counts: rows.flatMap(([, outcome, bucket, count, sumMs]) =>
        outcome === null ? [] : [{ outcome, bucket, count, sumMs }],
      ),
      position: positionOf(rows[0]?.[0] ?? null),
    };
  }

  async settledByHour(): Promise<SettledByHour> {
    const rows = await this.database.read<HourRow>(SETTLED_BY_HOUR);
    return {
      counts: rows.flatMap(([, outcome, bucket, count, sumMs, hour]) =>
        outcome === null ? [] : [{ hour, outcome, bucket, count, sumMs }],
      ),
      position: positionOf(rows[0]?.[0] ?? null),
    };
  }

  async outOfSync(query: OutOfSyncQuery): Promise<OutOfSync> {
    const [row] = await this.database.read<OutOfSyncRow>(outOfSyncQuery(query));
    const [position, counts, openCount, oldest] = row ?? [null, [], 0, []];
    return {
      counts: [...query.bounds, null].map((_, bucket) => counts.find(([of]) => of === bucket)?.[1] ?? 0),
      openCount,
      oldest: oldest.map(([deviceId, since, outstanding]) => ({ deviceId, since, outstanding })),
      position: positionOf(position),
    };
  }

  presence(replicaId: string): Promise<Presence | null> {
    return findPresence(this.database, replicaId);
  }

  connectedCount(): Promise<number> {
    return countConnected(this.database);
  }

  writePresence(written: PresenceWritten): Promise<boolean> {
    return this.database.transaction((run) => writePresence(run, written));
  }

  close(): Promise<void> {
    return this.database.close();
  }
}

function isRow(row: StoredListedRow | NoRow): row is StoredListedRow {
  return row[0] !== null;
}

function positionOf(position: string | null): bigint | null {
  return position === null ? null : BigInt(position);
}

function generationOf([id, status, schema, position, proof]: statements.GenerationRow): Generation {
  return { id, isActive: status === 1, schema, checkpoint: checkpointOf(position, proof) };
}
