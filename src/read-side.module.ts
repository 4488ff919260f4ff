import { type Provider } from '@nestjs/common';
import { type Logger } from 'pino';
import { PROJECTIONS, READ_MODEL, STORE } from './adapters/http/tokens.js';
import { SqliteEventStore } from './adapters/event-store/sqlite/sqlite-event-store.js';
import { type Clock } from './application/ports/clock.js';
import { type EventStore } from './application/ports/event-store.js';
import { type ProjectOptions } from './application/project.js';
import { type Settings } from './config/settings.js';
import { type Metrics } from './observability/metrics.js';
import { type StoreAddress } from './open-event-store.js';
import { openReadModel, readModelAddressOf } from './open-read-model.js';
import { type ReadSide, startReadSide } from './read-side/read-side.js';

/** Null: this process keeps no read model. */
export const READ_SIDE = Symbol('read side');

/** Of the devices whose rows are written together, in memory. */
const BATCH_BYTES = 16 * 1024 * 1024;

/**
 * What the controllers see of the read side, and the read side itself for whoever stops it. The latter's factory rejects
 * with `ReadModelError`, in one line, where PostgreSQL cannot be used.
 */
export function readSideProviders(
  settings: Settings,
  address: StoreAddress,
  logger: Logger,
  metrics: Metrics,
  clock: Clock,
): Provider[] {
  return [
    {
      provide: READ_SIDE,
      inject: [STORE],
      useFactory: async (store: EventStore): Promise<ReadSide | null> => {
        if (settings.PROJECTIONS === 'off') return null;
        const model = readModelAddressOf(settings);
        // What is wrong with the address of a server is told at once; it may go away later.
        const remote = model.kind === 'sqlite' ? undefined : await openReadModel(model, logger);
        return startReadSide({
          store: address,
          model,
          project: projectOptionsOf(settings),
          observer: metrics.projections,
          logger: {
            info: (fields, text) => logger.info(fields, text),
            warn: (fields, text) => logger.warn(fields, text),
          },
          clock,
          ...(remote === undefined ? {} : { remote }),
          ...(store instanceof SqliteEventStore ? { ownLog: store } : {}),
        });
      },
    },
    {
      provide: READ_MODEL,
      inject: [READ_SIDE],
      useFactory: (readSide: ReadSide | null) => readSide?.queries ?? null,
    },
    {
      provide: PROJECTIONS,
      inject: [READ_SIDE],
      useFactory: (readSide: ReadSide | null) => readSide?.projections ?? null,
    },
  ];
}

function projectOptionsOf(settings: Settings): ProjectOptions {
  return {
    batchCount: settings.PROJECTION_BATCH_COUNT,
    batchBytes: BATCH_BYTES,
    delayMs: settings.PROJECTION_DELAY_MS,
    cacheBytes: settings.PROJECTION_CACHE_BYTES,
  };
}
