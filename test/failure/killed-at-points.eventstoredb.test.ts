import { startEventStoreServer } from '../support/eventstore-server/index.js';
import { runStoreOf } from '../support/run-store.js';
import { POINTS_IN_KAFKA, survivesKillsAt } from './killed-at-points.js';

survivesKillsAt({
  storeName: 'EventStoreDB',
  openStore: async (dataDir) => runStoreOf(await startEventStoreServer(), dataDir),
  points: [
    'before an append to EventStoreDB',
    'while an append to EventStoreDB is under way',
    'when some appends to EventStoreDB are answered',
    'before the answer of an append to EventStoreDB is seen',
    ...POINTS_IN_KAFKA,
    'amid a snapshot',
  ],
});
