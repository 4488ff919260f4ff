/**
 * npm run bench [-- --json FILE] [--only throughput,read]
 *
 * Runs every bench of docs/performance.md, one after the other, gathers what they report, and writes the table there;
 * with `--only`, some of them, and the table is printed alone. It takes most of an hour; nothing else should run.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { AIMS } from './support/aims.js';
import { type Report } from './support/report.js';
import { runBench } from './support/run-bench.js';
import { tableOf, withTable } from './support/table.js';

const DOCUMENT = 'docs/performance.md';
const { values } = parseArgs({ options: { json: { type: 'string' }, only: { type: 'string' } } });
const known = new Set(AIMS.map(({ bench }) => bench));
const benches = values.only?.split(',') ?? [...known];
const unknown = benches.filter((bench) => !known.has(bench));
if (unknown.length > 0) throw new Error(`--only knows ${[...known].join(', ')}; not ${unknown.join(', ')}`);

const reports = new Map<string, Report>();
const failed: string[] = [];
for (const bench of benches) {
  console.log(`\nbench:${bench}`);
  try {
    reports.set(bench, await runBench(bench));
  } catch (error) {
    // The others are worth having all the same.
    console.error((error as Error).message);
    failed.push(bench);
  }
}
const table = tableOf(reports, new Date());
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify([...reports.values()], null, 2)}\n`);
if (values.only === undefined && failed.length === 0)
  writeFileSync(DOCUMENT, withTable(readFileSync(DOCUMENT, 'utf8'), table));
console.log(`\n${table}`);
if (failed.length > 0) {
  console.error(`failed: ${failed.join(', ')}; ${DOCUMENT} stays as it was`);
  process.exitCode = 1;
}
