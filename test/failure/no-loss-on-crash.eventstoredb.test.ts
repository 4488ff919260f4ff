import { faultyEventStoreDb } from '../support/run-store.js';
import { survivesKills } from './kill-scenarios.js';

survivesKills({
  storeName: 'EventStoreDB with its faults',
  openStore: faultyEventStoreDb,
  commandCount: 16_000,
});
