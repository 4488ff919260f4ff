import { resolve } from 'node:path';
import { compareEvents, type Comparison } from '../application/compare-events.js';
import { copyEvents } from '../application/copy-events.js';
import { type EventStore } from '../application/ports/event-store.js';
import {
  openEventStore,
  type OpenStoreOptions,
  parseStoreAddress,
  type StoreAddress,
} from '../open-event-store.js';
import { type Command, lineOf, noneLeft, UsageError } from './command.js';
import { print } from './output.js';
import { Progress } from './progress.js';

export const STORE_HELP = `STORE   sqlite:DIR         the SQLite store in the folder DIR (DATA_DIR)
        esdb://HOST:PORT   EventStoreDB or KurrentDB; any of its connection
                           strings`;

export const copyEventsCommand: Command = {
  name: 'copy-events',
  synopsis: '--from STORE --to STORE',
  summary: 'copy the whole log of one event store to another',
  help: `Copies the whole log of one event store to another, in its order: ids, types,
data, metadata and the revisions of each stream stay as they are. A copy that
was interrupted goes on where it stopped when it is run again. At the end both
sides are read and compared, stream by stream. No service may use either of
them meanwhile.

${STORE_HELP}
`,
  options: ['from', 'to'],
  hidesVariables: true,
  async run({ positionals, values }) {
    noneLeft(positionals);
    const from = addressOf('--from', values['from']);
    const to = addressOf('--to', values['to']);
    if (placeOf(from) === placeOf(to)) throw new UsageError('--from and --to are the same store');
    return copy(from, to);
  },
};

/** Throws {@link UsageError}. */
export function addressOf(option: string, text: string | undefined): StoreAddress {
  if (text === undefined) throw new UsageError(`${option} is missing; see --help`);
  try {
    return parseStoreAddress(text);
  } catch (error) {
    throw new UsageError(`${option}: ${lineOf(error)}`);
  }
}

function placeOf(address: StoreAddress): string {
  return address.kind === 'sqlite' ? resolve(address.dataDir) : address.connectionString;
}

async function copy(from: StoreAddress, to: StoreAddress): Promise<number> {
  const source = open('--from', from, { mustExist: true });
  let target: EventStore | undefined;
  try {
    target = open('--to', to, {});
    const copying = new Progress(process.stderr, 'Copying');
    const { events, resumed, lastPosition } = await copyEvents(source, target, {
      onProgress: ({ events: count, share }) => copying.update(count, share),
    });
    copying.end(events);
    return report(await check(source, target, lastPosition), resumed);
  } finally {
    await Promise.allSettled([source.close(), target?.close()]);
  }
}

/** Throws where it cannot be opened, in one line that says which of the two it is. */
function open(option: string, address: StoreAddress, options: OpenStoreOptions): EventStore {
  try {
    return openEventStore(address, options);
  } catch (error) {
    throw new Error(`${option}: ${withoutVariable(lineOf(error))}`, { cause: error });
  }
}

/** Without the variable's name that an error has where the service itself tells it. */
export function withoutVariable(line: string): string {
  return line.replace(/^(DATA_DIR|EVENTSTORE_CONNECTION_STRING):? /, '');
}

async function check(
  source: EventStore,
  target: EventStore,
  lastPosition: bigint | null,
): Promise<Comparison> {
  const checking = new Progress(process.stderr, 'Checking');
  const comparison = await compareEvents(source, target, {
    lastPosition,
    onProgress: ({ events, share }) => checking.update(events, share),
  });
  checking.end(comparison.sourceCount + comparison.targetCount);
  return comparison;
}

function report({ sourceCount, targetCount, differences }: Comparison, resumed: boolean): number {
  if (differences.length === 0) {
    const how = resumed ? ' (an earlier copy was gone on with)' : '';
    print(`Copied and checked: ${sourceCount} events, the same on both sides${how}\n`);
    return 0;
  }
  const streams = differences
    .map(
      (each) =>
        `${each.stream} (${each.sourceCount} events in the source, ${each.targetCount} in the target)`,
    )
    .join(', ');
  throw new Error(
    `the two differ: ${sourceCount} events in the source, ${targetCount} in the target; among the streams that differ: ${streams}`,
  );
}
