import { openSqliteEventStore } from '../../src/adapters/event-store/sqlite/sqlite-event-store.js';
import { followFleetSuite } from '../support/fleet-following.js';
import { temporaryFolder } from '../support/service.js';

followFleetSuite('SQLite', async () => {
  const { path, remove } = temporaryFolder();
  return { open: () => openSqliteEventStore({ dataDir: path }), close: async () => remove() };
});
