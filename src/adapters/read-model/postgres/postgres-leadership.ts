import pg from 'pg';
import {
  type Heard,
  type Leadership,
  type LeaderReport,
  type LeaderTerm,
  type Term,
} from '../../../application/ports/leadership.js';
import { ReadModelError } from '../../../application/ports/read-model.js';
import { type DatabaseAddress, parseDatabaseUrl } from './connection-string.js';
import { toReadModelError } from './errors.js';
import { lockKey, type LockName } from './lock-key.js';

/** No call on such a connection takes long; one that does is on a connection that is broken. */
const CALL_TIMEOUT_MS = 5_000;
/** A leader that has told nothing for so long stands still, and its session, which holds the lock, is ended. */
const SILENCE_MS = 15_000;

/** A leader whose machine went away without a word is noticed by the server within some ten seconds. */
const KEEPALIVE =
  'SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3';

const TELL = `
UPDATE replica_projector SET
    told_at = clock_timestamp(), shown_at = clock_timestamp() - $1::double precision * interval '1 millisecond',
    rebuild_events = $2, rebuild_share = $3, rebuild_asked = rebuild_asked AND NOT $4::boolean
  RETURNING rebuild_asked`;

const LISTEN = `
SELECT extract(epoch FROM clock_timestamp() - shown_at)::double precision * 1000, rebuild_events::double precision,
    rebuild_share, rebuild_asked,
    (SELECT position::text FROM replica_generations WHERE status = 1)
  FROM replica_projector WHERE shown_at IS NOT NULL`;

type ListenRow = readonly [
  lagMs: number,
  events: number | null,
  share: number | null,
  isAsked: boolean,
  position: string | null,
];

/** Ends the session that holds the projector's lock. Its user is the same one, so that it may be ended. */
const END_HOLDER = `
SELECT pg_terminate_backend(pid) FROM pg_locks
  WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = ${lockKey('projector')}`;

/**
 * By advisory locks of sessions, each on a connection of its own: the server gives a lock free when its connection
 * ends, however the process has ended.
 *
 * Throws {@link ReadModelError} `invalid` where the URL is wrong.
 */
export function createPostgresLeadership(url: string): Leadership {
  return new PostgresLeadership(parseDatabaseUrl(url));
}

class PostgresLeadership implements Leadership {
  private waiting: Session | null = null;
  private lastTold: { readonly at: string; readonly seenAt: number } | null = null;
  private isClosed = false;

  constructor(private readonly address: DatabaseAddress) {}

  async lead(): Promise<LeaderTerm | null> {
    const session = await this.take('projector');
    if (session === null) {
      await this.endSilentLeader();
      return null;
    }
    this.lastTold = null;
    return new SessionTerm(session);
  }

  async build(): Promise<Term | null> {
    const session = await this.take('rebuild');
    return session === null ? null : new SessionTerm(session);
  }

  async listen(): Promise<Heard | null> {
    const [row] = await this.ask<ListenRow>(LISTEN);
    if (row === undefined) return null;
    const [lagMs, events, share, isAsked, position] = row;
    const pending = isAsked ? { events: 0, share: 0 } : null;
    return {
      lagMs: Math.max(1, lagMs),
      rebuild: events === null || share === null ? pending : { events, share },
      position: position === null ? null : BigInt(position),
    };
  }

  async askForRebuild(): Promise<void> {
    await this.ask('UPDATE replica_projector SET rebuild_asked = true');
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.waiting?.end();
    this.waiting = null;
  }

  /** The session that holds the lock now, which nobody else uses; null: another one holds it. */
  private async take(name: LockName): Promise<Session | null> {
    const [row] = await this.ask<[boolean]>(`SELECT pg_try_advisory_lock(${lockKey(name)})`);
    if (row?.[0] !== true) return null;
    const session = this.waiting;
    this.waiting = null;
    return session;
  }

  private async endSilentLeader(): Promise<void> {
    const [row] = await this.ask<[string | null]>('SELECT told_at::text FROM replica_projector');
    const at = row?.[0] ?? 'never';
    const now = performance.now();
    if (this.lastTold?.at !== at) this.lastTold = { at, seenAt: now };
    if (now - this.lastTold.seenAt < SILENCE_MS) return;
    this.lastTold = null;
    await this.ask(END_HOLDER);
  }

  private async ask<Row>(sql: string): Promise<Row[]> {
    if (this.isClosed) throw new ReadModelError('closed', 'The read model is closed');
    try {
      if (this.waiting === null || this.waiting.ended.aborted) {
        this.waiting = await Session.open(this.address);
      }
      return await this.waiting.query<Row>(sql, []);
    } catch (error) {
      const broken = this.waiting;
      this.waiting = null;
      await broken?.end();
      throw toReadModelError(error, this.address.place);
    }
  }
}

/** One connection. What it has locked is free when it ends. */
class Session {
  private readonly ending = new AbortController();

  private constructor(private readonly client: pg.Client) {
    client.on('error', () => this.ending.abort());
    client.on('end', () => this.ending.abort());
  }

  static async open({ config }: DatabaseAddress): Promise<Session> {
    const client = new pg.Client({
      ...config,
      keepAlive: true,
      connectionTimeoutMillis: CALL_TIMEOUT_MS,
      statement_timeout: CALL_TIMEOUT_MS,
      query_timeout: CALL_TIMEOUT_MS,
    });
    const session = new Session(client);
    try {
      await client.connect();
      await client.query(KEEPALIVE);
      return session;
    } catch (error) {
      await session.end();
      throw error;
    }
  }

  get ended(): AbortSignal {
    return this.ending.signal;
  }

  async query<Row>(text: string, values: unknown[]): Promise<Row[]> {
    return (await this.client.query({ text, values, rowMode: 'array' })).rows as Row[];
  }

  async end(): Promise<void> {
    this.ending.abort();
    await this.client.end().catch(() => undefined);
  }
}

class SessionTerm implements LeaderTerm {
  constructor(private readonly session: Session) {}

  get ended(): AbortSignal {
    return this.session.ended;
  }

  async tell({ lagMs, rebuild }: LeaderReport, tookUp: boolean): Promise<boolean> {
    const values = [lagMs, rebuild?.events ?? null, rebuild?.share ?? null, tookUp];
    try {
      const [row] = await this.session.query<[boolean]>(TELL, values);
      return row?.[0] ?? false;
    } catch {
      await this.session.end();
      return false;
    }
  }

  release(): Promise<void> {
    return this.session.end();
  }
}
