/**
 * npm run bench:eventstore [-- --rounds 5] [--commands 40000] [--unit 500] [--json FILE]
 *
 * As `bench:throughput`, with the events in the event store's test server, by its own protocol; the server shares its
 * core with the broker.
 */
import { end } from './support/children.js';
import { bySpeed, runCommandContest, usualMethod, usualWork } from './support/command-contest.js';
import { startBare, startService, serviceProjections } from './support/contenders.js';
import { readOptions } from './support/options.js';
import { announce, conclude } from './support/report.js';
import { startStoreServer } from './support/store-server.js';

const { rounds, commands, unit, json } = readOptions({ rounds: 5, commands: 40_000, unit: 500 });
const method = `${usualMethod(commands, rounds)}; events in the test server, the bare program in units of ${unit}, PROJECTIONS=${serviceProjections}`;
announce(method);
const workOf = usualWork(commands);
const server = await startStoreServer();
try {
  const env = { EVENTSTORE_CONNECTION_STRING: server.connectionString };
  const contest = await runCommandContest({
    rounds,
    sides: [
      { start: (bench) => startService(bench, { env }), workOf },
      { start: (bench) => startBare(bench, unit), workOf },
    ],
    storePid: server.process.pid,
  });
  conclude({ bench: 'eventstore', method, comparisons: [bySpeed(contest)], details: contest, json });
} finally {
  await end(server.process);
}
