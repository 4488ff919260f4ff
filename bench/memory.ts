/**
 * npm run bench:memory [-- --rounds 3] [--hot 100000] [--devices 1000000] [--json FILE]
 *
 * What the service holds in memory for each hot device, one whose state of 1 KiB is in its cache as it is by default:
 * what is resident with `--hot` devices less what is resident with 1,000, by their number, in a new process each round.
 * First the 1,000 devices get 160,000 updates, so that what does not depend on the number of devices is there before:
 * compiled code, SQLite's pages, most of what malloc keeps of freed buffers (50 MiB that come with the work). Resident
 * is the resident set after full collections without V8's young generation, which is empty then and bounded, but of
 * which the system keeps 340 to 470 MiB, differently each time. That all devices are in the cache is checked.
 *
 * Then, with a cache of 64 MiB, what is resident once the cache is long full (a fifth of `--devices`) against all.
 */
import { once } from 'node:events';
import { freePorts } from '../test/support/ports.js';
import { end } from './support/children.js';
import { runRound } from './support/command-contest.js';
import { type Contender, startService } from './support/contenders.js';
import { boundTopics, type KafkaBench, withKafka } from './support/kafka-bench.js';
import { median } from './support/machine.js';
import { readOptions } from './support/options.js';
import { announce, conclude, textOf } from './support/report.js';
import { type Command, makeState, randomFrom } from './support/workload.js';

const FEW = 1000;
const WARM_UP_COUNT = 160_000;
const CHUNK = 20_000;
const STATE_BYTES = 1024;
const MIB = 2 ** 20;
/** For the growth beyond it: what some 35,000 devices fill. */
const SMALL_CACHE = { CACHE_BYTES: String(64 * MIB) };
const { rounds, hot, devices, json } = readOptions({ rounds: 3, hot: 100_000, devices: 1_000_000 });
const full = Math.round(devices / 5);

/** In bytes, after full collections. */
interface Memory {
  /** Resident set. */
  readonly resident: number;
  /** Of it, V8's young generation. */
  readonly young: number;
  /** What is in use in V8's heap and outside of it. */
  readonly live: number;
}

/** For each device, bytes. */
interface PerDevice {
  readonly resident: number;
  readonly live: number;
  /** Of all that are in the cache. */
  readonly packedShare: number;
}

/** One for each number, to the device of that number or, of `among`, of the rest. */
function commandsOf(from: number, to: number, among: number): Command[] {
  const random = randomFrom(from + 1);
  return Array.from({ length: to - from }, (_, index) => {
    const state = { reported: makeState(STATE_BYTES, random) };
    return { key: `device-${(from + index) % among}`, value: Buffer.from(JSON.stringify({ state })) };
  });
}

async function withProbed<T>(
  bench: KafkaBench,
  name: string,
  env: Readonly<Record<string, string>>,
  run: (contender: Contender, url: string) => Promise<T>,
): Promise<T> {
  const flags = ['--expose-gc', '--import', './bench/support/memory-probe.mjs'];
  const [port] = await freePorts(1);
  const settings = { ...env, PORT: String(port) };
  const contender = await startService(bench, { name, env: settings, flags, channel: 'channel' });
  try {
    await boundTopics(bench.admin, contender.prefix);
    return await run(contender, `http://127.0.0.1:${port}`);
  } finally {
    await end(contender.process);
  }
}

async function take(
  bench: KafkaBench,
  contender: Contender,
  from: number,
  to: number,
  among = to,
): Promise<void> {
  for (let next = from; next < to; next += CHUNK) {
    const commands = commandsOf(next, Math.min(next + CHUNK, to), among);
    await runRound(bench, contender, { commands, outputs: 2 * commands.length });
  }
}

async function memoryOf({ process: child }: Contender): Promise<Memory> {
  child.send('memory');
  const [memory] = (await once(child, 'message')) as [Memory];
  return memory;
}

/** How many devices are in the cache, and how many of them packed. */
async function cachedBy(url: string): Promise<[all: number, packed: number]> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const of = (name: string): number => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1] ?? NaN);
  return [of('replica_cache_devices'), of('replica_cache_packed_devices')];
}

function perHotDevice(bench: KafkaBench, round: number): Promise<PerDevice> {
  return withProbed(bench, `hot-${'abcdefghij'.charAt(round % 10)}`, {}, async (contender, url) => {
    await take(bench, contender, 0, WARM_UP_COUNT, FEW);
    const few = await memoryOf(contender);
    await take(bench, contender, FEW, hot);
    const many = await memoryOf(contender);
    const [all, packed] = await cachedBy(url);
    if (all !== hot) throw new Error(`${all} of ${hot} devices are in the cache`);
    return {
      resident: (many.resident - many.young - (few.resident - few.young)) / (hot - FEW),
      live: (many.live - few.live) / (hot - FEW),
      packedShare: packed / all,
    };
  });
}

/** Resident bytes by devices, at each fifth of all. */
function growth(bench: KafkaBench): Promise<[devices: number, resident: number][]> {
  return withProbed(bench, 'growth', SMALL_CACHE, async (contender, url) => {
    const seen: [number, number][] = [];
    await take(bench, contender, 0, WARM_UP_COUNT, FEW);
    let taken = FEW;
    for (const count of [1, 2, 3, 4, 5].map((fifth) => Math.round((devices * fifth) / 5))) {
      await take(bench, contender, taken, count);
      taken = count;
      const { resident, young, live } = await memoryOf(contender);
      seen.push([count, resident - young]);
      const [all, inUse] = [resident - young, live].map((value) =>
        textOf({ value: value / MIB, unit: 'MiB' }),
      );
      const [cached] = await cachedBy(url);
      console.log(
        `${count.toLocaleString('en')} devices, ${cached} of them in the cache: ${all}, of it live ${inUse}`,
      );
    }
    return seen;
  });
}

const method = `one update of a state of ${STATE_BYTES} bytes to each device; resident set after a full collection, without V8's young generation; ${hot} devices less ${FEW}, all in the cache as it is by default, in ${rounds} processes, median; then to ${devices} devices with a cache of 64 MiB`;
announce(method);
await withKafka(async (bench) => {
  const measured: PerDevice[] = [];
  for (let round = 1; round <= rounds; round++) {
    const one = await perHotDevice(bench, round);
    measured.push(one);
    const [resident, live, packed] = [one.resident, one.live, 100 * one.packedShare].map(Math.round);
    console.log(
      `round ${round}: ${resident} bytes resident a device, ${live} of them live; ${packed} % of the devices are packed`,
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
