import { Socket } from 'node:net';
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
/** A process that has asked nothing for so long by the session that holds a lock stands still; the session is ended. */
const SILENCE_MS = 15_000;
/** How often one that builds shows that it does not. */
const BEAT_MS = 2_000;
/** A server that is away does not answer a farewell. */
const FAREWELL_MS = 1_000;

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

/** The session that holds a lock: its process, and when it began or ended its last statement. */
function holderOf(name: LockName): string {
  return `
SELECT pid, state_change::text FROM pg_locks JOIN pg_stat_activity USING (pid)
  WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = ${lockKey(name)}`;
}

/**
 * By advisory locks of sessions, each on a connection of its own: the server gives a lock free when its connection
 * ends, however the process has ended.
 *
 * Throws {@link ReadModelError} `invalid` where the URL is wrong.
 *
 * @param options.silenceMs how long one that has a lock may stand still before it is taken from it. Default: 15,000
 */
export function createPostgresLeadership(
  url: string,
  { silenceMs = SILENCE_MS }: { readonly silenceMs?: number } = {},
): Leadership {
  return new PostgresLeadership(parseDatabaseUrl(url), silenceMs);
}

class PostgresLeadership implements Leadership {
  private waiting: Session | null = null;
  private readonly lastSeen = new Map<LockName, { readonly at: string; readonly seenAt: number }>();
  private isClosed = false;

  constructor(
    private readonly address: DatabaseAddress,
    private readonly silenceMs: number,
  ) {}

  async lead(): Promise<LeaderTerm | null> {
    const session = await this.take('projector');
    return session === null ? null : new SessionTerm(session);
  }

  async build(): Promise<Term | null> {
    const session = await this.take('rebuild');
    session?.beat();
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
    if (row?.[0] !== true) {
      await this.endSilent(name);
      return null;
    }
    this.lastSeen.delete(name);
    const session = this.waiting;
    this.waiting = null;
    return session;
  }

  /** By this process's clock alone, and only where nothing was done between two looks that are so long apart. */
  private async endSilent(name: LockName): Promise<void> {
    const [row] = await this.ask<[pid: number, at: string | null]>(holderOf(name));
    const [pid, time] = row ?? [0, null];
    if (time === null) return;
    const at = `${pid} ${time}`;
    const now = performance.now();
    const last = this.lastSeen.get(name);
    if (last?.at !== at) {
      this.lastSeen.set(name, { at, seenAt: now });
    } else if (now - last.seenAt >= this.silenceMs) {
      this.lastSeen.delete(name);
      // Its user is the same one, so that it may be ended.
      await this.ask(
        `SELECT pg_terminate_backend(${pid}) FROM (${holderOf(name)}) AS holder WHERE pid = ${pid}`,
      );
    }
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

  private constructor(
    private readonly client: pg.Client,
    private readonly socket: Socket,
    private readonly place: string,
  ) {
    client.on('error', (error) => this.lose(error));
    client.on('end', () => this.lose(new Error('the server ended the connection')));
  }

  static async open({ config, place }: DatabaseAddress): Promise<Session> {
    const socket = new Socket();
    const client = new pg.Client({
      ...config,
      stream: () => socket,
      keepAlive: true,
      connectionTimeoutMillis: CALL_TIMEOUT_MS,
      statement_timeout: CALL_TIMEOUT_MS,
      query_timeout: CALL_TIMEOUT_MS,
    });
    const session = new Session(client, socket, place);
    try {
      await client.connect();
      await client.query(KEEPALIVE);
      return session;
    } catch (error) {
      await session.end();
      throw error;
    }
  }

  /** Its reason is an error that says why, where it was not asked for. */
  get ended(): AbortSignal {
    return this.ending.signal;
  }

  private lose(error: unknown): void {
    this.ending.abort(toReadModelError(error, this.place));
  }

  async query<Row>(text: string, values: unknown[]): Promise<Row[]> {
    return (await this.client.query({ text, values, rowMode: 'array' })).rows as Row[];
  }

  /** Goes on asking, until the end: what is asked for does not matter. */
  beat(): void {
    const beat = setInterval(() => {
      this.query('SELECT 1', []).catch((error: unknown) => this.end(error));
    }, BEAT_MS);
    this.ended.addEventListener('abort', () => clearInterval(beat), { once: true });
  }

  /**
   * Resolves soon, also where the server is away without a word.
   *
   * @param error why it ends; absent: it was asked to
   */
  async end(error?: unknown): Promise<void> {
    if (error === undefined) this.ending.abort();
    else this.lose(error);
    const giveUp = setTimeout(() => this.socket.destroy(), FAREWELL_MS);
    await this.client.end().catch(() => undefined);
    clearTimeout(giveUp);
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
    } catch (error) {
      await this.session.end(error);
      return false;
    }
  }

  release(): Promise<void> {
    return this.session.end();
  }
}
