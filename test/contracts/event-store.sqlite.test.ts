import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteEventLog } from '../../src/adapters/event-store/sqlite/sqlite-event-log.js';
import {
  openSqliteEventStore,
  type SqliteEventStoreOptions,
} from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { LogSignal } from '../../src/adapters/event-store/subscription.js';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { eventStoreContract, type EventStoreHarness } from './event-store.contract.js';

const harness = (options: SqliteEventStoreOptions) => (): EventStoreHarness => {
  const root = mkdtempSync(join(tmpdir(), 'event-store-'));
  let dataDir = root;
  let count = 0;
  return {
    open: async () => openSqliteEventStore({ ...options, dataDir: (dataDir = join(root, String(count++))) }),
    reopen: async () => openSqliteEventStore({ ...options, dataDir }),
    dispose: async () => rmSync(root, { recursive: true }),
  };
};

/** Appends by the store, and reads by a connection of its own beside it: as the projector does, which is told, or a command. */
function readBeside(dataDir: string, isTold: boolean): EventStore {
  const store = openSqliteEventStore({ dataDir });
  const grown = new LogSignal();
  store.onGrowth(() => grown.notify());
  const log = openSqliteEventLog({ dataDir, ...(isTold ? { grown } : { pollMs: 1 }) });
  return {
    append: (appends) => store.append(appends),
    health: () => store.health(),
    readStream: (stream, options) => log.readStream(stream, options),
    readAll: (options) => log.readAll(options),
    subscribe: (options) => log.subscribe(options),
    async close() {
      await store.close();
      await log.close();
    },
  };
}

const besideHarness = (isTold: boolean) => (): EventStoreHarness => {
  const root = mkdtempSync(join(tmpdir(), 'event-log-'));
  let count = 0;
  return {
    open: async () => readBeside(join(root, String(count++)), isTold),
    dispose: async () => rmSync(root, { recursive: true }),
  };
};

eventStoreContract('sqlite', harness({}));
eventStoreContract('sqlite, read by another connection', besideHarness(false));
eventStoreContract('sqlite, read by another connection that is told', besideHarness(true));
eventStoreContract('sqlite, streams looked up in the file', harness({ streamCacheCount: 1 }));
