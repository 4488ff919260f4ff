import { openEventStoreDb } from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { STREAM_PREFIX } from '../../src/replica/stored.js';
import { FaultStorm } from './eventstore-server/fault-storm.js';
import { type EventStoreServer, startEventStoreServer } from './eventstore-server/index.js';
import { faultSeed } from './random.js';

/** The event store of a run. It outlives the service, which may be killed and started again on it. */
export interface RunStore {
  /** The settings by which the service has it. */
  readonly environment: Readonly<Record<string, string>> & { readonly DATA_DIR: string };
  /**
   * Lets its faults loose, where it can have any.
   *
   * @param isRelentless one after another without a calm, so that few calls meet many. Default false
   */
  beginFaults(isRelentless?: boolean): void;
  /** Ends them; the kinds of faults that there was no time for. */
  endFaults(): Promise<readonly string[]>;
  /** Opens it as it now is, past the service. The service must be stopped where a single process owns the store. */
  open(): EventStore;
  close(): Promise<void>;
}

/** @param dataDir a folder for this service's own files */
export type OpenRunStore = (dataDir: string) => Promise<RunStore>;

export async function sqliteRunStore(dataDir: string): Promise<RunStore> {
  return {
    environment: { DATA_DIR: dataDir },
    beginFaults: () => undefined,
    endFaults: async () => [],
    open: () => openSqliteEventStore({ dataDir }),
    close: async () => undefined,
  };
}

/** No answer is waited for longer than this, so that a run with many faults has an end. */
const DEADLINE_MS = 2_000;

/** EventStoreDB's test server, in this process, with all its faults. */
export async function faultyEventStoreDb(dataDir: string): Promise<RunStore> {
  return runStoreOf(await startEventStoreServer(), dataDir, `&defaultDeadline=${DEADLINE_MS}`);
}

/** @param options more of the connection string */
export function runStoreOf(server: EventStoreServer, dataDir: string, options = ''): RunStore {
  let storm: FaultStorm | undefined;
  const endStorm = async (): Promise<FaultStorm | undefined> => {
    const ended = storm;
    storm = undefined;
    await ended?.stop();
    return ended;
  };
  return {
    environment: {
      DATA_DIR: dataDir,
      EVENTSTORE_CONNECTION_STRING: server.connectionString + options,
    },
    beginFaults(isRelentless = false) {
      storm ??= new FaultStorm(server, faultSeed(), isRelentless);
      console.log(`The event store's faults are those of FAULT_SEED=${storm.seed}`);
    },
    async endFaults() {
      const ended = await endStorm();
      if (ended === undefined) return [];
      console.log(`The event store's faults were: ${ended.summary}`);
      return ended.missing;
    },
    open: () => openEventStoreDb({ connectionString: server.connectionString, streamPrefix: STREAM_PREFIX }),
    async close() {
      await endStorm();
      await server.stop();
    },
  };
}
