import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { complaintAbout } from './oracle.js';
import { Coverage } from './coverage.js';
import { mutate, randomOf } from './mutate.js';
import { DEFAULT_LIMITS } from '../../src/replica/limits.js';
import { readUpdate } from '../../src/application/read-command.js';

/**
 * A coverage-guided fuzzer of the reader of updates: `npm run fuzz -- --seconds 60 --seed 7 --save`. An input that goes
 * where none has been is kept, and changed further; each is held against the oracle, and against the clock.
 *
 * `--save` writes what was kept into the corpus. It ends with 1 where something is wrong, and with the input.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    seed: { type: 'string' },
    save: { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
const seconds = Number(values.seconds);
const folder = fileURLToPath(new URL('./corpus', import.meta.url));
/** No input of 4 KiB takes so long, unless it is something else than the input. */
const SLOW_MS = 50;

const READ = /\/(application\/read-command|replica\/(json|limits))\.[jt]s/;
const random = randomOf(seed);
const coverage = new Coverage((url) => READ.test(url));
const corpus: Buffer[] = [];
const kept: Buffer[] = [];
let slowestMs = 0;

function fail(bytes: Buffer, what: string): never {
  console.error(
    `--seed ${seed}: ${what}\n${JSON.stringify(bytes.toString())}\nin base64: ${bytes.toString('base64')}`,
  );
  process.exit(1);
}

/** Whether it went where none has been. */
function run(bytes: Buffer): boolean {
  coverage.reset();
  let least = Infinity;
  let reading: ReturnType<typeof readUpdate> | undefined;
  // Again only where it was slow: the machine may have done something else.
  for (let tries = 0; tries < 3 && least > SLOW_MS; tries++) {
    const start = performance.now();
    try {
      reading = readUpdate(bytes, DEFAULT_LIMITS);
    } catch (error) {
      fail(bytes, `the reader threw: ${String(error)}`);
    }
    least = Math.min(least, performance.now() - start);
  }
  const isNew = coverage.isNew();
  slowestMs = Math.max(slowestMs, least);
  if (least > SLOW_MS) fail(bytes, `the reader took ${least.toFixed(1)} ms`);
  const complaint = reading === undefined ? 'no outcome' : complaintAbout(bytes, reading);
  if (complaint !== null) fail(bytes, complaint);
  return isNew;
}

for (const name of readdirSync(folder)) {
  const bytes = readFileSync(join(folder, name));
  corpus.push(bytes);
  run(bytes);
}
if (corpus.length === 0) corpus.push(Buffer.from('{"state":{"reported":{"a":1}}}'));
const [firstBlocks, firstCount] = [coverage.blockCount, corpus.length];
const end = Date.now() + seconds * 1000;
let runs = 0;
for (; Date.now() < end; runs++) {
  const parent = corpus[random(corpus.length)] ?? Buffer.alloc(0);
  const child = mutate(parent, corpus, random);
  if (!run(child)) continue;
  corpus.push(child);
  kept.push(child);
}
coverage.close();
if (values.save) {
  for (const bytes of kept)
    writeFileSync(join(folder, createHash('sha1').update(bytes).digest('hex').slice(0, 16)), bytes);
}
console.log(
  `--seed ${seed}: ${runs} inputs in ${seconds} s, ${firstBlocks} blocks by ${firstCount} of the corpus, ${coverage.blockCount} in the end, ${kept.length} kept; the slowest took ${slowestMs.toFixed(2)} ms`,
);
