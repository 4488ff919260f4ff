/**
 * npm run bench:latency [-- --rounds 5] [--seconds 10] [--commands 40000] [--unit 500] [--json FILE]
 *
 * The time from an update to its accepted message at half of the most commands a second that the service takes, against
 * that of the bare kafkajs program at the same rate: the 99th percentile.
 *
 * It counts from the moment at which a command was due, so that a hold-up is paid by all commands that it holds up, until
 * the broker has the accepted message, by the broker's clock, which is this machine's.
 */
import { end } from './support/children.js';
import { runRound, usualWork } from './support/command-contest.js';
import { type Contender, startBare, startService } from './support/contenders.js';
import { withKafka } from './support/kafka-bench.js';
import { median, quantile } from './support/machine.js';
import { readOptions } from './support/options.js';
import { type AcceptedReader, openAcceptedReader, sendPaced } from './support/paced-load.js';
import { announce, conclude, type Figure } from './support/report.js';

const CAPACITY_ROUNDS = 3;
const { rounds, seconds, commands, unit, json } = readOptions({
  rounds: 5,
  seconds: 10,
  commands: 40_000,
  unit: 500,
});

interface Side {
  readonly contender: Contender;
  readonly reader: AcceptedReader;
  readonly p50: number[];
  readonly p99: number[];
}

await withKafka(async (bench) => {
  const sides: Side[] = [];
  try {
    for (const contender of [await startService(bench), await startBare(bench, unit)])
      sides.push({ contender, reader: await openAcceptedReader(bench, contender), p50: [], p99: [] });
    const [service, bare] = sides;
    if (service === undefined || bare === undefined) throw new Error('Both sides must have started');

    const capacities: number[] = [];
    for (let round = 0; round <= CAPACITY_ROUNDS; round++) {
      const { perSecond } = await runRound(bench, service.contender, usualWork(commands)(round));
      if (round > 0) capacities.push(perSecond);
    }
    const rate = Math.round(median(capacities) / 2);
    const count = Math.round(rate * seconds);
    const method = `${rate} commands/s, half of what the service takes (median of ${CAPACITY_ROUNDS} rounds of ${commands}), sent evenly for ${seconds} s, from when each was due until the broker has its accepted message; the bare program in units of ${unit} at most; ${rounds} alternating rounds after one to warm up, medians`;
    announce(method);

    for (const side of sides) await side.reader.skip();
    for (let round = 0; round <= rounds; round++) {
      const { commands: due } = usualWork(count)(CAPACITY_ROUNDS + 1 + round);
      for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
        const dueAt = await sendPaced(bench, `${side.contender.prefix}.update`, due, rate);
        const latencies = (await side.reader.read(count)).map((at, index) => at - (dueAt[index] ?? NaN));
        if (round === 0) continue;
        const [p50, p99] = [quantile(latencies, 0.5), quantile(latencies, 0.99)];
        side.p50.push(p50);
        side.p99.push(p99);
        console.log(
          `round ${round} ${side.contender.name}: median ${p50.toFixed(1)} ms, 99 % ${p99.toFixed(1)} ms`,
        );
      }
    }
    const figureOf = ({ contender: { name } }: Side, values: readonly number[]): Figure => ({
      side: name,
      value: median(values),
      unit: 'ms',
    });
    const compare = (key: 'p50' | 'p99') => {
      const [ours, theirs] = [figureOf(service, service[key]), figureOf(bare, bare[key])];
      return { sides: [ours, theirs] as const, ratio: ours.value / theirs.value };
    };
    const comparisons = [compare('p99'), { name: 'median', ...compare('p50') }];
    const details = { rate, capacities, service: service.p99, bare: bare.p99 };
    conclude({ bench: 'latency', method, comparisons, details, json });
  } finally {
    await Promise.all(sides.map(({ reader }) => reader.close()));
    await Promise.all(sides.map(({ contender }) => end(contender.process)));
  }
});
