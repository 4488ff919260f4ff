import {
  BIGINT,
  type DuckDBAppender,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBTimestampMillisecondsValue,
  type DuckDBType,
  type DuckDBValue,
  TIMESTAMP_MS,
  VARCHAR,
} from '@duckdb/node-api';
import { type ColumnKind, EVENT_COLUMNS, type EventRow } from '../../../application/event-row.js';

/** Nothing is fetched from anywhere: what is not in the package is not there. */
const OFFLINE = { autoinstall_known_extensions: 'false', autoload_known_extensions: 'false' };
const MEMORY_LIMIT = '512MB';
const THREADS = '2';

/** DuckDB's vectors hold so many values. */
const CHUNK_ROWS = 2048;
/** What is not flushed is in memory. */
const FLUSH_ROWS = 50 * CHUNK_ROWS;

const SQL_TYPES: Readonly<Record<ColumnKind, string>> = {
  text: 'VARCHAR',
  integer: 'BIGINT',
  time: 'TIMESTAMP_MS',
  json: 'JSON',
};
const TYPES: Readonly<Record<ColumnKind, DuckDBType>> = {
  text: VARCHAR,
  integer: BIGINT,
  time: TIMESTAMP_MS,
  // JSON is text by another name.
  json: VARCHAR,
};

export function sqlTypeOf(kind: ColumnKind): string {
  return SQL_TYPES[kind];
}

/** The columns as `CREATE TABLE` has them. */
export const TABLE_COLUMNS = EVENT_COLUMNS.map(([name, kind]) => `"${name}" ${SQL_TYPES[kind]}`).join(', ');

/**
 * Lends a connection to a database of its own. What is over its memory's limit goes to the file, or beside it.
 *
 * @param path of the database's file, which the caller removes; null: in memory
 */
export async function withDatabase<T>(
  path: string | null,
  work: (connection: DuckDBConnection) => Promise<T>,
): Promise<T> {
  const instance = await DuckDBInstance.create(path ?? ':memory:', {
    ...OFFLINE,
    memory_limit: MEMORY_LIMIT,
    threads: THREADS,
    ...(path === null ? {} : { temp_directory: `${path}.tmp` }),
  });
  try {
    const connection = await instance.connect();
    // What DuckDB converts and shows does not depend on where it runs.
    await connection.run("SET TimeZone = 'UTC'");
    try {
      return await work(connection);
    } finally {
      connection.disconnectSync();
    }
  } finally {
    instance.closeSync();
  }
}

/** Makes the table `events` and fills it, chunk by chunk. @returns the number of rows */
export async function fillEvents(
  connection: DuckDBConnection,
  rows: AsyncIterable<EventRow>,
): Promise<number> {
  await connection.run(`CREATE TABLE events (${TABLE_COLUMNS})`);
  const appender = await connection.createAppender('events');
  let count = 0;
  try {
    let chunk: EventRow[] = [];
    for await (const row of rows) {
      chunk.push(row);
      count++;
      if (chunk.length < CHUNK_ROWS) continue;
      append(appender, chunk);
      chunk = [];
      if (count % FLUSH_ROWS === 0) appender.flushSync();
    }
    if (chunk.length > 0) append(appender, chunk);
    appender.flushSync();
  } finally {
    appender.closeSync();
  }
  return count;
}

const CHUNK_TYPES = EVENT_COLUMNS.map(([, kind]) => TYPES[kind]);

function append(appender: DuckDBAppender, rows: readonly EventRow[]): void {
  const chunk = DuckDBDataChunk.create(CHUNK_TYPES, rows.length);
  chunk.setColumns(EVENT_COLUMNS.map(([name, kind]) => rows.map((row) => valueOf(row[name], kind))));
  appender.appendDataChunk(chunk);
}

function valueOf(value: EventRow[keyof EventRow], kind: ColumnKind): DuckDBValue {
  if (value === null) return null;
  if (typeof value === 'object') return JSON.stringify(value);
  if (typeof value === 'string') return value;
  return kind === 'time' ? new DuckDBTimestampMillisecondsValue(BigInt(value)) : BigInt(value);
}

/** As a string between quotes in SQL, where no parameter can stand. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
