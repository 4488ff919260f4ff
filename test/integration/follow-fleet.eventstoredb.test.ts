import { openEventStoreDb } from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import { STREAM_PREFIX } from '../../src/replica/stored.js';
import { startEventStoreServer } from '../support/eventstore-server/index.js';
import { followFleetSuite } from '../support/fleet-following.js';

followFleetSuite(
  'EventStoreDB',
  async () => {
    const server = await startEventStoreServer();
    const { connectionString } = server;
    return {
      open: () => openEventStoreDb({ connectionString, streamPrefix: STREAM_PREFIX }),
      close: () => server.stop(),
    };
  },
  16_384,
);
