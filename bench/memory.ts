/**
 * npm run bench:memory [-- --rounds 5] [--devices 1000000] [--hot 50000] [--json FILE]
 *
 * What the service holds in memory for each hot device, one whose state of 1 KiB is in its cache: the growth of its
 * resident set from 10,000 to `--hot` devices, by their number, in a new process each round. Then, with the cache as it
 * is by default, what is resident once the cache is long full (a fifth of `--devices`) against all of them.
 */
import { once } from 'node:events';
import { end } from './support/children.js';
import { runRound } from './support/command-contest.js';
import { type Contender, startService } from './support/contenders.js';
import { boundTopics, type KafkaBench, withKafka } from './support/kafka-bench.js';
import { median } from './support/machine.js';
import { readOptions } from './support/options.js';
import { announce, conclude, textOf } from './support/report.js';
import { type Command, makeState, randomFrom } from './support/workload.js';

const FIRST = 10_000;
const CHUNK = 10_000;
const STATE_BYTES = 1024;
const MIB = 2 ** 20;
/** A cache for as many as come. */
const ALL_HOT = { CACHE_BYTES: String(16 * 2 ** 30) };
const { rounds, devices, hot, json } = readOptions({ rounds: 5, devices: 1_000_000, hot: 50_000 });
const full = Math.max(FIRST, Math.round(devices / 5));

interface Memory {
  /** Resident set, bytes. */
  readonly resident: number;
  /** Of it, what is in use in V8's heap and outside of it. */
  readonly live: number;
}

function commandsOf(from: number, to: number): Command[] {
  const random = randomFrom(from + 1);
  return Array.from({ length: to - from }, (_, index) => {
    const state = { reported: makeState(STATE_BYTES, random) };
    return { key: `device-${from + index}`, value: Buffer.from(JSON.stringify({ state })) };
  });
}

async function startProbed(bench: KafkaBench, name: string, env: Record<string, string>): Promise<Contender> {
  const flags = ['--expose-gc', '--import', './bench/support/memory-probe.mjs'];
  const contender = await startService(bench, { name, env, flags, channel: 'channel' });
  await boundTopics(bench.admin, contender.prefix);
  return contender;
}

/** Each gets its first update. */
async function take(bench: KafkaBench, contender: Contender, from: number, to: number): Promise<void> {
  for (let next = from; next < to; next += CHUNK) {
    const commands = commandsOf(next, Math.min(next + CHUNK, to));
    await runRound(bench, contender, { commands, outputs: 2 * commands.length });
  }
}

async function memoryOf({ process: child }: Contender): Promise<Memory> {
  child.send('memory');
  const [memory] = (await once(child, 'message')) as [Memory];
  return memory;
}

async function perHotDevice(bench: KafkaBench, round: number): Promise<Memory> {
  const contender = await startProbed(bench, `hot-${'abcdefghij'.charAt(round % 10)}`, ALL_HOT);
  try {
    await take(bench, contender, 0, FIRST);
    const first = await memoryOf(contender);
    await take(bench, contender, FIRST, hot);
    const last = await memoryOf(contender);
    const of = (key: keyof Memory): number => (last[key] - first[key]) / (hot - FIRST);
    return { resident: of('resident'), live: of('live') };
  } finally {
    await end(contender.process);
  }
}

/** Resident bytes by devices, at the first ten thousand and at each fifth of all. */
async function growth(bench: KafkaBench): Promise<[devices: number, resident: number][]> {
  const contender = await startProbed(bench, 'growth', {});
  try {
    const seen: [number, number][] = [];
    let taken = 0;
    for (const count of [FIRST, ...[1, 2, 3, 4, 5].map((fifth) => Math.round((devices * fifth) / 5))]) {
      await take(bench, contender, taken, count);
      taken = count;
      const { resident } = await memoryOf(contender);
      seen.push([count, resident]);
      console.log(`${count.toLocaleString('en')} devices: ${textOf({ value: resident / MIB, unit: 'MiB' })}`);
    }
    return seen;
  } finally {
    await end(contender.process);
  }
}

const method = `one update of a state of ${STATE_BYTES} bytes to each device; resident set after a full collection; from ${FIRST} to ${hot} devices, all in the cache, in ${rounds} processes, median; then to ${devices} devices with the default cache`;
announce(method);
await withKafka(async (bench) => {
  const measured: Memory[] = [];
  for (let round = 1; round <= rounds; round++) {
    const { resident, live } = await perHotDevice(bench, round);
    measured.push({ resident, live });
    console.log(
      `round ${round}: ${Math.round(resident)} bytes resident a device, ${Math.round(live)} of them live`,
    );
  }
  const perDevice = median(measured.map(({ resident }) => resident));
  const grown = await growth(bench);
  const atFull = grown.find(([count]) => count >= full)?.[1] ?? NaN;
  const atAll = grown.at(-1)?.[1] ?? NaN;
  const unit = 'MiB';
  conclude({
    bench: 'memory',
    method,
    comparisons: [
      {
        sides: [
          { side: 'resident a hot device', value: perDevice, unit: 'bytes' },
          { side: 'its state', value: STATE_BYTES, unit: 'bytes' },
        ],
        ratio: perDevice / STATE_BYTES,
      },
      {
        name: 'growth beyond the cache',
        sides: [
          { side: `${devices.toLocaleString('en')} devices`, value: atAll / MIB, unit },
          { side: `${full.toLocaleString('en')} devices`, value: atFull / MIB, unit },
        ],
        ratio: atAll / atFull,
      },
    ],
    details: { measured, grown },
    json,
  });
});
