import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { eventStoreContract } from './event-store.contract.js';

eventStoreContract('sqlite', () => {
  const root = mkdtempSync(join(tmpdir(), 'event-store-'));
  let dataDir = root;
  let count = 0;
  return {
    open: async () => openSqliteEventStore({ dataDir: (dataDir = join(root, String(count++))) }),
    reopen: async () => openSqliteEventStore({ dataDir }),
    dispose: async () => rmSync(root, { recursive: true }),
  };
});
