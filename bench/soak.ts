/**
 * npm run soak [-- --minutes 30] [--load 0.7] [--overload-seconds 60] [--overload 10] [--json FILE]
 *
 * The service as `npm start` runs it, on a real Kafka and with its read model: first what it can carry is measured;
 * then it is sent ten times that for a minute, or as much as one producer can, and must work off what has gathered;
 * then it is sent 70 % of it for half an hour.
 *
 * It fails where the service ends, is not ready, does not work off what it was sent, has not one outcome for each
 * command, logs an error, or its resident memory in the last quarter of the long run is more than 1.2 times that of
 * the second one. Needs some 10 GB of disk (TMPDIR) for each half hour.
 */
import { type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import kafkajs, { type Admin, type Producer } from 'kafkajs';
import { startKafkaBroker } from '../test/support/kafka-broker.js';
import { end, untilLine } from './support/children.js';
import { boundTopics, countOf, PARTITIONS } from './support/kafka-bench.js';
import {
  machine,
  MEASURED_CORE,
  median,
  NODE_FLAGS,
  OTHER_CORE,
  pin,
  spawnPinned,
} from './support/machine.js';
import { type Command, makeCommands } from './support/workload.js';

const { Kafka, logLevel, Partitioners } = kafkajs;
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    load: { type: 'string', default: '0.7' },
    'overload-seconds': { type: 'string', default: '60' },
    overload: { type: 'string', default: '10' },
    json: { type: 'string' },
  },
});
const DEVICES = 10_000;
const CAPACITY_COUNT = 60_000;
const BATCH_COUNT = 1000;
const TICK_MS = 100;
const MAX_MEMORY_RATIO = 1.2;
/** A bound for what hangs. */
const MAX_DRAIN_MS = 30 * 60_000;

const prefix = `soak-${process.pid}`;
const OUTCOMES = ['update.accepted', 'update.rejected', 'dead-letter'].map((name) => `${prefix}.${name}`);

interface Run {
  readonly url: string;
  readonly service: ChildProcess;
  readonly admin: Admin;
  readonly producer: Producer;
}

interface Sample {
  readonly memoryMib: number;
  readonly waiting: number;
}

/** More than is sent of it, so that the same one comes again only after a while. */
const pool = makeCommands(100_000, DEVICES, 1);
let sent = 0;

const dataDir = mkdtempSync(join(tmpdir(), 'soak-'));
const broker = await startKafkaBroker({ optimized: true });
pin(broker.pid, OTHER_CORE);
pin(process.pid, OTHER_CORE);
const errors: string[] = [];
const kafka = new Kafka({ clientId: 'soak', brokers: broker.brokers.split(','), logLevel: logLevel.ERROR });
const admin = kafka.admin();
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
const service = spawnPinned(MEASURED_CORE, process.execPath, [...NODE_FLAGS, 'dist/main.js'], {
  KAFKA_BROKERS: broker.brokers,
  TOPIC_PREFIX: prefix,
  KAFKA_GROUP_ID: prefix,
  KAFKA_PARTITION_COUNT: String(PARTITIONS),
  DATA_DIR: dataDir,
  PORT: '0',
  ALLOW_UNAUTHENTICATED: 'on',
});
service.stdout?.on('data', (chunk: Buffer) => {
  for (const line of chunk.toString().split('\n'))
    if (/"level":"(error|fatal)"/.test(line)) errors.push(line);
});
try {
  const line = await untilLine(service, (text) => text.includes('is ready'));
  const { url } = JSON.parse(line) as { url: string };
  await Promise.all([admin.connect(), producer.connect()]);
  const run: Run = { url, service, admin, producer };
  await boundTopics(admin, prefix);
  console.log(`machine: ${machine()}`);

  const capacity = await measureCapacity(run);
  console.log(`capacity: ${Math.round(capacity)} commands/s`);

  const seconds = Number(values['overload-seconds']);
  const asked = Number(values.overload) * capacity;
  const overload = await send(run, asked, seconds);
  const gathered = await waitingOf(run);
  const drainSeconds = await drain(run);
  const factor = overload.perSecond / capacity;
  const peakMib = Math.max(...overload.samples.map(({ memoryMib }) => memoryMib));
  console.log(
    `overload: ${factor.toFixed(1)} times that for ${seconds} s (asked for: ${values.overload}); ${gathered} commands had gathered, and were worked off in ${Math.round(drainSeconds)} s (${Math.round(gathered / drainSeconds)}/s); memory at most ${Math.round(peakMib)} MiB meanwhile`,
  );

  const soak = await send(run, Number(values.load) * capacity, Number(values.minutes) * 60);
  const left = await waitingOf(run);
  const leftSeconds = await drain(run);
  const quarter = Math.max(1, soak.samples.length >> 2);
  const memoryOf = (samples: readonly Sample[]): number => median(samples.map(({ memoryMib }) => memoryMib));
  const early = memoryOf(soak.samples.slice(quarter, 2 * quarter));
  const last = memoryOf(soak.samples.slice(-quarter));
  const maxWaiting = Math.max(...soak.samples.map(({ waiting }) => waiting));
  console.log(
    `soak: ${(soak.perSecond / capacity).toFixed(2)} of the capacity for ${values.minutes} min; at most ${maxWaiting} commands waited, ${left} at the end, worked off in ${leftSeconds.toFixed(1)} s`,
  );
  console.log(`memory: ${Math.round(early)} MiB in the second quarter, ${Math.round(last)} MiB in the last`);

  const outcomes = await countOf(admin, OUTCOMES);
  const readiness = (await fetch(`${url}/health/ready`)).status;
  const code = await stopped(service);
  console.log(`outcomes: ${outcomes} of ${sent} commands; ready: ${readiness}; ended with code ${code}`);
  for (const one of errors.slice(0, 10)) console.log(`error: ${one}`);
  const ratio = last / early;
  const isGood =
    outcomes === sent && readiness === 200 && code === 0 && errors.length === 0 && ratio <= MAX_MEMORY_RATIO;
  if (values.json !== undefined) {
    const figures = {
      bench: 'soak',
      machine: machine(),
      capacity: Math.round(capacity),
      overload: { factor, seconds, gathered, drainSeconds, peakMib },
      soak: { minutes: Number(values.minutes), perSecond: soak.perSecond, maxWaiting, left, leftSeconds },
      memoryMib: { secondQuarter: early, lastQuarter: last, ratio },
      ...{ sent, outcomes, errors: errors.length },
    };
    writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  }
  console.log(`memory ratio: ${ratio.toFixed(2)}`);
  process.exitCode = isGood ? 0 : 1;
} finally {
  await end(service);
  await Promise.allSettled([admin.disconnect(), producer.disconnect()]);
  await broker.stop();
  rmSync(dataDir, { recursive: true, force: true });
}

/** Commands a second, of as many as have gathered while the service stood still; the second time, when it is warm. */
async function measureCapacity(run: Run): Promise<number> {
  let perSecond = 0;
  for (let round = 0; round < 2; round++) {
    run.service.kill('SIGSTOP');
    for (let count = 0; count < CAPACITY_COUNT; count += BATCH_COUNT) await sendBatch(run, BATCH_COUNT);
    run.service.kill('SIGCONT');
    perSecond = CAPACITY_COUNT / (await drain(run));
  }
  return perSecond;
}

async function sendBatch({ producer: to }: Run, count: number): Promise<void> {
  const messages: Command[] = [];
  for (let n = 0; n < count; n++) messages.push(pool[(sent + n) % pool.length] as Command);
  await to.send({ topic: `${prefix}.update`, messages, acks: -1 });
  sent += count;
}

/** Sends so many a second, or as many as can be, and looks at the service once a second. */
async function send(
  run: Run,
  perSecond: number,
  seconds: number,
): Promise<{ perSecond: number; samples: Sample[] }> {
  const samples: Sample[] = [];
  const begun = performance.now();
  const before = sent;
  const elapsed = (): number => performance.now() - begun;
  let looking: Promise<void> = Promise.resolve();
  let lookAt = 0;
  while (elapsed() < seconds * 1000) {
    const due = Math.floor((perSecond * elapsed()) / 1000) - (sent - before);
    if (due > 0) await sendBatch(run, Math.min(due, BATCH_COUNT));
    else await pause(TICK_MS);
    if (elapsed() < lookAt) continue;
    lookAt = elapsed() + 1000;
    await looking;
    looking = look(run).then((sample) => void samples.push(sample));
  }
  await looking;
  return { perSecond: ((sent - before) * 1000) / elapsed(), samples };
}

async function look(run: Run): Promise<Sample> {
  const text = await (await fetch(`${run.url}/metrics`)).text();
  const bytes = Number(/^process_resident_memory_bytes (\S+)/m.exec(text)?.[1]);
  return { memoryMib: bytes / 2 ** 20, waiting: await waitingOf(run) };
}

/** Seconds until each command that was sent has its outcome. */
async function drain(run: Run): Promise<number> {
  const begun = performance.now();
  while ((await waitingOf(run)) > 0) {
    if (run.service.exitCode !== null) throw new Error(`The service ended with code ${run.service.exitCode}`);
    if (performance.now() - begun > MAX_DRAIN_MS) throw new Error('What was sent is not worked off');
    await pause(TICK_MS / 2);
  }
  return (performance.now() - begun) / 1000;
}

async function waitingOf({ admin: by }: Run): Promise<number> {
  const count = sent;
  return Math.max(0, count - (await countOf(by, OUTCOMES)));
}

async function stopped(child: ChildProcess): Promise<number | null> {
  await end(child);
  return child.exitCode;
}
