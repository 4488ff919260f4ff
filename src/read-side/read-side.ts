import { type Clock } from '../application/ports/clock.js';
import { type ProjectionObserver } from '../application/ports/projection-observer.js';
import { type ReadModelQueries } from '../application/ports/read-model.js';
import { type ProjectOptions } from '../application/project.js';
import { type ProjectionsControl } from '../application/projections.js';
import { type StoreAddress } from '../open-event-store.js';
import { type ReadModelAddress } from '../open-read-model.js';
import { ProjectorThread, type ProjectorThreadOptions } from './projector-thread.js';
import { ReaderThread } from './reader-thread.js';
import { type ThreadObserver } from './thread.js';

export interface ReadSideOptions {
  readonly store: StoreAddress;
  readonly model: ReadModelAddress;
  readonly project: ProjectOptions;
  readonly observer: ProjectionObserver & ThreadObserver;
  readonly logger: ProjectorThreadOptions['logger'];
  readonly clock: Clock;
  /** The position of the last event, where this process is the only one that appends. */
  readonly lastPosition?: () => bigint;
}

/** The read model of a service: who fills it, and who answers from it. Neither ever holds up a command. */
export interface ReadSide {
  readonly queries: ReadModelQueries;
  readonly projections: ProjectionsControl;
  /** Resolves when nothing of it runs any more. Idempotent. */
  stop(): Promise<void>;
}

/** Never throws: what cannot be opened is tried again, and told by `projections.status().problem` until it can. */
export function startReadSide(options: ReadSideOptions): ReadSide {
  const { store, model, project, observer, logger, clock, lastPosition } = options;
  const projections = new ProjectorThread({
    data: { store, model, options: project },
    observer,
    logger,
    clock,
    ...(lastPosition === undefined ? {} : { lastPosition }),
  });
  const queries = new ReaderThread(model.dataDir, observer);
  return {
    queries,
    projections,
    async stop() {
      await Promise.all([projections.stop(), queries.stop()]);
    },
  };
}
