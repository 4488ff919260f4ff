import { openSqliteReadModel } from '../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { rebuild } from '../../src/application/rebuild.js';
import { openEventLog } from '../../src/open-event-log.js';
import { dependenciesOf } from '../support/projections.js';

/** Rebuilds the read model of a folder with small bounds, and prints how many events it folded. */
const [dataDir = ''] = process.argv.slice(2);
const logger = {
  info: () => undefined,
  warn: (_: object, text: string) => process.stderr.write(`${text}\n`),
};
const store = await openEventLog({ kind: 'sqlite', dataDir }, logger);
const model = openSqliteReadModel(dataDir, logger);
const bounds = { batchCount: 250_000, batchBytes: 8 * 1024 * 1024, cacheBytes: 8 * 1024 * 1024 };
const done = await rebuild(dependenciesOf(store, model, bounds), new AbortController().signal);
process.stdout.write(String(done?.events));
await model.close();
await store.close();
