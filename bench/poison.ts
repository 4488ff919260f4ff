/**
 * npm run bench:poison [-- --rounds 5] [--commands 40000] [--percent 1] [--json FILE]
 *
 * Commands a second of the service where `--percent` of the commands are bad, of each kind of badness in turn, against
 * those without any: two services, the same good commands.
 */
import { bySpeed, runCommandContest, type Side, usualMethod, usualWork } from './support/command-contest.js';
import { startService } from './support/contenders.js';
import { readOptions } from './support/options.js';
import { announce, conclude } from './support/report.js';
import { type Command } from './support/workload.js';

const { rounds, commands, percent, json } = readOptions({ rounds: 5, commands: 40_000, percent: 1 });

const text = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
/** Each ends with one message: rejected, or a dead letter where the key is no device's. */
const BAD: readonly ((key: string) => Command)[] = [
  (key) => ({ key, value: Buffer.from('{"state":{"reported":{"a":1}') }),
  (key) => ({ key, value: Buffer.from([0xff, 0xfe, 0x00, 0x7b]) }),
  (key) => ({ key, value: text({ state: { reported: { a: 1 } }, version: 999_999_999 }) }),
  (key) => ({ key, value: text({ state: { other: { a: 1 } } }) }),
  (key) => ({ key, value: text({ state: { desired: { a: { b: { c: { d: { e: { f: { g: 1 } } } } } } } } }) }),
  (key) => ({ key, value: text({ state: { reported: { blob: 'x'.repeat(40_000) } } }) }),
  (key) => ({ key: `no device ${key}`, value: text({ state: { reported: { a: 1 } } }) }),
];

/** The good commands as they are, with a bad one in the place of every so many. */
function withBadOnes(workOf: Side['workOf']): Side['workOf'] {
  return (round) => {
    const { commands: good } = workOf(round);
    const every = Math.round(100 / percent);
    let bad = 0;
    const mixed = good.map((command, index) =>
      index % every === every - 1 ? (BAD[bad++ % BAD.length] ?? (() => command))(command.key) : command,
    );
    return { commands: mixed, outputs: 2 * (good.length - bad) + bad };
  };
}

const method = `${usualMethod(commands, rounds)}; on one side ${percent} % of them bad (${BAD.length} kinds), on the other none`;
announce(method);
const good = usualWork(commands);
const contest = await runCommandContest({
  rounds,
  sides: [
    {
      start: (bench) => startService(bench, { name: 'service with bad commands' }),
      workOf: withBadOnes(good),
    },
    { start: startService, workOf: good },
  ],
});
conclude({ bench: 'poison', method, comparisons: [bySpeed(contest)], details: contest, json });
