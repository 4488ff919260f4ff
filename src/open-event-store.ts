import { statSync } from 'node:fs';
import { join } from 'node:path';
import { openEventStoreDb } from './adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import { type EventStoreLogger } from './adapters/event-store/eventstoredb/logger.js';
import { EVENTS_FILE } from './adapters/event-store/sqlite/database.js';
import { openSqliteEventStore } from './adapters/event-store/sqlite/sqlite-event-store.js';
import { type Clock } from './application/ports/clock.js';
import { type EventStore, EventStoreError } from './application/ports/event-store.js';
import { STREAM_PREFIX } from './replica/stored.js';

/** Which event store, and where. */
export type StoreAddress =
  | { readonly kind: 'sqlite'; readonly dataDir: string }
  | { readonly kind: 'eventstoredb'; readonly connectionString: string };

const EVENTSTOREDB = /^(esdb|kurrentdb|kurrent|kdb)(\+discover)?:\/\//i;

/**
 * Reads `sqlite:DIR` or `esdb://…`.
 *
 * @throws {EventStoreError} `invalid`
 */
export function parseStoreAddress(text: string): StoreAddress {
  const dataDir = /^sqlite:(.+)$/s.exec(text)?.[1];
  if (dataDir !== undefined) return { kind: 'sqlite', dataDir };
  if (EVENTSTOREDB.test(text)) return { kind: 'eventstoredb', connectionString: text };
  const scheme = /^([A-Za-z0-9+.-]*:)/.exec(text)?.[1];
  const what = scheme === undefined ? 'there is no scheme' : `the scheme '${scheme}' is not known`;
  throw new EventStoreError('invalid', `${what}; must be sqlite:DIR or esdb://…`);
}

export interface OpenStoreOptions {
  readonly clock?: Clock;
  readonly logger?: EventStoreLogger;
  /** Refuse to make a store where there is none. Default: it is made. */
  readonly mustExist?: boolean;
}

/**
 * The only place that knows which event stores there are.
 *
 * Throws {@link EventStoreError}, its message one line that begins with the variable it is of: `DATA_DIR` or
 * `EVENTSTORE_CONNECTION_STRING`.
 */
export function openEventStore(
  address: StoreAddress,
  { clock, logger, mustExist }: OpenStoreOptions = {},
): EventStore {
  switch (address.kind) {
    case 'sqlite': {
      const { dataDir } = address;
      const path = join(dataDir, EVENTS_FILE);
      if (mustExist === true && statSync(path, { throwIfNoEntry: false }) === undefined) {
        throw new EventStoreError('unavailable', `DATA_DIR: there is no ${path}`);
      }
      return openSqliteEventStore({ dataDir, ...(clock === undefined ? {} : { clock }) });
    }
    case 'eventstoredb': {
      const { connectionString } = address;
      const log = logger === undefined ? {} : { logger };
      return openEventStoreDb({ connectionString, streamPrefix: STREAM_PREFIX, ...log });
    }
  }
}
