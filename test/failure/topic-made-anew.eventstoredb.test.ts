import { faultyEventStoreDb } from '../support/run-store.js';
import { survivesTopicMadeAnew } from './kill-scenarios.js';

survivesTopicMadeAnew({
  storeName: 'EventStoreDB with its faults',
  openStore: faultyEventStoreDb,
  commandCount: 16_000,
});
