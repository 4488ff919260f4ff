/**
 * npm run bench:idle [-- --rounds 5] [--seconds 12] [--json FILE]
 *
 * CPU time of the service that has nothing to do, its read model included, against that of the bare kafkajs program, a
 * stock consumer and producer. Both idle at the same time, in windows of `--seconds`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { end } from './support/children.js';
import { type Contender, startBare, startService } from './support/contenders.js';
import { withKafka } from './support/kafka-bench.js';
import { cpuMicros, median, threadMicros } from './support/machine.js';
import { readOptions } from './support/options.js';
import { announce, conclude, type Figure } from './support/report.js';

const SETTLE_MS = 8000;
const { rounds, seconds, json } = readOptions({ rounds: 5, seconds: 12 });
const method = `a Kafka broker, the service with its read model and the bare program, nothing sent; ${SETTLE_MS / 1000} s after their start, ${rounds} windows of ${seconds} s, both at the same time, CPU time of all threads, medians`;

async function idle(contenders: readonly Contender[]): Promise<number[]> {
  const used = (): number[] =>
    contenders.map(({ process: { pid = 0 } }) => threadMicros(pid) ?? cpuMicros(pid) ?? NaN);
  const before = used();
  const start = performance.now();
  await pause(seconds * 1000);
  const passed = (performance.now() - start) / 1000;
  return used().map((micros, index) => (micros - (before[index] ?? NaN)) / 1000 / passed);
}

announce(method);
await withKafka(async (bench) => {
  const contenders: Contender[] = [];
  try {
    contenders.push(await startService(bench, { env: { PROJECTIONS: 'on' } }), await startBare(bench, 500));
    await pause(SETTLE_MS);
    const windows: number[][] = [];
    for (let round = 1; round <= rounds; round++) {
      const used = await idle(contenders);
      windows.push(used);
      const told = contenders.map(({ name }, index) => `${name} ${used[index]?.toFixed(2)} CPU ms/s`);
      console.log(`round ${round} ${told.join(', ')}`);
    }
    const [service, bare] = contenders.map(({ name }, index): Figure => {
      const value = median(windows.map((used) => used[index] ?? NaN));
      return { side: name, value, unit: 'CPU ms/s' };
    });
    if (service === undefined || bare === undefined) throw new Error('Both sides must have run');
    const comparisons = [{ sides: [service, bare], ratio: service.value / bare.value }] as const;
    conclude({ bench: 'idle', method, comparisons, details: { windows }, json });
  } finally {
    await Promise.all(contenders.map(({ process }) => end(process)));
  }
});
