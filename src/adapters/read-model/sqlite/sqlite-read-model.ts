import { join, resolve } from 'node:path';
import type Database from 'better-sqlite3';
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
  ReadModelError,
  type RowsWritten,
  type SettledByHour,
  type SettledQuery,
  type SettledSum,
} from '../../../application/ports/read-model.js';
import {
  isDamage,
  openDatabase,
  openReadOnly,
  type ReadModelLogger,
  removeFile,
  toReadModelError,
} from './database.js';
import { searchableJson } from '../searchable-text.js';
import { Deadline } from './deadline.js';
import { countDevices, listDevices } from './fleet-queries.js';
import { checkpointOf, deviceOf, mayReplace, proofText, rowOf, storedOf, superseded } from '../stored.js';
import { type GenerationRow, Statements } from './statements.js';

/** The name of the file in its folder. */
export const READ_MODEL_FILE = 'read-model.db';

export interface ReadModelOptions {
  /** Only questions are asked: the file must be there, and nothing is made anew. Default: false. */
  readonly readOnly?: boolean;
  /** How long a list or a count by a filter may take; then it is ended. Default: for ever. */
  readonly readTimeoutMs?: number;
}

interface Open {
  readonly db: Database.Database;
  readonly deadline: Deadline;
  readonly statements: Statements;
}

/** Throws as {@link openDatabase}, or as {@link openReadOnly}. */
export function openSqliteReadModel(
  dataDir: string,
  logger: ReadModelLogger,
  options?: ReadModelOptions,
): SqliteReadModel {
  return new SqliteReadModel(join(resolve(dataDir), READ_MODEL_FILE), logger, options);
}

/** The read model in one SQLite file. Several processes may use it: the expected checkpoint keeps them apart. */
export class SqliteReadModel implements ReadModel {
  private current: Open | null;

  constructor(
    private readonly path: string,
    private readonly logger: ReadModelLogger,
    private readonly options: ReadModelOptions = {},
  ) {
    this.current = open(path, logger, options);
  }

  generations(): Promise<Generation[]> {
    return this.run(({ statements }) => statements.generations.all().map(generationOf));
  }

  begin(schema: number): Promise<Generation> {
    return this.run(({ db, statements }) =>
      db
        .transaction(() => {
          statements.forgetBuilding.run();
          const { lastInsertRowid } = statements.begin.run(schema);
          return { id: Number(lastInsertRowid), isActive: false, schema, checkpoint: null };
        })
        .immediate(),
    );
  }

  activate(id: number, { instead }: { readonly instead?: number | null } = {}): Promise<boolean> {
    return this.run(({ db, statements }) =>
      db
        .transaction(() => {
          const all = statements.generations.all().map(generationOf);
          const next = all.find((generation) => generation.id === id);
          if (next === undefined) throw superseded(id);
          const active = all.find(({ isActive }) => isActive);
          if (active?.id === id) return true;
          if (!mayReplace(active, next, instead)) return false;
          statements.forgetActive.run();
          statements.activate.run(id);
          return true;
        })
        .immediate(),
    );
  }

  load(id: number, deviceIds: readonly string[]): Promise<DeviceRow[]> {
    return this.run(({ statements }) =>
      deviceIds.flatMap((deviceId) => {
        const row = statements.load.get(id, deviceId);
        return row === undefined ? [] : [rowOf(row)];
      }),
    );
  }

  write(id: number, { rows, settled = [], expected, checkpoint }: RowsWritten): Promise<void> {
    return this.run(({ db, statements }) =>
      db
        .transaction(() => {
          const moved = statements.advance.run(
            String(checkpoint.position),
            proofText(checkpoint),
            id,
            expected === null ? null : String(expected),
          );
          if (moved.changes !== 1) throw superseded(id);
          for (const row of rows) {
            statements.put.run(id, ...storedOf(row), searchableJson(row.text));
          }
          statements.convergence.add(id, settled);
        })
        .immediate(),
    );
  }

  sweep(maxCount: number): Promise<boolean> {
    return this.run(({ db, statements }) =>
      db
        .transaction(() => {
          for (const { next, remove } of statements.sweeps) {
            let generation = next.get(0);
            while (generation !== undefined) {
              if (statements.isKnown.get(generation) === undefined) {
                remove.run(generation, maxCount);
                return true;
              }
              generation = next.get(generation);
            }
          }
          return false;
        })
        .immediate(),
    );
  }

  find(deviceId: string): Promise<DeviceRow | null> {
    return this.run(({ statements }) => {
      const row = statements.find.get(deviceId);
      return row === undefined ? null : rowOf(row);
    });
  }

  scan(after: string, limit: number): Promise<DeviceRow[]> {
    return this.run(({ statements }) => statements.scan.all(after, limit).map(rowOf));
  }

  list(query: FleetQuery): Promise<FleetPage> {
    return this.ofActive(({ db }, active) => ({
      rows: active === null ? [] : listDevices(db, active.id, query),
      position: active?.checkpoint?.position ?? null,
    }));
  }

  count(selection: FleetSelection = {}): Promise<FleetCount> {
    return this.ofActive(({ db }, active) => ({
      ...(active === null ? { inSync: 0, notInSync: 0, broken: 0 } : countDevices(db, active.id, selection)),
      position: active?.checkpoint?.position ?? null,
    }));
  }

  settled(query: SettledQuery): Promise<SettledSum> {
    return this.ofActive(({ statements }, active) => ({
      counts: active === null ? [] : statements.convergence.sum(active.id, query),
      position: active?.checkpoint?.position ?? null,
    }));
  }

  settledByHour(): Promise<SettledByHour> {
    return this.ofActive(({ statements }, active) => ({
      counts: active === null ? [] : statements.convergence.byHour(active.id),
      position: active?.checkpoint?.position ?? null,
    }));
  }

  outOfSync(query: OutOfSyncQuery): Promise<OutOfSync> {
    return this.ofActive(({ statements }, active) => ({
      ...statements.convergence.outOfSync(active?.id ?? null, query),
      position: active?.checkpoint?.position ?? null,
    }));
  }

  presence(replicaId: string): Promise<Presence | null> {
    return this.run(({ statements }) => statements.presence.of(deviceOf(replicaId)));
  }

  connectedCount(): Promise<number> {
    return this.run(({ statements }) => statements.presence.connectedCount());
  }

  writePresence(written: PresenceWritten): Promise<boolean> {
    return this.run(({ statements }) => statements.presence.write(written));
  }

  /** Reads of one state of the file. */
  private ofActive<T>(read: (open: Open, active: Generation | null) => T): Promise<T> {
    return this.run((open) =>
      open.db.transaction(() => {
        open.deadline.begin();
        const row = open.statements.active.get();
        return read(open, row === undefined ? null : generationOf(row));
      })(),
    );
  }

  async close(): Promise<void> {
    this.current?.db.close();
    this.current = null;
  }

  private async run<T>(work: (open: Open) => T): Promise<T> {
    if (this.current === null) throw new ReadModelError('closed', 'The read model is closed');
    try {
      return work(this.current);
    } catch (error) {
      if (!isDamage(error) || this.options.readOnly === true) throw toReadModelError(error, this.path);
      this.renew(error);
      throw new ReadModelError('lost', `DATA_DIR: ${this.path} was damaged and is made anew`, {
        cause: error,
      });
    }
  }

  /** Begins with an empty file; where that cannot be, the read model is closed from now on. */
  private renew(error: unknown): void {
    this.logger.warn(
      { path: this.path, err: error },
      'The read model is damaged; making it anew from the events',
    );
    this.current?.db.close();
    this.current = null;
    removeFile(this.path);
    this.current = open(this.path, this.logger, this.options);
  }
}

function open(path: string, logger: ReadModelLogger, options: ReadModelOptions): Open {
  const { readOnly = false, readTimeoutMs = Infinity } = options;
  const db = readOnly ? openReadOnly(path) : openDatabase(path, logger);
  return { db, deadline: new Deadline(db, readTimeoutMs), statements: new Statements(db) };
}

function generationOf([id, active, schema, position, proof]: GenerationRow): Generation {
  return { id, isActive: active === 1, schema, checkpoint: checkpointOf(position, proof) };
}
