import { sqliteRunStore } from '../support/run-store.js';
import { survivesKills } from './kill-scenarios.js';

survivesKills({ storeName: 'SQLite', openStore: sqliteRunStore, commandCount: 40_000 });
