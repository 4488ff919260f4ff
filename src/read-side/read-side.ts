import { type Clock } from '../application/ports/clock.js';
import { type PresenceStore } from '../application/ports/presence.js';
import { type ProjectionObserver } from '../application/ports/projection-observer.js';
import { type ReadModel, type ReadModelQueries } from '../application/ports/read-model.js';
import { type ProjectOptions } from '../application/project.js';
import { type ProjectionsControl } from '../application/projections.js';
import { type StoreAddress } from '../open-event-store.js';
import { type ReadModelAddress } from '../open-read-model.js';
import { type OwnLog, ProjectorThread, type ProjectorThreadOptions } from './projector-thread.js';
import { ReaderThread } from './reader-thread.js';
import { type ThreadObserver } from './thread.js';

export interface ReadSideOptions {
  readonly store: StoreAddress;
  readonly model: ReadModelAddress;
  readonly project: ProjectOptions;
  readonly observer: ProjectionObserver & ThreadObserver;
  readonly logger: ProjectorThreadOptions['logger'];
  readonly clock: Clock;
  /** Who answers, where asking does not hold up the process. Closed with the rest. Default: a thread, that reads the file. */
  readonly remote?: ReadModel;
  /** The log, where this process is the only one that appends. */
  readonly ownLog?: OwnLog;
}

/** The read model of a service: who fills it, and who answers from it. Neither ever holds up a command. */
export interface ReadSide {
  readonly queries: ReadModelQueries;
  readonly projections: ProjectionsControl;
  readonly presence: PresenceStore;
  /** Resolves when nothing of it runs any more. Idempotent. */
  stop(): Promise<void>;
}

/** Never throws: what cannot be opened is tried again, and told by `projections.status().problem` until it can. */
export function startReadSide(options: ReadSideOptions): ReadSide {
  const { store, model, project, observer, logger, clock, ownLog } = options;
  const projections = new ProjectorThread({
    data: { store, model, options: project },
    observer,
    logger,
    clock,
    ...(ownLog === undefined ? {} : { ownLog }),
  });
  const answering = answererOf(options);
  return {
    queries: answering.queries,
    projections,
    presence: projections,
    async stop() {
      await Promise.all([projections.stop(), answering.stop()]);
    },
  };
}

function answererOf({ model, observer, remote }: ReadSideOptions): Pick<ReadSide, 'queries' | 'stop'> {
  if (remote !== undefined) return { queries: remote, stop: () => remote.close() };
  if (model.kind !== 'sqlite') throw new Error('Only a file is read by a thread');
  const { dataDir, readTimeoutMs } = model;
  const limit = readTimeoutMs === undefined ? {} : { readTimeoutMs };
  const queries = new ReaderThread({ dataDir, ...limit }, observer);
  return { queries, stop: () => queries.stop() };
}
