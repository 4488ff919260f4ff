import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  openSqliteEventStore,
  type SqliteEventStoreOptions,
} from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
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

eventStoreContract('sqlite', harness({}));
eventStoreContract('sqlite, streams looked up in the file', harness({ streamCacheCount: 1 }));
