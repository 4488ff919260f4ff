import { historyPage, type HistoryPage, MAX_PAGE_COUNT, type ShownEvent } from '../application/history.js';
import { type Moment, readBound } from '../application/moments.js';
import { type EventLog } from '../application/ports/event-store.js';
import { pastOf } from '../application/select-events.js';
import { type Command, countOf, InterruptedError, noneLeft, UsageError, wordOf } from './command.js';
import { interruptible } from './interrupt.js';
import { StandardOutput } from './output.js';
import { readPlace, withLog } from './store.js';

export const historyCommand: Command = {
  name: 'history',
  synopsis: 'DEVICE [OPTIONS]',
  summary: 'print what happened to one device',
  help: `Prints the events of one device, the oldest first.

--from BOUND, --to BOUND   both inclusive: a version (17), or a time: ISO 8601 with
                           its zone (2026-05-01T12:00:00Z), a date (midnight UTC),
                           or milliseconds since the epoch
--newest-first             the newest first
--limit COUNT              at most so many
--format text|ndjson       text: a line an event, with the time, the version, the
                           section, the patch and where it came from. ndjson: as
                           GET /state/DEVICE/history answers
--data-dir DIR             the folder of the SQLite files, instead of DATA_DIR

The store is that of the service's own settings: EVENTSTORE_CONNECTION_STRING, or
SQLite in DATA_DIR (./data). A service may run on it; nothing is changed.
`,
  options: ['from', 'to', 'limit', 'format', 'data-dir'],
  flags: ['newest-first'],
  async run({ positionals: [deviceId, ...others], values, flags }) {
    if (deviceId === undefined) throw new UsageError('no device; see --help');
    noneLeft(others);
    const format = wordOf('format', values['format'], 'text', 'ndjson');
    const from = boundOf('from', values['from']);
    const to = boundOf('to', values['to']);
    if (from !== null && to !== null && isLater(from, to)) throw new UsageError('--from is later than --to');
    const query: Query = {
      deviceId,
      order: flags.has('newest-first') ? 'newest' : 'oldest',
      from,
      to,
      limit: countOf('limit', values['limit']) ?? Infinity,
    };
    const place = readPlace(values);
    const output = new StandardOutput();
    await interruptible((signal) =>
      withLog(place, async (log) => {
        for await (const event of eventsOf(log, query)) {
          if (signal.aborted) throw new InterruptedError();
          await output.write(`${format === 'text' ? textOf(event) : JSON.stringify(event)}\n`);
        }
      }),
    );
    await output.finish();
    return 0;
  },
};

interface Query {
  readonly deviceId: string;
  readonly order: 'newest' | 'oldest';
  readonly from: Moment | null;
  readonly to: Moment | null;
  readonly limit: number;
}

async function* eventsOf(log: EventLog, { deviceId, limit, ...range }: Query): AsyncGenerator<ShownEvent> {
  const past = pastOf(log);
  let left = limit;
  let cursor: string | undefined;
  do {
    const count = Math.min(left, MAX_PAGE_COUNT);
    const options = { ...range, limit: count, ...(cursor === undefined ? {} : { cursor }) };
    const answer = await historyPage(log, past, deviceId, options);
    if (!answer.ok) throw new Error(answer.refusal.message);
    const page: HistoryPage = answer.value;
    yield* page.events;
    left -= page.events.length;
    cursor = page.cursor;
  } while (cursor !== undefined && left > 0);
}

function boundOf(option: string, value: string | undefined): Moment | null {
  const bound = readBound(`--${option}`, value);
  if (!bound.ok) throw new UsageError(bound.refusal.message);
  return bound.value;
}

/** Of a version and a time nothing is known. */
function isLater(one: Moment, other: Moment): boolean {
  if (one.kind === 'version') return other.kind === 'version' && one.version > other.version;
  return other.kind === 'time' && one.time > other.time;
}

/** `2026-05-01T12:00:00.000Z  v17  desired  {"power":"on"}  by "ui-7"  (state.update/3@81)` */
export function textOf({ type, version, timestamp, state, clientToken, source }: ShownEvent): string {
  const what = type === 'ReplicaDeleted' ? 'deleted ' : type.startsWith('Reported') ? 'reported' : 'desired ';
  const parts = [new Date(timestamp).toISOString(), `v${version}`.padEnd(5), what];
  if (state !== undefined) parts.push(JSON.stringify(state));
  if (clientToken !== undefined) parts.push(`by ${JSON.stringify(clientToken)}`);
  parts.push(`(${source.topic}/${source.partition}@${source.offset})`);
  return parts.join('  ');
}
