import { setTimeout as sleep } from 'node:timers/promises';
import { end } from './children.js';
import { type Contender } from './contenders.js';
import { countOf, type KafkaBench, PARTITIONS, produceAll, withKafka } from './kafka-bench.js';
import { cpuMicros, median } from './machine.js';
import { type Comparison, type Figure } from './report.js';
import { type Command, makeCommands } from './workload.js';

export const DEVICES = 10_000;
const MAX_ROUND_MS = 300_000;

/** What one side is given in a round. */
export interface Work {
  readonly commands: readonly Command[];
  /** Messages that it sends for them. */
  readonly outputs: number;
}

export interface Side {
  readonly start: (bench: KafkaBench) => Promise<Contender>;
  /** @param round 0 and less: to warm up */
  readonly workOf: (round: number) => Work;
}

export interface ContestOptions {
  /** After those to warm up. */
  readonly rounds: number;
  /** Default 1. */
  readonly warmUpRounds?: number;
  /** The service, then what it is measured against. */
  readonly sides: readonly [Side, Side];
  /** A program that serves one of them, whose CPU time is told too. */
  readonly storePid?: number | undefined;
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
  readonly service: CommandFigures;
  readonly other: CommandFigures;
}

interface Measured {
  readonly perSecond: number;
  readonly cpuPerCommand: number;
  readonly storeCpuPerCommand: number;
}

/** Commands of 250 to 800 bytes, each of which sends accepted and delta; others in each round, for all sides the same. */
export function usualWork(count: number): Side['workOf'] {
  return (round) => ({ commands: makeCommands(count, DEVICES, round + 10), outputs: 2 * count });
}

export function usualMethod(commands: number, rounds: number, warmUp = 'one'): string {
  return `${commands} commands of 250-800 bytes a round, ${DEVICES} devices (Zipf), ${PARTITIONS} partitions, acks all, time from the program's start on the waiting commands until the broker has all its outputs; ${rounds} alternating rounds after ${warmUp} to warm up, medians`;
}

/** Commands a second of two programs that take turns on one core, with a Kafka on the other. Prints each round. */
export async function runCommandContest(options: ContestOptions): Promise<CommandContest> {
  const { rounds, warmUpRounds = 1, sides, storePid } = options;
  return withKafka(async (bench) => {
    const contenders: Contender[] = [];
    const measured = sides.map((): Measured[] => []);
    try {
      for (const { start } of sides) contenders.push(await start(bench));
      for (let round = 1 - warmUpRounds; round <= rounds; round++) {
        // Who is first takes turns, too.
        const order = [...contenders.entries()];
        for (const [index, contender] of round % 2 === 0 ? order : order.reverse()) {
          const one = await runRound(bench, contender, (sides[index] as Side).workOf(round), storePid);
          if (round <= 0) continue;
          measured[index]?.push(one);
          console.log(`round ${round} ${lineOf(figuresOf(contender, [one], storePid))}`);
        }
      }
    } finally {
      await Promise.all(contenders.map(({ process }) => end(process)));
    }
    const [service, other] = contenders.map((one, index) => figuresOf(one, measured[index] ?? [], storePid));
    if (service === undefined || other === undefined) throw new Error('Both sides must have run');
    for (const side of [service, other]) console.log(`${lineOf(side)} (medians)`);
    return { service, other };
  });
}

/**
 * The program is stopped (SIGSTOP), its commands are produced, the program goes on (SIGCONT), and the time is taken until
 * the broker has all its outputs.
 */
export async function runRound(
  bench: KafkaBench,
  { name, prefix, process: child, outputs }: Contender,
  { commands, outputs: expected }: Work,
  storePid?: number,
): Promise<Measured> {
  const before = await countOf(bench.admin, outputs);
  child.kill('SIGSTOP');
  await produceAll(bench, `${prefix}.update`, commands);
  const [cpu, storeCpu] = [cpuOf(child.pid), cpuOf(storePid)];
  const start = performance.now();
  child.kill('SIGCONT');
  for (;;) {
    await sleep(20);
    if ((await countOf(bench.admin, outputs)) - before >= expected) break;
    if (performance.now() - start > MAX_ROUND_MS) throw new Error(`${name} did not finish within 5 minutes`);
  }
  const measured = {
    perSecond: (commands.length * 1000) / (performance.now() - start),
    cpuPerCommand: (cpuOf(child.pid) - cpu) / commands.length,
    storeCpuPerCommand: (cpuOf(storePid) - storeCpu) / commands.length,
  };
  await sleep(500);
  return measured;
}

/** Commands a second of the service by those of the other side. */
export function bySpeed({ service, other }: CommandContest): Comparison {
  const figure = ({ name, commandsPerSecond }: CommandFigures): Figure => ({
    side: name,
    value: commandsPerSecond,
    unit: 'commands/s',
  });
  return {
    sides: [figure(service), figure(other)],
    ratio: service.commandsPerSecond / other.commandsPerSecond,
  };
}

/** CPU time a command of the other side by that of the service: the higher, the better for the service. */
export function byCpu({ service, other }: CommandContest): Comparison {
  const figure = ({ name, cpuMicrosPerCommand }: CommandFigures): Figure => ({
    side: name,
    value: cpuMicrosPerCommand,
    unit: 'CPU µs/command',
  });
  return {
    name: 'by CPU time',
    sides: [figure(service), figure(other)],
    ratio: other.cpuMicrosPerCommand / service.cpuMicrosPerCommand,
  };
}

function cpuOf(pid: number | undefined): number {
  return (pid === undefined ? null : cpuMicros(pid)) ?? NaN;
}

function lineOf(figures: CommandFigures): string {
  const { name, commandsPerSecond, cpuMicrosPerCommand, storeCpuMicrosPerCommand } = figures;
  const store =
    storeCpuMicrosPerCommand === undefined ? '' : `, ${storeCpuMicrosPerCommand} of the event store`;
  return `${name}: ${commandsPerSecond} commands/s, ${cpuMicrosPerCommand} CPU µs/command${store}`;
}

function figuresOf(
  { name }: Contender,
  measured: readonly Measured[],
  storePid: number | undefined,
): CommandFigures {
  const of = (key: keyof Measured): number => Number(median(measured.map((one) => one[key])).toFixed(1));
  return {
    name,
    commandsPerSecond: Math.round(of('perSecond')),
    cpuMicrosPerCommand: of('cpuPerCommand'),
    ...(storePid !== undefined && { storeCpuMicrosPerCommand: of('storeCpuPerCommand') }),
    rounds: measured.map(({ perSecond }) => Math.round(perSecond)),
  };
}
