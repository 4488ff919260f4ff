import { type ProjectionObserver } from '../application/ports/projection-observer.js';
import { type ProjectOptions } from '../application/project.js';
import { rebuildBeside } from '../application/rebuild-beside.js';
import { sweepAll } from '../application/rebuild.js';
import { readSettings } from '../config/settings.js';
import { openEventStore, type StoreAddress } from '../open-event-store.js';
import {
  openLeadership,
  openReadModel,
  type ReadModelAddress,
  readModelAddressOf,
} from '../open-read-model.js';
import { type Command, noneLeft } from './command.js';
import { addressOf, STORE_HELP } from './copy.js';
import { print } from './output.js';
import { Progress } from './progress.js';

/** Nobody else waits for this process, so its batches are larger than the service's. */
export const REBUILD_OPTIONS: ProjectOptions = {
  batchCount: 1_000_000,
  batchBytes: 128 * 1024 * 1024,
  delayMs: 100,
  cacheBytes: 256 * 1024 * 1024,
};

/**
 * Builds a new generation of the read model from an event store, and swaps it. One that was interrupted is
 * gone on with; the first Ctrl-C ends it after the batch in hand.
 *
 * Throws in one line where it failed; run again, it goes on where it was.
 *
 * @returns the exit code: 0, or 130 where it was interrupted
 */
export async function rebuildProjections(from: StoreAddress, to: ReadModelAddress): Promise<number> {
  const store = openEventStore(from, { mustExist: true });
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const model = await openReadModel(to, {
      warn: (_, message) => process.stderr.write(`${message}\n`),
    });
    const leadership = openLeadership(to);
    try {
      const broken = new Set<string | null>();
      const observer: ProjectionObserver = {
        projected: () => undefined,
        settled: () => undefined,
        projectionFailed: () => undefined,
        generation: () => undefined,
        deviceBroken: (_, deviceId, reason) => {
          broken.add(deviceId);
          process.stderr.write(`\nbroken: ${deviceId ?? 'an event of no known device'}: ${reason}\n`);
        },
      };
      const progress = new Progress(process.stderr, 'Rebuilding');
      const rebuilt = await rebuildBeside(
        { store, model, leadership, observer, clock: Date.now, options: REBUILD_OPTIONS },
        interrupted.signal,
        {
          onProgress: ({ events, share }) => progress.update(events, share),
          onTakenOver: () =>
            process.stderr.write('\nA service goes on with it; waiting until it is done or stops\n'),
        },
      );
      if (rebuilt === null) {
        print('\nInterrupted; run it again to go on where it was\n');
        return 130;
      }
      if (rebuilt === 'elsewhere') {
        print('Rebuilt and swapped by a service that went on with it\n');
        return 0;
      }
      progress.end(rebuilt.events);
      await sweepAll(model, interrupted.signal, () => Promise.resolve());
      const how = rebuilt.resumed ? ' (an earlier run was gone on with)' : '';
      const damage = broken.size === 0 ? '' : `; ${broken.size} devices are broken, see above`;
      print(`Rebuilt and swapped: ${rebuilt.events} events${how}${damage}\n`);
      return 0;
    } finally {
      await Promise.allSettled([model.close(), leadership.close()]);
    }
  } finally {
    process.removeListener('SIGINT', interrupt).removeListener('SIGTERM', interrupt);
    await store.close();
  }
}

export const rebuildCommand: Command = {
  name: 'projections rebuild',
  synopsis: '[--from STORE] [--data-dir DIR]',
  summary: 'build the read model anew beside the old one, and swap the two',
  help: `Builds the read model in DIR (default: DATA_DIR, or ./data) anew from the event
store (default: EVENTSTORE_CONNECTION_STRING, or SQLite in DIR) beside the one
that is there, and swaps the two. One that was interrupted goes on where it was
when it is run again. With DATABASE_URL the read model is the one in PostgreSQL,
and services may run on it meanwhile. A service that owns the SQLite store does it itself:
POST /ops/projections/rebuild.

${STORE_HELP}
`,
  options: ['from', 'data-dir'],
  hidesVariables: true,
  async run({ positionals, values }) {
    noneLeft(positionals);
    const settings = readSettings(process.env);
    const { EVENTSTORE_CONNECTION_STRING } = settings;
    const dataDir = values['data-dir'] ?? settings.DATA_DIR;
    const from = values['from'] ?? EVENTSTORE_CONNECTION_STRING?.trim() ?? `sqlite:${dataDir}`;
    return rebuildProjections(
      addressOf('--from', from),
      readModelAddressOf({ ...settings, DATA_DIR: dataDir }),
    );
  },
};
