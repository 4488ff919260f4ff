import { type EventRow } from '../../../application/event-row.js';
import { fillEvents, quoted, withDatabase } from './event-table.js';

/**
 * Writes rows to a Parquet file, in their order, compressed with Zstandard; times are UTC. They go through a database
 * file beside it (`PATH.db`), so that memory does not grow with them; the caller removes what is left of it.
 *
 * Throws where a file cannot be written, with what DuckDB says.
 *
 * @param signal ends the last step, which nothing else would
 * @returns the number of rows
 */
export async function writeParquet(
  rows: AsyncIterable<EventRow>,
  path: string,
  signal: AbortSignal,
): Promise<number> {
  return withDatabase(`${path}.db`, async (connection) => {
    const count = await fillEvents(connection, rows);
    const interrupt = (): void => connection.interrupt();
    signal.addEventListener('abort', interrupt);
    try {
      await connection.run(
        `COPY events TO ${quoted(path)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 61440)`,
      );
    } finally {
      signal.removeEventListener('abort', interrupt);
    }
    return count;
  });
}
