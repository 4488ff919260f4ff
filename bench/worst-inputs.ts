import { cpus } from 'node:os';
import { timeOf, unitMs } from '../test/support/poison/time-worst.js';
import { WORST_CASES } from '../test/support/poison/worst.js';

/**
 * How long the worst requests hold up the event loop, from their bytes to their outputs, with events in memory: the least
 * of five. `npm run bench:worst -- 921600` asks for other sizes than 128 KiB; what is larger than a request may be is
 * refused at once.
 */
const bytes = Number(process.argv[2] ?? 128 * 1024 - 500);
const unit = unitMs();
console.log(
  `${cpus()[0]?.model ?? 'a machine'}, Node.js ${process.version}; requests of about ${bytes} bytes`,
);
console.log(`unit (128 KiB of JSON read and written): ${unit.toFixed(2)} ms\n`);
const rows: { name: string; ms: number }[] = [];
for (const worst of WORST_CASES) rows.push({ name: worst.name, ms: await timeOf(worst, bytes) });
for (const { name, ms } of rows.sort((one, other) => other.ms - one.ms)) {
  console.log(`${ms.toFixed(2).padStart(8)} ms ${(ms / unit).toFixed(1).padStart(7)} units  ${name}`);
}
