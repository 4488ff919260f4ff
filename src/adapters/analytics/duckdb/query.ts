import {
  type DuckDBConnection,
  DuckDBIntervalValue,
  type DuckDBResult,
  type Json,
  StatementType,
} from '@duckdb/node-api';
import { EVENT_COLUMNS, type EventRow } from '../../../application/event-row.js';
import { fillEvents, quoted, sqlTypeOf, withDatabase } from './event-table.js';

/** Where the table `events` comes from. */
export type EventSource =
  | { readonly kind: 'file'; readonly path: string; readonly format: 'parquet' | 'csv' | 'ndjson' }
  /** @param databasePath a file that does not exist yet; the caller removes it and what begins with its name */
  | { readonly kind: 'rows'; readonly rows: AsyncIterable<EventRow>; readonly databasePath: string };

/** What a query gives, as it comes. */
export interface QueryOutput {
  begin(columns: readonly string[], isNumber: readonly boolean[]): Promise<void>;
  rows(rows: readonly (readonly Json[])[]): Promise<void>;
}

/** What is wrong with the statement, in one line. */
export class SqlError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SqlError';
  }
}

/**
 * A leaf of a patch each: `path` is its keys with dots between them, `value` its JSON, null where the key was removed.
 * An array is a leaf.
 */
const CHANGES = `
  CREATE VIEW changes AS
  WITH nodes AS (
    SELECT e.*, t.id AS node, t.parent AS up, t.type AS kind, t.fullkey AS fullkey, t.value AS json
    FROM events e, json_tree(e.state) t
  )
  SELECT n.position, n."deviceId", n.version, n.revision, n.section, n.fullkey[3:] AS path,
         nullif(n.json::VARCHAR, 'null')::JSON AS value, n.timestamp, n."clientToken"
  FROM nodes n
  WHERE n.up IS NOT NULL AND NOT (n.kind = 'OBJECT' AND n.json::VARCHAR <> '{}')
    AND NOT regexp_matches(n.fullkey, '\\[[0-9]+\\]')`;

const NUMBERS = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*)$/;

/**
 * Runs a statement over the table `events` and the view `changes`, in a database of its own that nothing else sees.
 *
 * Throws {@link SqlError}; what the rows or the output throw.
 */
export async function runQuery(
  source: EventSource,
  sql: string,
  output: QueryOutput,
  signal: AbortSignal,
): Promise<void> {
  await withDatabase(source.kind === 'rows' ? source.databasePath : null, async (connection) => {
    if (source.kind === 'rows') await fillEvents(connection, source.rows);
    else await viewOf(connection, source);
    await connection.run(CHANGES);
    const interrupt = (): void => connection.interrupt();
    signal.addEventListener('abort', interrupt);
    try {
      await run(connection, sql, output);
    } finally {
      signal.removeEventListener('abort', interrupt);
    }
  });
}

async function run(connection: DuckDBConnection, sql: string, output: QueryOutput): Promise<void> {
  const result = await asSql(() => runAll(connection, sql));
  const types = result.columnTypes().map(String);
  await output.begin(
    result.deduplicatedColumnNames(),
    types.map((type) => NUMBERS.test(type)),
  );
  const isInterval = types.map((type) => type === 'INTERVAL');
  const hasIntervals = isInterval.includes(true);
  const pages = result.yieldRowsJson();
  for (;;) {
    const page = await asSql(() => pages.next());
    if (page.done === true) return;
    const rows = page.value;
    await output.rows(
      hasIntervals
        ? rows.map((row) => row.map((value, at) => (isInterval[at] === true ? intervalText(value) : value)))
        : rows,
    );
  }
}

/** Runs the statements, and streams what the last one gives. */
async function runAll(connection: DuckDBConnection, sql: string): Promise<DuckDBResult> {
  const statements = await connection.extractStatements(sql);
  for (let index = 0; ; index++) {
    const prepared = await statements.prepare(index);
    try {
      // They would reach out to the net, which the settings keep it from doing by itself alone.
      if (EXTENSION_STATEMENTS.has(prepared.statementType)) {
        throw new Error('extensions are neither fetched nor loaded');
      }
      if (index === statements.count - 1) return await prepared.stream();
      await prepared.run();
    } finally {
      prepared.destroySync();
    }
  }
}

const EXTENSION_STATEMENTS: ReadonlySet<StatementType> = new Set([
  StatementType.LOAD,
  StatementType.UPDATE_EXTENSIONS,
]);

/** As DuckDB itself shows it: `1 day 02:00:00`. */
function intervalText(value: Json): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const { months, days, micros } = value;
  return new DuckDBIntervalValue(Number(months), Number(days), BigInt(micros as string)).toString();
}

async function viewOf(
  connection: DuckDBConnection,
  { path, format }: EventSource & { kind: 'file' },
): Promise<void> {
  const columns = EVENT_COLUMNS.map(([name, kind]) => {
    if (format !== 'ndjson') return `"${name}"::${sqlTypeOf(kind)} AS "${name}"`;
    if (kind === 'time') return `epoch_ms("${name}")::TIMESTAMP_MS AS "${name}"`;
    return kind === 'json' ? `nullif("${name}"::VARCHAR, 'null')::JSON AS "${name}"` : `"${name}"`;
  });
  await asSql(() =>
    connection.run(`CREATE VIEW events AS SELECT ${columns.join(', ')} FROM ${readerOf(path, format)}`),
  );
}

function readerOf(path: string, format: 'parquet' | 'csv' | 'ndjson'): string {
  if (format === 'parquet') return `read_parquet(${quoted(path)})`;
  const columns = EVENT_COLUMNS.map(([name, kind]) => {
    const type =
      format === 'ndjson' && kind === 'time' ? 'BIGINT' : kind === 'time' ? 'TIMESTAMPTZ' : sqlTypeOf(kind);
    return `${quoted(name)}: ${quoted(type)}`;
  });
  const types = `columns = {${columns.join(', ')}}`;
  return format === 'ndjson'
    ? `read_json(${quoted(path)}, format = 'newline_delimited', ${types})`
    : `read_csv(${quoted(path)}, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"', allow_quoted_nulls = false, ${types})`;
}

async function asSql<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const line = (message.split('\n', 1)[0] ?? message).replace(/^Failed to extract statements: /, '');
    throw new SqlError(line, { cause: error });
  }
}
