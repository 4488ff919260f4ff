import { faultyEventStoreDb } from '../support/run-store.js';
import { takesUpHotDevice } from './kill-scenarios.js';

takesUpHotDevice({
  storeName: 'EventStoreDB with its faults',
  openStore: faultyEventStoreDb,
  commandCount: 20_000,
});
