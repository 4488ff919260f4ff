import { MemoryEventStore, MemoryStorage } from '../../src/adapters/event-store/memory/memory-event-store.js';
import { eventStoreContract } from './event-store.contract.js';

eventStoreContract('memory', () => {
  let storage = new MemoryStorage();
  return {
    open: async () => new MemoryEventStore({ storage: (storage = new MemoryStorage()) }),
    reopen: async () => new MemoryEventStore({ storage }),
  };
});
