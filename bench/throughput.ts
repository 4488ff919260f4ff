/**
 * npm run bench:throughput [-- --rounds 5] [--commands 40000] [--unit 500] [--json FILE]
 *
 * Commands a second of this service (Kafka in, SQLite with every commit synced, Kafka out) against a bare kafkajs
 * program that consumes the same commands and produces two messages for each, in units of `--unit`.
 */
import { bySpeed, runCommandContest, usualMethod, usualWork } from './support/command-contest.js';
import { startBare, startService, serviceProjections } from './support/contenders.js';
import { readOptions } from './support/options.js';
import { announce, conclude } from './support/report.js';

const { rounds, commands, unit, json } = readOptions({ rounds: 5, commands: 40_000, unit: 500 });
const method = `${usualMethod(commands, rounds)}; the bare program in units of ${unit}, PROJECTIONS=${serviceProjections}`;
announce(method);
const workOf = usualWork(commands);
const contest = await runCommandContest({
  rounds,
  sides: [
    { start: startService, workOf },
    { start: (bench) => startBare(bench, unit), workOf },
  ],
});
conclude({ bench: 'throughput', method, comparisons: [bySpeed(contest)], details: contest, json });
