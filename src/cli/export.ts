import { writeParquet } from '../adapters/analytics/duckdb/parquet.js';
import { CSV_HEADER, type EventRow, rowToCsv, rowToJson } from '../application/event-row.js';
import { selectEvents } from '../application/select-events.js';
import { type Command, InterruptedError, noneLeft, UsageError, wordOf } from './command.js';
import { interruptible, untilAborted } from './interrupt.js';
import { PartialFile, print, StandardOutput, type TextOutput, writeFile } from './output.js';
import { Progress } from './progress.js';
import { readSelection, SELECTION_HELP, SELECTION_OPTIONS } from './selection.js';
import { readPlace, withLog } from './store.js';

export const exportCommand: Command = {
  name: 'export',
  synopsis: '--out FILE [--format ndjson|csv|parquet] [OPTIONS]',
  summary: 'write events to a file, one row an event',
  help: `Writes events to a file, one row an event, in the order of the log, up to its end
at the start of the command. The columns are in docs/analysts.md.

--out FILE               where to; the file is there whole or not at all. - is
                         standard output (not for parquet)
--format FORMAT          ndjson, csv or parquet. Default: by the file's name, else
                         ndjson

${SELECTION_HELP}
`,
  options: ['out', 'format', ...SELECTION_OPTIONS],
  async run({ positionals, values }) {
    noneLeft(positionals);
    const out = values['out'];
    if (out === undefined || out === '') throw new UsageError('--out is missing; see --help');
    const format = formatOf(values['format'], out);
    const isStandard = out === '-';
    if (isStandard && format === 'parquet') {
      throw new UsageError('--format parquet needs a file: give its name in --out');
    }
    const selection = readSelection(values);
    const place = readPlace(values);
    const count = await interruptible((signal) =>
      withLog(place, async (log) => {
        const progress = new Progress(process.stderr, 'Exporting');
        const rows = untilAborted(
          selectEvents(log, selection, signal, ({ rows: done, share }) => progress.update(done, share)),
          signal,
        );
        const written = await write(rows, format, isStandard ? null : out, signal);
        if (signal.aborted) throw new InterruptedError();
        progress.end(written);
        return written;
      }),
    );
    if (!isStandard) print(`Exported: ${count} events to ${out}\n`);
    return 0;
  },
};

export type Format = 'ndjson' | 'csv' | 'parquet';

/** By the name's end, where it is not said. Throws {@link UsageError}. */
export function formatOf(given: string | undefined, path: string): Format {
  if (given !== undefined) return wordOf('format', given, 'ndjson', 'csv', 'parquet');
  if (path.endsWith('.parquet')) return 'parquet';
  return path.endsWith('.csv') ? 'csv' : 'ndjson';
}

/** @param out null: standard output */
async function write(
  rows: AsyncIterable<EventRow>,
  format: Format,
  out: string | null,
  signal: AbortSignal,
): Promise<number> {
  if (format === 'parquet' && out !== null) {
    const partial = new PartialFile(out);
    return partial.complete(async () => {
      try {
        const written = await writeParquet(rows, partial.path, signal);
        if (signal.aborted) throw new InterruptedError();
        return written;
      } catch (error) {
        throw signal.aborted ? new InterruptedError() : error;
      }
    });
  }
  const work = (output: TextOutput): Promise<number> => writeText(rows, format, output);
  if (out !== null) return writeFile(out, work);
  const output = new StandardOutput();
  const written = await work(output);
  await output.finish();
  return written;
}

async function writeText(rows: AsyncIterable<EventRow>, format: Format, output: TextOutput): Promise<number> {
  const isCsv = format === 'csv';
  if (isCsv) await output.write(`${CSV_HEADER}\r\n`);
  let count = 0;
  for await (const row of rows) {
    await output.write(isCsv ? `${rowToCsv(row)}\r\n` : `${rowToJson(row)}\n`);
    count++;
  }
  return count;
}
