import { openSqliteReadModel } from '../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { Projections } from '../../src/application/projections.js';
import { openEventStore } from '../../src/open-event-store.js';
import { Histories, randomFrom } from '../support/histories.js';
import { dependenciesOf } from '../support/projections.js';

/**
 * Projects, and rebuilds, a log that grows meanwhile, until it is killed: `projection-killed.ts <dir> <seed>`. Prints a
 * line when it has begun.
 */
const [dataDir = '', seed = '0'] = process.argv.slice(2);
const store = openEventStore({ kind: 'sqlite', dataDir });
const model = openSqliteReadModel(dataDir, { warn: (_, message) => process.stderr.write(`${message}\n`) });
const projections = new Projections(dependenciesOf(store, model, { batchCount: 20, delayMs: 2 }));
projections.start();
process.stdout.write('begun\n');
// Devices of its own, so that it need not know what those before it have made of the others.
const histories = new Histories(randomFrom(Number(seed)), 20, `s${seed}-`);
for (;;) {
  await histories.append(store, 50);
  projections.rebuild();
  await new Promise((resolve) => setTimeout(resolve, 2));
}
