#!/usr/bin/env node
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { compareEvents, type Comparison } from './application/compare-events.js';
import { copyEvents } from './application/copy-events.js';
import { type EventStore } from './application/ports/event-store.js';
import { Progress } from './cli-progress.js';
import { rebuildProjections } from './cli-rebuild.js';
import { readSettings } from './config/settings.js';
import {
  openEventStore,
  type OpenStoreOptions,
  parseStoreAddress,
  type StoreAddress,
} from './open-event-store.js';

const USAGE = `usage: device-state-replica copy-events --from STORE --to STORE
       device-state-replica projections rebuild [--from STORE] [--data-dir DIR]

copy-events copies the whole log of one event store to another, in its order: ids, types,
data, metadata and the revisions of each stream stay as they are. A copy that
was interrupted goes on where it stopped when it is run again. At the end both
sides are read and compared, stream by stream. No service may use either of
them meanwhile.

projections rebuild builds the read model in DIR (default: DATA_DIR, or ./data)
anew from the event store (default: EVENTSTORE_CONNECTION_STRING, or SQLite in
DIR) beside the one that is there, and swaps the two. One that was interrupted
goes on where it was when it is run again. A service that owns the SQLite store
does it itself: POST /ops/projections/rebuild.

STORE   sqlite:DIR         the SQLite store in the folder DIR (DATA_DIR)
        esdb://HOST:PORT   EventStoreDB or KurrentDB; any of its connection
                           strings

Exit code 0: done; of a copy, and both sides are the same. 1: it failed, or
they are not. 2: it was called in a wrong way. 130: interrupted.
`;

/** Called in a wrong way; the message is one line. */
class UsageError extends Error {}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [command, ...others] = positionals;
  if (command === undefined) throw new UsageError('no command; see --help');
  if (command === 'projections') return projections(others, values);
  if (command !== 'copy-events') throw new UsageError(`unknown command '${command}'; see --help`);
  if (others.length > 0) throw new UsageError(`unexpected argument '${others[0]}'; see --help`);
  if (values['data-dir'] !== undefined) throw new UsageError('--data-dir is for projections; see --help');
  const from = addressOf('--from', values.from);
  const to = addressOf('--to', values.to);
  if (placeOf(from) === placeOf(to)) throw new UsageError('--from and --to are the same store');
  return copy(from, to);
}

function projections(
  others: readonly string[],
  values: { readonly from?: string; readonly to?: string; readonly 'data-dir'?: string },
): Promise<number> {
  const [action, ...rest] = others;
  if (action !== 'rebuild') throw new UsageError(`projections ${action ?? ''}: must be rebuild; see --help`);
  if (rest.length > 0) throw new UsageError(`unexpected argument '${rest[0]}'; see --help`);
  if (values.to !== undefined) throw new UsageError('--to is not for projections; see --help');
  const { DATA_DIR, EVENTSTORE_CONNECTION_STRING } = readSettings(process.env);
  const dataDir = values['data-dir'] ?? DATA_DIR;
  const from = values.from ?? EVENTSTORE_CONNECTION_STRING?.trim() ?? `sqlite:${dataDir}`;
  return rebuildProjections(addressOf('--from', from), dataDir);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        from: { type: 'string' },
        to: { type: 'string' },
        'data-dir': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(`${lineOf(error)}; see --help`);
  }
}

function addressOf(option: string, text: string | undefined): StoreAddress {
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
    throw new Error(`${option}: ${lineOf(error)}`, { cause: error });
  }
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
    process.stdout.write(`Copied and checked: ${sourceCount} events, the same on both sides${how}\n`);
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

/** The first line of an error, without the variable's name that it has where the service itself tells it. */
function lineOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return (message.split('\n', 1)[0] ?? '').replace(/^(DATA_DIR|EVENTSTORE_CONNECTION_STRING):? /, '');
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    // A bar that was being drawn stays on its line.
    const newLine = process.stderr.isTTY ? '\n' : '';
    process.stderr.write(`${newLine}device-state-replica: ${lineOf(error)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  },
);
