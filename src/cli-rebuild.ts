import { openSqliteReadModel } from './adapters/read-model/sqlite/sqlite-read-model.js';
import { type ProjectionObserver } from './application/ports/projection-observer.js';
import { type ProjectOptions } from './application/project.js';
import { rebuild, sweepAll } from './application/rebuild.js';
import { Progress } from './cli-progress.js';
import { openEventStore, type StoreAddress } from './open-event-store.js';

/** Nobody else waits for this process, so its batches are larger than the service's. */
export const REBUILD_OPTIONS: ProjectOptions = {
  batchCount: 40_000,
  batchBytes: 48 * 1024 * 1024,
  delayMs: 100,
  cacheBytes: 256 * 1024 * 1024,
};

/**
 * Builds a new generation of the read model of a folder from an event store, and swaps it. One that was interrupted is
 * gone on with; the first Ctrl-C ends it after the batch in hand.
 *
 * Throws in one line where it failed; run again, it goes on where it was.
 *
 * @returns the exit code: 0, or 130 where it was interrupted
 */
export async function rebuildProjections(from: StoreAddress, dataDir: string): Promise<number> {
  const store = openEventStore(from, { mustExist: true });
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const model = openSqliteReadModel(dataDir, {
      warn: (_, message) => process.stderr.write(`${message}\n`),
    });
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
      const rebuilt = await rebuild(
        { store, model, observer, clock: Date.now, options: REBUILD_OPTIONS },
        interrupted.signal,
        ({ events, share }) => progress.update(events, share),
      );
      if (rebuilt === null) {
        process.stdout.write('\nInterrupted; run it again to go on where it was\n');
        return 130;
      }
      progress.end(rebuilt.events);
      await sweepAll(model, interrupted.signal, () => Promise.resolve());
      const how = rebuilt.resumed ? ' (an earlier run was gone on with)' : '';
      const damage = broken.size === 0 ? '' : `; ${broken.size} devices are broken, see above`;
      process.stdout.write(`Rebuilt and swapped: ${rebuilt.events} events${how}${damage}\n`);
      return 0;
    } finally {
      await model.close();
    }
  } finally {
    process.removeListener('SIGINT', interrupt).removeListener('SIGTERM', interrupt);
    await store.close();
  }
}
