import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type FaultName, plantFault } from './faults.js';
import { runSeed } from './run.js';
import { shrink } from './shrink.js';

/** A share of the seeds: from the first one on, each so many further, below the end. */
export interface Share {
  readonly from: number;
  readonly step: number;
  readonly end: number;
  readonly commandCount: number;
  readonly fault: FaultName | null;
  /** Whether to look for the least number of commands of a seed that fails. */
  readonly shrinks: boolean;
}

export interface Failure {
  readonly seed: number;
  readonly broken: string;
  /** With how many commands it still fails. */
  readonly keep: number;
}

/** What a worker tells of some seeds, and which one it begins next. */
export interface Progress {
  readonly next: number;
  readonly seeds: number;
  readonly events: number;
  readonly checks: number;
  readonly virtualMs: number;
  readonly cpuMs: number;
  readonly counts: readonly (readonly [string, number])[];
  readonly failures: readonly Failure[];
  /** The sum of all runs' hashes, 16 hex digits: the same whatever process has run what, and in which order. */
  readonly hash: string;
}

export type Total = Omit<Progress, 'next'>;

/** A seed takes a tenth of a second; one that has not ended by then never will, or the machine stands still. */
const SILENCE_MS = 120_000;
const TELL_MS = 500;

/**
 * Runs seeds in processes of their own, side by side.
 *
 * @param onProgress called now and then
 * @param stopAtFirst ends as soon as one has failed
 */
export async function runShares(
  shares: readonly Share[],
  onProgress: (total: Total) => void,
  stopAtFirst = false,
): Promise<Total> {
  const children: ChildProcess[] = [];
  const counts = new Map<string, number>();
  let total: Total = { ...nothing(), cpuMs: 0, counts: [] };
  const take = ({ next: _, ...told }: Progress): void => {
    for (const [name, count] of told.counts) counts.set(name, (counts.get(name) ?? 0) + count);
    total = {
      seeds: total.seeds + told.seeds,
      events: total.events + told.events,
      checks: total.checks + told.checks,
      virtualMs: total.virtualMs + told.virtualMs,
      cpuMs: total.cpuMs + told.cpuMs,
      counts: [...counts].sort(([a], [b]) => (a < b ? -1 : 1)),
      failures: [...total.failures, ...told.failures].sort((a, b) => a.seed - b.seed),
      hash: sumOf(total.hash, told.hash),
    };
    onProgress(total);
    if (stopAtFirst && total.failures.length > 0) for (const child of children) child.kill();
  };
  await Promise.all(
    shares.map(async (share) => {
      // Compiled to the same place as this file.
      const child = fork(fileURLToPath(new URL('worker.mjs', import.meta.url)), [JSON.stringify(share)], {
        execArgv: ['--max-semi-space-size=64'],
      });
      children.push(child);
      await watch(child, share.from, take, () => stopAtFirst && total.failures.length > 0);
    }),
  );
  return total;
}

function watch(
  child: ChildProcess,
  from: number,
  take: (progress: Progress) => void,
  mayBeStopped: () => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let seed = from;
    let timer: NodeJS.Timeout | undefined;
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(
          new Error(`seed ${seed} or one soon after it does not end: something runs on without ever waiting`),
        );
      }, SILENCE_MS);
    };
    wait();
    child.on('message', (progress: Progress) => {
      seed = progress.next;
      take(progress);
      wait();
    });
    // What it told may come after it has ended, but not after its line has.
    const disconnected = new Promise<void>((resolveLine) => child.on('disconnect', resolveLine));
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      if (code === 0 || (signal === 'SIGTERM' && mayBeStopped())) void disconnected.then(resolve);
      else reject(new Error(`the process of seed ${seed} ended with ${code ?? signal}`));
    });
  });
}

/** What a worker's process does. */
export async function work(share: Share, tell: (progress: Progress) => void): Promise<void> {
  const { from, step, end, commandCount, fault } = share;
  const options = { commandCount, ...plantFault(fault) };
  const clock = (): bigint => process.hrtime.bigint();
  let told = clock();
  let cpu = process.cpuUsage();
  let part = nothing();
  for (let seed = from; seed < end; seed += step) {
    const result = await runSeed(seed, options);
    part.seeds++;
    part.events += result.events;
    part.checks += result.checks;
    part.virtualMs += result.virtualMs;
    part.hash = sumOf(part.hash, result.hash);
    for (const [name, count] of result.counts) part.counts.set(name, (part.counts.get(name) ?? 0) + count);
    const { broken } = result;
    if (broken !== null) {
      const keep = share.shrinks && part.failures.length < 3 ? await shrink(seed, options) : commandCount;
      part.failures.push({ seed, broken, keep });
    }
    const isLast = seed + step >= end;
    if (!isLast && broken === null && Number(clock() - told) / 1e6 < TELL_MS) continue;
    told = clock();
    const { user, system } = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    tell({ ...part, next: seed + step, cpuMs: (user + system) / 1000, counts: [...part.counts] });
    part = nothing();
  }
}

interface Part extends Pick<Progress, 'seeds' | 'events' | 'checks' | 'virtualMs' | 'hash'> {
  readonly counts: Map<string, number>;
  readonly failures: Failure[];
}

function nothing(): { -readonly [K in keyof Part]: Part[K] } {
  return { seeds: 0, events: 0, checks: 0, virtualMs: 0, counts: new Map(), failures: [], hash: '0' };
}

function sumOf(a: string, b: string): string {
  return BigInt.asUintN(64, BigInt(`0x${a}`) + BigInt(`0x${b}`))
    .toString(16)
    .padStart(16, '0');
}
