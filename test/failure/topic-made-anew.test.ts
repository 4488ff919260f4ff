import { sqliteRunStore } from '../support/run-store.js';
import { survivesTopicMadeAnew } from './kill-scenarios.js';

survivesTopicMadeAnew({ storeName: 'SQLite', openStore: sqliteRunStore, commandCount: 30_000 });
