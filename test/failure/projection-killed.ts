import { LedProjections } from '../../src/application/led-projections.js';
import { openEventStore } from '../../src/open-event-store.js';
import { openLeadership, openReadModel, type ReadModelAddress } from '../../src/open-read-model.js';
import { Histories, randomFrom } from '../support/histories.js';
import { dependenciesOf } from '../support/projections.js';

/**
 * Projects, and rebuilds, a log that grows meanwhile, until it is killed: `projection-killed.ts <dir> <seed> <address>`,
 * the last one of the read model, as JSON. Prints a line when it has written the first rows.
 */
const [dataDir = '', seed = '0', json = ''] = process.argv.slice(2);
const address = JSON.parse(json) as ReadModelAddress;
const store = openEventStore({ kind: 'sqlite', dataDir });
const model = await openReadModel(address, { warn: (_, message) => process.stderr.write(`${message}\n`) });
const dependencies = dependenciesOf(store, model, { batchCount: 20, delayMs: 2 });
const projections = new LedProjections({ ...dependencies, leadership: openLeadership(address) });
projections.start();
// Devices of its own, so that it need not know what those before it have made of the others.
const histories = new Histories(randomFrom(Number(seed)), 20, `s${seed}-`);
let hasBegun = false;
for (;;) {
  await histories.append(store, 50);
  projections.rebuild();
  if (!hasBegun && dependencies.observer.events > 0) process.stdout.write('begun\n');
  hasBegun = dependencies.observer.events > 0;
  await new Promise((resolve) => setTimeout(resolve, 2));
}
