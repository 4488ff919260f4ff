/**
 * npm run bench:guard [-- --record] [--only read,rebuild]
 *
 * Short runs of the benches whose ratios are stable, against the ratios in bench/recorded-ratios.json: fails where one is
 * below 0.6 of what is recorded there in three runs, and so only for what no noise of the machine explains. `--record`
 * writes the ratios that it measures.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { guard } from './support/guarding.js';
import { runBench } from './support/run-bench.js';

const RECORDED = 'bench/recorded-ratios.json';
/** Each of them takes less than this by far. */
const LIMIT_MS = 120_000;
/** Together some two minutes, of which most is the start of Kafka and of the programs. */
const SHORT: Readonly<Record<string, readonly string[]>> = {
  throughput: ['--rounds', '3', '--commands', '10000'],
  read: ['--rounds', '3', '--seconds', '1', '--devices', '100'],
  rebuild: ['--rounds', '3', '--events', '30000', '--devices', '2000'],
};

const { values } = parseArgs({
  options: { record: { type: 'boolean', default: false }, only: { type: 'string' } },
});
const benches = values.only?.split(',') ?? Object.keys(SHORT);
const unknown = benches.filter((bench) => !Object.hasOwn(SHORT, bench));
if (unknown.length > 0)
  throw new Error(`--only knows ${Object.keys(SHORT).join(', ')}; not ${unknown.join(', ')}`);
const recorded = JSON.parse(readFileSync(RECORDED, 'utf8')) as Record<string, number>;
const ratioOf = async (bench: string): Promise<number> => {
  const { comparisons } = await runBench(bench, SHORT[bench], { limitMs: LIMIT_MS });
  return Number((comparisons[0]?.ratio ?? NaN).toFixed(2));
};

if (values.record) {
  for (const bench of benches) recorded[bench] = await ratioOf(bench);
  writeFileSync(RECORDED, `${JSON.stringify(recorded, null, 2)}\n`);
} else {
  const lines: string[] = [];
  for (const bench of benches) {
    const { isKept, text } = await guard(bench, recorded[bench] ?? NaN, () => ratioOf(bench));
    if (!isKept) process.exitCode = 1;
    lines.push(text);
  }
  console.log(`\n${lines.join('\n')}`);
}
