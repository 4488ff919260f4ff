import { type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs, { type Admin, type Producer } from 'kafkajs';
import { type KafkaBroker, startKafkaBroker } from '../../test/support/kafka-broker.js';
import { end, untilLine } from './children.js';
import { cpuMicros, median, NODE_FLAGS, pin, spawnPinned } from './machine.js';
import { makeCommands } from './workload.js';

const devices = 10_000;
const partitions = 12;

export interface CommandContestOptions {
  /** After one to warm up. */
  readonly rounds: number;
  /** Commands a round. */
  readonly commands: number;
  /** Messages that the bare program sends at once. */
  readonly unit: string;
  /** What the service is started with, besides the broker, topics of its own and a new folder. */
  readonly serviceEnv?: Record<string, string>;
  /** A program that serves the service, whose CPU time is told too. */
  readonly storePid?: number;
}

/** Medians of one side. */
export interface CommandFigures {
  readonly name: string;
  readonly commandsPerSecond: number;
  readonly cpuMicrosPerCommand: number;
  /** Of the program that is named by `storePid`. */
  readonly storeCpuMicrosPerCommand?: number;
  /** Commands a second in each round. */
  readonly rounds: readonly number[];
}

export interface CommandContest {
  readonly commands: number;
  readonly devices: number;
  readonly partitions: number;
  readonly bare: CommandFigures;
  readonly service: CommandFigures;
  /** Commands a second of the service by those of the bare program. */
  readonly ratio: number;
}

interface Contender {
  readonly name: string;
  readonly prefix: string;
  readonly process: ChildProcess;
  readonly perSecond: number[];
  readonly cpuPerCommand: number[];
  readonly storeCpuPerCommand: number[];
}

const { Kafka, logLevel, Partitioners } = kafkajs;

/** Whether the service keeps its read model meanwhile: what that costs commands is seen by setting it to `on`. */
const projections = process.env['PROJECTIONS'] ?? 'off';

/**
 * Commands a second of the service against a bare kafkajs program that consumes the same commands and produces two
 * messages for each. One real broker, alternating rounds. In a round the program is stopped (SIGSTOP), the commands
 * are produced, the program goes on (SIGCONT), and the time is taken until the broker has all its outputs. Prints the
 * method, each round and the medians.
 */
export async function runCommandContest(options: CommandContestOptions): Promise<CommandContest> {
  const { rounds, commands: count, unit, storePid } = options;
  const given = process.env['KAFKA_BROKERS'];
  const broker = given === undefined ? await startKafkaBroker() : null;
  const brokers = given ?? (broker as KafkaBroker).brokers;
  // Pinned once it runs: the JVM chooses its garbage collector by the cores that it sees at its start.
  if (broker !== null) pin(broker.pid, 0);
  pin(process.pid, 0);
  const dataDir = mkdtempSync(join(tmpdir(), 'bench-'));
  const kafka = new Kafka({ clientId: 'bench', brokers: brokers.split(','), logLevel: logLevel.ERROR });
  const admin = kafka.admin();
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  const contenders: Contender[] = [];
  try {
    await Promise.all([admin.connect(), producer.connect()]);
    console.log(
      `method: ${count} commands of 250-800 bytes a round, ${devices} devices (Zipf), ${partitions} partitions, acks all, the bare program in units of ${unit}, PROJECTIONS=${projections}; ${rounds} alternating rounds after one to warm up, medians`,
    );
    contenders.push(await startBare(admin, brokers, unit));
    contenders.push(await startService(brokers, dataDir, options.serviceEnv ?? {}));
    for (let round = 0; round <= rounds; round++) {
      const commands = makeCommands(count, devices, round + 1);
      for (const contender of contenders) {
        const storeCpuBefore = cpuOf(storePid);
        const { seconds, cpu } = await runRound(contender, commands, admin, producer);
        const storeCpu = cpuOf(storePid) - storeCpuBefore;
        if (round === 0) continue;
        contender.perSecond.push(count / seconds);
        contender.cpuPerCommand.push(cpu / count);
        if (storePid !== undefined) contender.storeCpuPerCommand.push(storeCpu / count);
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
  return contestOf(contenders, count);
}

async function startBare(admin: Admin, brokers: string, unit: string): Promise<Contender> {
  const prefix = `bare-${process.pid}`;
  await admin.createTopics({
    waitForLeaders: true,
    topics: ['update', 'update.accepted', 'update.delta'].map((name) => ({
      topic: `${prefix}.${name}`,
      numPartitions: partitions,
    })),
  });
  const child = spawnPinned(1, process.execPath, [...NODE_FLAGS, '--import', 'tsx', 'bench/bare.ts'], {
    KAFKA_BROKERS: brokers,
    TOPIC_PREFIX: prefix,
    UNIT: unit,
  });
  await untilLine(child, (line) => line === 'ready');
  return contender('bare kafkajs', prefix, child);
}

async function startService(
  brokers: string,
  dataDir: string,
  env: Record<string, string>,
): Promise<Contender> {
  const prefix = `service-${process.pid}`;
  // As `npm start` runs it.
  const child = spawnPinned(1, process.execPath, [...NODE_FLAGS, 'dist/main.js'], {
    KAFKA_BROKERS: brokers,
    TOPIC_PREFIX: prefix,
    KAFKA_GROUP_ID: prefix,
    KAFKA_PARTITION_COUNT: String(partitions),
    DATA_DIR: dataDir,
    PORT: '0',
    ALLOW_UNAUTHENTICATED: 'on',
    LOG_LEVEL: 'info',
    // Else it would project on into the rounds of the bare program, on the one core that both have.
    PROJECTIONS: projections,
    ...env,
  });
  await untilLine(child, (line) => line.includes('is ready'));
  return contender('service', prefix, child);
}

function contender(name: string, prefix: string, child: ChildProcess): Contender {
  return { name, prefix, process: child, perSecond: [], cpuPerCommand: [], storeCpuPerCommand: [] };
}

async function runRound(
  { prefix, process: child }: Contender,
  commands: readonly { key: string; value: Buffer }[],
  admin: Admin,
  producer: Producer,
): Promise<{ seconds: number; cpu: number }> {
  const before = await produced(admin, prefix);
  child.kill('SIGSTOP');
  for (let i = 0; i < commands.length; i += 1000) {
    await producer.send({ topic: `${prefix}.update`, messages: commands.slice(i, i + 1000), acks: -1 });
  }
  const expected = commands.length;
  const cpuBefore = cpuOf(child.pid);
  const start = performance.now();
  child.kill('SIGCONT');
  for (;;) {
    await sleep(20);
    if ((await produced(admin, prefix)) - before >= 2 * expected) break;
    if (performance.now() - start > 300_000) throw new Error('The program did not finish within 5 minutes');
  }
  const seconds = (performance.now() - start) / 1000;
  const cpu = cpuOf(child.pid) - cpuBefore;
  await sleep(500);
  return { seconds, cpu };
}

function cpuOf(pid: number | undefined): number {
  return (pid === undefined ? null : cpuMicros(pid)) ?? NaN;
}

/** Messages in both output topics. */
async function produced(admin: Admin, prefix: string): Promise<number> {
  let sum = 0;
  for (const topic of [`${prefix}.update.accepted`, `${prefix}.update.delta`]) {
    for (const { high } of await admin.fetchTopicOffsets(topic)) sum += Number(high);
  }
  return sum;
}

function contestOf(contenders: readonly Contender[], commands: number): CommandContest {
  const [bare, service] = contenders.map(figuresOf);
  if (bare === undefined || service === undefined) throw new Error('Both sides must have run');
  for (const side of [bare, service]) {
    const { name, commandsPerSecond, cpuMicrosPerCommand, storeCpuMicrosPerCommand } = side;
    const store =
      side === service && storeCpuMicrosPerCommand !== undefined
        ? `, ${storeCpuMicrosPerCommand} CPU µs/command of the event store`
        : '';
    console.log(
      `${name}: ${commandsPerSecond} commands/s, ${cpuMicrosPerCommand} CPU µs/command${store} (medians)`,
    );
  }
  const ratio = service.commandsPerSecond / bare.commandsPerSecond;
  return { commands, devices, partitions, bare, service, ratio };
}

function figuresOf({ name, perSecond, cpuPerCommand, storeCpuPerCommand }: Contender): CommandFigures {
  return {
    name,
    commandsPerSecond: Math.round(median(perSecond)),
    cpuMicrosPerCommand: Number(median(cpuPerCommand).toFixed(1)),
    ...(storeCpuPerCommand.length > 0 && {
      storeCpuMicrosPerCommand: Number(median(storeCpuPerCommand).toFixed(1)),
    }),
    rounds: perSecond.map(Math.round),
  };
}
