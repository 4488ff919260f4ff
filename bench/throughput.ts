/**
 * npm run bench:throughput [-- --json FILE] [--rounds 5] [--commands 40000] [--unit 500]
 *
 * Commands a second of this service (Kafka in, SQLite with every commit synced, Kafka out) against a bare kafkajs
 * program that consumes the same commands and produces two messages for each. One real broker, one run, alternating
 * rounds, medians.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { runCommandContest } from './support/command-contest.js';
import { machine } from './support/machine.js';

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    commands: { type: 'string', default: '40000' },
    unit: { type: 'string', default: '500' },
  },
});

console.log(`machine: ${machine()}`);
const contest = await runCommandContest({
  rounds: Number(options.rounds),
  commands: Number(options.commands),
  unit: options.unit,
});
if (options.json !== undefined) {
  const figures = { bench: 'throughput', machine: machine(), ...contest };
  writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
}
console.log(`ratio: ${contest.ratio.toFixed(2)}`);
