import pg from 'pg';
import { ReadModelError } from '../../../application/ports/read-model.js';
import { type DatabaseAddress } from './connection-string.js';
import { isLost, toReadModelError } from './errors.js';

export interface DatabaseOptions {
  /** The most connections for questions, and as many less for the projection's own work: see {@link WORK_COUNT}. */
  readonly poolCount: number;
  /** How long a question may take; then the server ends it. */
  readonly readTimeoutMs: number;
}

/** Writing and reading of the projection, and of a rebuild beside it. */
const WORK_COUNT = 3;
const CONNECT_TIMEOUT_MS = 10_000;
/** No batch takes so long but on a server that stands still, or behind a connection that does not say that it is dead. */
const WORK_TIMEOUT_MS = 30_000;
/** Takes a moment: several connections may have died at once, and each is found out by this. */
const BEGIN_TIMEOUT_MS = 5_000;
/** Making the tables what this version wants may take longer where they are large. */
const PREPARE_TIMEOUT_MS = 120_000;
/** Between two statements of a transaction: a process that stands still there holds up those who take over. */
const STEP_TIMEOUT_MS = 5_000;
/** How much longer the client waits than the server: for a connection that is broken and does not say so. */
const GRACE_MS = 5_000;

const INT8 = 20;

/** Numbers where the driver would give text: those that are kept here are exact in JavaScript. */
const TYPES = new pg.TypeOverrides();
TYPES.setTypeParser(INT8, Number);

export interface Query {
  readonly text: string;
  readonly values: readonly unknown[];
  /** Prepared under this name on each connection. Absent: planned anew, for these values. */
  readonly name?: string;
}

/** Runs one statement, its rows as arrays. */
export type Run = <Row>(query: Query) => Promise<Row[]>;

/**
 * Two pools of connections, so that questions never keep the projection waiting. A connection is opened when it is
 * needed, and given up after any error; the next call opens another one.
 *
 * Every call rejects with {@link ReadModelError}.
 */
export class Database {
  private readonly reads: pg.Pool;
  private readonly work: pg.Pool;
  private closing: Promise<unknown> | null = null;

  constructor(
    private readonly address: DatabaseAddress,
    { poolCount, readTimeoutMs }: DatabaseOptions,
    private readonly repair: (database: Database) => Promise<void>,
  ) {
    this.reads = this.pool(poolCount, readTimeoutMs);
    this.work = this.pool(WORK_COUNT, WORK_TIMEOUT_MS);
  }

  get place(): string {
    return this.address.place;
  }

  /** A question: one statement, and so one moment. */
  read<Row>(query: Query): Promise<Row[]> {
    return this.guarded(() => this.on<Row>(this.reads, query));
  }

  /** One statement of the projection, done as a whole or not at all. */
  write<Row>(query: Query): Promise<Row[]> {
    return this.guarded(() => this.on<Row>(this.work, query));
  }

  transaction<T>(steps: (run: Run) => Promise<T>): Promise<T> {
    return this.guarded(() => this.transact(steps, STEP_TIMEOUT_MS, WORK_TIMEOUT_MS));
  }

  /** As {@link transaction}, where the tables need not be there. */
  async prepare<T>(steps: (run: Run) => Promise<T>): Promise<T> {
    return this.transact(steps, PREPARE_TIMEOUT_MS, PREPARE_TIMEOUT_MS).catch((error: unknown) => {
      throw toReadModelError(error, this.place);
    });
  }

  /** Waits for what is under way. Idempotent. */
  async close(): Promise<void> {
    await (this.closing ??= Promise.all([this.reads.end(), this.work.end()]));
  }

  private async guarded<T>(call: () => Promise<T>): Promise<T> {
    if (this.closing !== null) throw new ReadModelError('closed', 'The read model is closed');
    try {
      return await call();
    } catch (error) {
      if (isLost(error)) await this.repair(this);
      throw toReadModelError(error, this.place);
    }
  }

  private async on<Row>(pool: pg.Pool, { text, values, name }: Query): Promise<Row[]> {
    const query = { text, values: [...values], rowMode: 'array' as const, ...(name && { name }) };
    return (await pool.query(query)).rows as Row[];
  }

  private async transact<T>(steps: (run: Run) => Promise<T>, stepMs: number, timeoutMs: number): Promise<T> {
    const client = await this.work.connect();
    // The connection may break between two statements, and nobody else listens.
    const ignore = (): void => undefined;
    client.on('error', ignore);
    let isWhole = false;
    try {
      const begin = {
        text: `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${stepMs}; SET LOCAL statement_timeout = ${timeoutMs}`,
        query_timeout: BEGIN_TIMEOUT_MS,
      };
      await client.query(begin);
      const result = await steps(async <Row>({ text, values }: Query) => {
        const own = {
          text,
          values: [...values],
          rowMode: 'array' as const,
          query_timeout: timeoutMs + GRACE_MS,
        };
        return (await client.query(own)).rows as Row[];
      });
      await client.query('COMMIT');
      isWhole = true;
      return result;
    } finally {
      client.off('error', ignore);
      // Its end is the rollback too.
      client.release(!isWhole);
    }
  }

  private pool(max: number, timeoutMs: number): pg.Pool {
    const pool = new pg.Pool({
      ...this.address.config,
      max,
      types: TYPES,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
      statement_timeout: timeoutMs,
      query_timeout: timeoutMs + GRACE_MS,
    });
    // Of connections that nobody uses; the next call opens others, and says so where it cannot.
    pool.on('error', () => undefined);
    return pool;
  }
}
