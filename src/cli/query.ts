import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EventSource, runQuery } from '../adapters/analytics/duckdb/query.js';
import { selectEvents } from '../application/select-events.js';
import { type Command, InterruptedError, noneLeft, UsageError, wordOf } from './command.js';
import { formatOf } from './export.js';
import { interruptible, untilAborted } from './interrupt.js';
import { StandardOutput } from './output.js';
import { Progress } from './progress.js';
import { readSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection.js';
import { readPlace, withLog } from './store.js';
import { type TableFormat, TableWriter } from './table.js';

export const queryCommand: Command = {
  name: 'query',
  synopsis: '"SELECT …" [--file FILE] [--format table|ndjson|csv] [OPTIONS]',
  summary: 'ask the events in SQL',
  help: `Asks a table of events in DuckDB's SQL: an exported file, or the store itself, whose
selected events are copied to a temporary table first.

events    one row an event; the columns are in docs/analysts.md
changes   one row for each value that an event named: position, deviceId, version,
          revision, section, path (keys with dots between them), value (JSON; null
          where the key was removed), timestamp, clientToken

--file FILE              a file that export wrote: .parquet, .csv, else ndjson
--format FORMAT          table, ndjson or csv

${SELECTION_HELP}
With --file none of these may be given: say it in SQL.
`,
  options: ['file', 'format', ...SELECTION_OPTIONS],
  async run({ positionals: [sql, ...others], values }) {
    if (sql === undefined || sql.trim() === '') throw new UsageError('no query; see --help');
    noneLeft(others);
    const format = wordOf<TableFormat>('format', values['format'], 'table', 'ndjson', 'csv');
    const { file } = values;
    await interruptible(async (signal) => {
      const output = new StandardOutput();
      const table = new TableWriter(output, format);
      const ask = async (source: EventSource): Promise<void> => {
        try {
          await runQuery(source, sql, table, signal);
        } catch (error) {
          throw signal.aborted ? new InterruptedError() : error;
        }
      };
      if (file !== undefined) await askFile(file, values, ask);
      else await askStore(values, signal, ask);
      await table.end();
      await output.finish();
    });
    return 0;
  },
};

type Ask = (source: EventSource) => Promise<void>;
type Values = Readonly<Record<string, string | undefined>>;

async function askFile(path: string, values: Values, ask: Ask): Promise<void> {
  const other = SELECTION_OPTIONS.find((name) => values[name] !== undefined);
  if (other !== undefined) throw new UsageError(`--${other} does not go with --file: say it in SQL`);
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new UsageError(`--file: there is no file ${path}`);
  }
  await ask({ kind: 'file', path, format: formatOf(undefined, path) });
}

async function askStore(values: Values, signal: AbortSignal, ask: Ask): Promise<void> {
  const selection = readSelection(values);
  await withLog(readPlace(values), async (log) => {
    const folder = mkdtempSync(join(tmpdir(), 'device-state-replica-query-'));
    const remove = (): void => rmSync(folder, { recursive: true, force: true });
    process.on('exit', remove);
    try {
      const progress = new Progress(process.stderr, 'Reading');
      const selected = selectEvents(log, selection, signal, ({ rows: done, share }) =>
        progress.update(done, share),
      );
      const rows = counted(untilAborted(selected, signal), (count) => progress.end(count));
      await ask({ kind: 'rows', rows, databasePath: join(folder, 'query.db') });
    } finally {
      process.removeListener('exit', remove);
      remove();
    }
  });
}

/** Passes all on, and tells at the end how many they were. */
async function* counted<T>(items: AsyncIterable<T>, tell: (count: number) => void): AsyncGenerator<T> {
  let count = 0;
  for await (const item of items) {
    count++;
    yield item;
  }
  tell(count);
}
