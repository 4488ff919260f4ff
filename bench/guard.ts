/**
 * npm run bench:guard [-- --record]
 *
 * Short runs of the benches whose ratios are stable, against the ratios in bench/recorded-ratios.json: fails where one is
 * below 0.6 of what is recorded there, and so only for what no noise of the machine explains. `--record` writes the
 * ratios that it measures.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { runBench } from './support/run-bench.js';

const RECORDED = 'bench/recorded-ratios.json';
const TOLERANCE = 0.6;
/** Together less than a minute. */
const SHORT: Readonly<Record<string, readonly string[]>> = {
  throughput: ['--rounds', '3', '--commands', '10000'],
  read: ['--rounds', '3', '--seconds', '1', '--devices', '100'],
  rebuild: ['--rounds', '3', '--events', '30000', '--devices', '2000'],
};

const { values } = parseArgs({ options: { record: { type: 'boolean', default: false } } });
const measured: Record<string, number> = {};
for (const [bench, args] of Object.entries(SHORT)) {
  const { comparisons } = await runBench(bench, args);
  measured[bench] = Number((comparisons[0]?.ratio ?? NaN).toFixed(2));
}
if (values.record) {
  writeFileSync(RECORDED, `${JSON.stringify(measured, null, 2)}\n`);
} else {
  const recorded = JSON.parse(readFileSync(RECORDED, 'utf8')) as Record<string, number>;
  for (const [bench, ratio] of Object.entries(measured)) {
    const least = (recorded[bench] ?? NaN) * TOLERANCE;
    const isGood = ratio >= least;
    if (!isGood) process.exitCode = 1;
    console.log(
      `${isGood ? 'kept' : 'SLOWER'}: bench:${bench} has the ratio ${ratio}; recorded ${recorded[bench]}, at least ${least.toFixed(2)}`,
    );
  }
}
