import { createPostgresLeadership } from './adapters/read-model/postgres/postgres-leadership.js';
import { openPostgresReadModel } from './adapters/read-model/postgres/postgres-read-model.js';
import { openSqliteReadModel } from './adapters/read-model/sqlite/sqlite-read-model.js';
import { type Leadership, SOLE_LEADER } from './application/ports/leadership.js';
import { type ReadModel } from './application/ports/read-model.js';

/** Which read model, and where. A thread is told it by message. */
export type ReadModelAddress =
  | {
      readonly kind: 'sqlite';
      readonly dataDir: string;
      /** How long a question may take. Default: for ever. */
      readonly readTimeoutMs?: number;
    }
  | {
      readonly kind: 'postgres';
      readonly url: string;
      /** The most connections for questions. */
      readonly poolCount: number;
      /** How long a question may take. */
      readonly readTimeoutMs: number;
    };

export interface OpenReadModelLogger {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface OpenReadModelOptions {
  /** Only questions are asked: it must be there already, and nothing is made. Default: false. */
  readonly readOnly?: boolean;
}

/**
 * The only place that knows which read models there are.
 *
 * Rejects with `ReadModelError`, its message one line that begins with the variable it is of: `DATA_DIR` or
 * `DATABASE_URL`.
 */
export async function openReadModel(
  address: ReadModelAddress,
  logger: OpenReadModelLogger,
  options: OpenReadModelOptions = {},
): Promise<ReadModel> {
  switch (address.kind) {
    case 'sqlite':
      return openSqliteReadModel(address.dataDir, logger, options);
    case 'postgres':
      return openPostgresReadModel(address.url, address);
  }
}

/** Which of the processes on this read model brings it up to date. Throws as {@link openReadModel} rejects. */
export function openLeadership(address: ReadModelAddress): Leadership {
  return address.kind === 'postgres' ? createPostgresLeadership(address.url) : SOLE_LEADER;
}

interface ReadModelSettings {
  readonly DATA_DIR: string;
  readonly DATABASE_URL?: string;
  readonly DATABASE_POOL_COUNT: number;
  readonly DATABASE_READ_TIMEOUT_MS: number;
}

export function readModelAddressOf(settings: ReadModelSettings): ReadModelAddress {
  const { DATA_DIR: dataDir, DATABASE_URL: url } = settings;
  const { DATABASE_POOL_COUNT: poolCount, DATABASE_READ_TIMEOUT_MS: readTimeoutMs } = settings;
  if (url === undefined) return { kind: 'sqlite', dataDir, readTimeoutMs };
  return { kind: 'postgres', url, poolCount, readTimeoutMs };
}
