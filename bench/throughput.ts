/**
 * npm run bench:throughput [-- --json FILE] [--rounds 5] [--commands 40000] [--unit 500]
 *
 * Commands a second of this service (Kafka in, SQLite with every commit synced, Kafka out) against a bare kafkajs
 * program that consumes the same commands and produces two messages for each. One real broker, one run, alternating
 * rounds, medians. In a round the program is stopped (SIGSTOP), the commands are produced, the program goes on
 * (SIGCONT), and the time is taken until the broker has all its outputs.
 */
import { type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import kafkajs, { type Admin, type Producer } from 'kafkajs';
import { type KafkaBroker, startKafkaBroker } from '../test/support/kafka-broker.js';
import { cpuMicros, machine, median, pin, spawnPinned } from './support/machine.js';
import { makeCommands } from './support/workload.js';

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    commands: { type: 'string', default: '40000' },
    unit: { type: 'string', default: '500' },
  },
});
const rounds = Number(options.rounds);
const count = Number(options.commands);
const devices = 10_000;
const partitions = 12;

interface Contender {
  readonly name: string;
  readonly prefix: string;
  readonly process: ChildProcess;
  readonly perSecond: number[];
  readonly cpuPerCommand: number[];
}

const { Kafka, logLevel, Partitioners } = kafkajs;

async function main(): Promise<void> {
  const given = process.env['KAFKA_BROKERS'];
  const broker = given === undefined ? await startKafkaBroker() : null;
  const brokers = given ?? (broker as KafkaBroker).brokers;
  if (broker !== null) pin(broker.pid, 0);
  pin(process.pid, 0);
  const dataDir = mkdtempSync(join(tmpdir(), 'bench-'));
  const kafka = new Kafka({ clientId: 'bench', brokers: brokers.split(','), logLevel: logLevel.ERROR });
  const admin = kafka.admin();
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  const contenders: Contender[] = [];
  try {
    await Promise.all([admin.connect(), producer.connect()]);
    console.log(`machine: ${machine()}`);
    console.log(
      `method: ${count} commands of 250-800 bytes a round, ${devices} devices (Zipf), ${partitions} partitions, acks all, the bare program in units of ${options.unit}; ${rounds} alternating rounds after one to warm up, medians`,
    );
    contenders.push(await startBare(admin, brokers), await startService(brokers, dataDir));
    for (let round = 0; round <= rounds; round++) {
      const commands = makeCommands(count, devices, round + 1);
      for (const contender of contenders) {
        const { seconds, cpu } = await runRound(contender, commands, admin, producer);
        if (round === 0) continue;
        contender.perSecond.push(count / seconds);
        contender.cpuPerCommand.push(cpu / count);
        console.log(
          `round ${round} ${contender.name}: ${Math.round(count / seconds)} commands/s, ${(cpu / count).toFixed(1)} CPU µs/command`,
        );
      }
    }
  } finally {
    await Promise.all(contenders.map((contender) => end(contender.process)));
    await Promise.all([admin.disconnect(), producer.disconnect()]);
    await broker?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
  report(contenders);
}

async function startBare(admin: Admin, brokers: string): Promise<Contender> {
  const prefix = `bare-${process.pid}`;
  await admin.createTopics({
    waitForLeaders: true,
    topics: ['update', 'update.accepted', 'update.delta'].map((name) => ({
      topic: `${prefix}.${name}`,
      numPartitions: partitions,
    })),
  });
  const child = spawnPinned(
    1,
    process.execPath,
    ['--max-semi-space-size=192', '--import', 'tsx', 'bench/bare.ts'],
    {
      KAFKA_BROKERS: brokers,
      TOPIC_PREFIX: prefix,
      UNIT: options.unit,
    },
  );
  await untilLine(child, (line) => line === 'ready');
  return { name: 'bare kafkajs', prefix, process: child, perSecond: [], cpuPerCommand: [] };
}

async function startService(brokers: string, dataDir: string): Promise<Contender> {
  const prefix = `service-${process.pid}`;
  // As `npm start` runs it.
  const child = spawnPinned(1, process.execPath, ['--max-semi-space-size=192', 'dist/main.js'], {
    KAFKA_BROKERS: brokers,
    TOPIC_PREFIX: prefix,
    KAFKA_GROUP_ID: prefix,
    KAFKA_PARTITION_COUNT: String(partitions),
    DATA_DIR: dataDir,
    PORT: '0',
    LOG_LEVEL: 'info',
  });
  await untilLine(child, (line) => line.includes('is ready'));
  return { name: 'service', prefix, process: child, perSecond: [], cpuPerCommand: [] };
}

function untilLine(child: ChildProcess, wanted: (line: string) => boolean): Promise<void> {
  if (child.stdout === null) throw new Error('The program has no output');
  const lines = createInterface({ input: child.stdout });
  return new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      if (wanted(line)) resolve();
      else if (line.includes('"level":"warn"') || line.includes('"level":"error"')) console.error(line);
    });
    child.once('exit', (code) => reject(new Error(`The program ended with code ${code}`)));
  });
}

async function runRound(
  { prefix, process: child }: Contender,
  commands: readonly { key: string; value: Buffer }[],
  admin: Admin,
  producer: Producer,
): Promise<{ seconds: number; cpu: number }> {
  const pid = child.pid as number;
  const before = await produced(admin, prefix);
  child.kill('SIGSTOP');
  for (let i = 0; i < commands.length; i += 1000) {
    await producer.send({ topic: `${prefix}.update`, messages: commands.slice(i, i + 1000), acks: -1 });
  }
  const expected = commands.length;
  const cpuBefore = cpuMicros(pid) ?? NaN;
  const start = performance.now();
  child.kill('SIGCONT');
  for (;;) {
    await sleep(20);
    if ((await produced(admin, prefix)) - before >= 2 * expected) break;
    if (performance.now() - start > 300_000) throw new Error('The program did not finish within 5 minutes');
  }
  const seconds = (performance.now() - start) / 1000;
  const cpu = (cpuMicros(pid) ?? NaN) - cpuBefore;
  await sleep(500);
  return { seconds, cpu };
}

/** Messages in both output topics. */
async function produced(admin: Admin, prefix: string): Promise<number> {
  let sum = 0;
  for (const topic of [`${prefix}.update.accepted`, `${prefix}.update.delta`]) {
    for (const { high } of await admin.fetchTopicOffsets(topic)) sum += Number(high);
  }
  return sum;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  await Promise.race([ended, sleep(15_000).then(() => child.kill('SIGKILL'))]);
}

function report(contenders: readonly Contender[]): void {
  const [bare, service] = contenders.map(({ name, perSecond, cpuPerCommand }) => ({
    name,
    commandsPerSecond: Math.round(median(perSecond)),
    cpuMicrosPerCommand: Number(median(cpuPerCommand).toFixed(1)),
    rounds: perSecond.map(Math.round),
  }));
  if (bare === undefined || service === undefined) throw new Error('Both sides must have run');
  const ratio = service.commandsPerSecond / bare.commandsPerSecond;
  for (const side of [bare, service]) {
    console.log(
      `${side.name}: ${side.commandsPerSecond} commands/s, ${side.cpuMicrosPerCommand} CPU µs/command (medians)`,
    );
  }
  if (options.json !== undefined) {
    const figures = {
      bench: 'throughput',
      machine: machine(),
      commands: count,
      devices,
      partitions,
      bare,
      service,
      ratio,
    };
    writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
  }
  console.log(`ratio: ${ratio.toFixed(2)}`);
}

await main();
