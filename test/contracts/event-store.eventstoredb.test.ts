import { openEventStoreDb } from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import { describeWithEventStore } from '../support/eventstore.js';
import { startEventStoreServer } from '../support/eventstore-server/index.js';
import { eventStoreContract, type EventStoreHarness } from './event-store.contract.js';

const harness = (connectionString: string, dispose?: () => Promise<void>): EventStoreHarness => {
  const open = async () => openEventStoreDb({ connectionString, streamPrefix: 'contract-' });
  return { open, reopen: open, ...(dispose && { dispose }) };
};

eventStoreContract('EventStoreDB, the test server', async () => {
  const server = await startEventStoreServer();
  return harness(server.connectionString, () => server.stop());
});

describeWithEventStore('EventStoreDB, a real server', (connectionString) => {
  eventStoreContract('EventStoreDB', () => harness(connectionString));
});
