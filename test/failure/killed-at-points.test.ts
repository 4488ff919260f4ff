import { expect } from '@jest/globals';
import { openReadModel } from '../../src/open-read-model.js';
import { Projections } from '../../src/application/projections.js';
import { until } from '../support/http.js';
import { dependenciesOf, foldOfLog } from '../support/projections.js';
import { sqliteRunStore } from '../support/run-store.js';
import { POINTS_IN_KAFKA, survivesKillsAt } from './killed-at-points.js';

survivesKillsAt({
  storeName: 'SQLite',
  openStore: sqliteRunStore,
  points: [
    'before an append to SQLite',
    'amid an append to SQLite',
    'before an append to SQLite is committed',
    'after an append to SQLite is committed',
    ...POINTS_IN_KAFKA,
    'amid a snapshot',
    "amid a projection's transaction",
    'before a projection is committed',
    "before a rebuild's swap",
    "after a rebuild's swap",
  ],
  async finally(run) {
    const dataDir = run.store.environment.DATA_DIR;
    const store = run.store.open();
    const model = await openReadModel({ kind: 'sqlite', dataDir }, { warn: () => undefined });
    try {
      // The service was stopped when its commands were done, which its lists need not have been.
      const projections = new Projections(dependenciesOf(store, model));
      projections.start();
      await until('the lists are up to date', () => {
        const { lagMs, rebuild } = projections.status();
        return lagMs === 0 && rebuild === null;
      });
      await projections.stop();
      const { rows } = await foldOfLog(store);
      const shown = await model.scan('', rows.size + 1);
      expect(new Map(shown.map((row) => [row.deviceId, row]))).toEqual(rows);
    } finally {
      await model.close();
      await store.close();
    }
  },
});
