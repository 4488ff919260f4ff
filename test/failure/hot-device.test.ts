import { sqliteRunStore } from '../support/run-store.js';
import { takesUpHotDevice } from './kill-scenarios.js';

takesUpHotDevice({ storeName: 'SQLite', openStore: sqliteRunStore, commandCount: 20_000 });
