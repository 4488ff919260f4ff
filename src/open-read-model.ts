import { openSqliteReadModel } from './adapters/read-model/sqlite/sqlite-read-model.js';
import { type ReadModel } from './application/ports/read-model.js';

/** Which read model, and where. A thread is told it by message. */
export type ReadModelAddress = { readonly kind: 'sqlite'; readonly dataDir: string };

export interface OpenReadModelLogger {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/**
 * The only place that knows which read models there are.
 *
 * Rejects with `ReadModelError`, its message one line that begins with the variable it is of: `DATA_DIR`.
 */
export async function openReadModel(
  address: ReadModelAddress,
  logger: OpenReadModelLogger,
): Promise<ReadModel> {
  switch (address.kind) {
    case 'sqlite':
      return openSqliteReadModel(address.dataDir, logger);
  }
}
