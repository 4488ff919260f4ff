/**
 * npm run bench:streams [-- --rounds 5] [--commands 40000] [--warmup 3] [--json FILE]
 *
 * Commands a second, and CPU time a command, of this service against a Kafka Streams application of the same function
 * (`bench/streams/`, Java, Maven): a KTable in RocksDB with its changelog, the same topics and documents, one stream
 * thread, at-least-once. Several rounds to warm up, for the sake of the JVM's compilers.
 */
import { byCpu, bySpeed, runCommandContest, usualMethod, usualWork } from './support/command-contest.js';
import { startService, startStreams, serviceProjections } from './support/contenders.js';
import { readOptions } from './support/options.js';
import { announce, conclude } from './support/report.js';

const { rounds, commands, warmup, json } = readOptions({ rounds: 5, commands: 40_000, warmup: 3 });
const method = `${usualMethod(commands, rounds, String(warmup))}; Kafka Streams 4.1.1, PROJECTIONS=${serviceProjections}`;
announce(method);
const workOf = usualWork(commands);
const contest = await runCommandContest({
  rounds,
  warmUpRounds: warmup,
  sides: [
    { start: startService, workOf },
    { start: startStreams, workOf },
  ],
});
const comparisons = [bySpeed(contest), byCpu(contest)];
conclude({ bench: 'streams', method, comparisons, details: contest, json });
