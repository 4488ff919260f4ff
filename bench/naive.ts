/**
 * npm run bench:naive [-- --rounds 5] [--commands 40000] [--share 0.1] [--json FILE]
 *
 * Commands a second of this service against a plain Nest service of the same function (`bench/naive/`): Nest's Kafka
 * transport, class-validator on each message, an awaited append to the same kind of store, single sends. The plain
 * service gets a `--share` of the service's commands in each round, as it takes so much longer for each.
 */
import { bySpeed, runCommandContest, usualMethod, usualWork } from './support/command-contest.js';
import { startNaive, startService, serviceProjections } from './support/contenders.js';
import { readOptions } from './support/options.js';
import { announce, conclude } from './support/report.js';

const { rounds, commands, share, json } = readOptions({ rounds: 5, commands: 40_000, share: 0.1 });
const fewer = Math.round(commands * share);
const method = `${usualMethod(commands, rounds)}; the plain service gets ${fewer} of them, PROJECTIONS=${serviceProjections}`;
announce(method);
const contest = await runCommandContest({
  rounds,
  sides: [
    { start: startService, workOf: usualWork(commands) },
    { start: startNaive, workOf: usualWork(fewer) },
  ],
});
conclude({ bench: 'naive', method, comparisons: [bySpeed(contest)], details: contest, json });
