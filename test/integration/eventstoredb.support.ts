import { afterEach, beforeEach } from '@jest/globals';
import {
  type EventStoreDbOptions,
  openEventStoreDb,
} from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import type { EventStore, StreamAppend } from '../../src/application/ports/event-store.js';
import { brief } from '../contracts/event-store.support.js';
import { type EventStoreServer, startEventStoreServer } from '../support/eventstore-server/index.js';

export interface FaultyStore {
  /** A new one for each test. */
  readonly server: EventStoreServer;
  readonly store: EventStore;
  /** What the stores have logged. */
  readonly lines: readonly string[];
  /** Another store on the server, or with other options. The test closes it. */
  open(options?: Partial<EventStoreDbOptions>): EventStore;
  /** As the service does it: the same appends again, as long as that may help. */
  appendUntilKnown(appends: readonly StreamAppend[], on?: EventStore): Promise<string[]>;
}

/** A store on a server that can fail, made before each test and closed after it. */
export function withFaultyStore(): FaultyStore {
  let server: EventStoreServer;
  let store: EventStore;
  let lines: string[] = [];

  const open = (options: Partial<EventStoreDbOptions> = {}): EventStore =>
    openEventStoreDb({
      connectionString: server.connectionString,
      streamPrefix: 'contract-',
      logger: {
        info: (fields, message) => lines.push(`info ${message} ${JSON.stringify(fields)}`),
        warn: (fields, message) => lines.push(`warn ${message} ${JSON.stringify(fields)}`),
      },
      ...options,
    });

  beforeEach(async () => {
    lines = [];
    server = await startEventStoreServer();
    store = open();
  });
  afterEach(async () => {
    server.faults.clear();
    await store.close();
    await server.stop();
  });

  return {
    get server() {
      return server;
    },
    get store() {
      return store;
    },
    get lines() {
      return lines;
    },
    open,
    appendUntilKnown: (appends, on = store) => appendUntilKnown(appends, on),
  };
}

async function appendUntilKnown(appends: readonly StreamAppend[], on: EventStore): Promise<string[]> {
  const answers: string[] = appends.map(() => '');
  let pending = appends.map((_, index) => index);
  while (pending.length > 0) {
    const results = await on.append(pending.map((index) => appends[index] as StreamAppend));
    const again: number[] = [];
    results.forEach((result, at) => {
      const index = pending[at] as number;
      if (result.kind === 'failed' && result.error.canRetry) again.push(index);
      else answers[index] = brief(result);
    });
    pending = again;
    if (pending.length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return answers;
}
