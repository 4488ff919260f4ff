/**
 * Projects a log and rebuilds its read model over and over, until it is killed: `projection-killed.mjs DIR ADDRESS AIM`,
 * the address of the read model and the aim as JSON. It kills itself where the aim says (see `Aim` in
 * read-model-kills.ts); null: somebody else must.
 *
 * Each line that it prints says what it does next, or with ` done` behind it, that this is done. Plain JavaScript on the
 * built program, since a hundred of it are started.
 */
import { writeSync } from 'node:fs';
import process from 'node:process';
import { setInterval } from 'node:timers';
import { Worker } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { openSqliteEventLog } from '../../dist/adapters/event-store/sqlite/sqlite-event-log.js';
import { LedProjections } from '../../dist/application/led-projections.js';
import { openLeadership, openReadModel } from '../../dist/open-read-model.js';

const [dataDir = '', addressJson = '', aimJson = ''] = process.argv.slice(2);
const address = JSON.parse(addressJson);
const aim = JSON.parse(aimJson);
const print = (line) => writeSync(1, `${line}\n`);
const warn = (_, message) => writeSync(2, `${message}\n`);
const die = () => process.kill(process.pid, 'SIGKILL');

/** Another thread, since nothing of this one runs amid a transaction of SQLite. */
const KILLER = `
  const { workerData } = require('node:worker_threads');
  Atomics.wait(workerData.go, 0, 0);
  const until = performance.now() + workerData.afterMs;
  while (performance.now() < until);
  process.kill(process.pid, 'SIGKILL');
`;
const go = new Int32Array(new SharedArrayBuffer(4));
if (aim !== null) {
  const killer = new Worker(KILLER, { eval: true, workerData: { go, afterMs: aim.afterMs } });
  await new Promise((resolve) => killer.once('online', resolve));
}

/** How many more statements of SQLite may write in this step; null: any number. */
let statementsLeft = null;
const { prototype } = new Database(':memory:').prepare('SELECT 1').constructor;
const { run } = prototype;
prototype.run = function (...args) {
  if (statementsLeft !== null && statementsLeft-- === 0) die();
  return run.apply(this, args);
};

function killSoon() {
  Atomics.store(go, 0, 1);
  Atomics.notify(go, 0);
}

let left = aim?.nth ?? 0;
/** No more of the phase is to come: then any will do. */
let isAny = false;
function isAimed(phase) {
  return aim !== null && left > 0 && (isAny || phase === aim.phase) && --left === 0;
}

/** Says what is done next, and lets it be the last thing where it is what was aimed at. */
async function step(phase, work) {
  print(phase);
  if (!isAimed(phase)) return work();
  if (aim.statement === null) killSoon();
  statementsLeft = aim.statement;
  const result = await work();
  print(`${phase} done`);
  killSoon();
  // Nothing follows it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  return result;
}

const file = await openReadModel(address, { warn });
let activeId = null;
let isToSweep = false;
const model = Object.assign(Object.create(file), {
  async generations() {
    const all = await file.generations();
    activeId = all.find(({ isActive }) => isActive)?.id ?? null;
    return all;
  },
  activate: (id, options) =>
    step('swapping', async () => {
      const isActive = await file.activate(id, options);
      if (isActive) activeId = id;
      isToSweep ||= isActive;
      return isActive;
    }),
  write: (id, written) => step(id === activeId ? 'projecting' : 'rebuilding', () => file.write(id, written)),
  // Before the first swap there may be nothing to remove.
  sweep: (maxCount) => step(isToSweep ? 'sweeping' : 'looking', () => file.sweep(maxCount)),
});
for (const name of ['load', 'find']) model[name] = (...args) => file[name](...args);

const observer = {
  projected: () => undefined,
  settled: () => undefined,
  deviceBroken: (_, reason) => warn({}, `broken: ${reason}`),
  projectionFailed: (kind, error) => warn({}, `${kind}: ${error.stack}`),
  generation: () => undefined,
};
const options = { batchCount: 25, batchBytes: 1_000_000, delayMs: 1, cacheBytes: 100_000 };
const store = openSqliteEventLog({ dataDir });
const dependencies = { store, model, observer, clock: Date.now, options };
const projections = new LedProjections({ ...dependencies, leadership: openLeadership(address) });
projections.start();
setInterval(() => {
  // What readers see is brought up to date first, so that there is something to project.
  const { lagMs, rebuild } = projections.status();
  if (lagMs > 0 || rebuild !== null) return;
  isAny ||= aim?.phase === 'projecting';
  projections.rebuild();
}, 1);
