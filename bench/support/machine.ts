import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

/** Clock ticks of /proc a second: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time that a process has used, in microseconds; null where the system does not tell. */
export function cpuMicros(pid: number): number | null {
  try {
    // The name in parentheses may hold spaces; the numbers begin after it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
  } catch {
    return null;
  }
}

/**
 * CPU time that the threads which a process has now have used, in microseconds; null where the system does not tell. Far
 * finer than {@link cpuMicros}, but what a thread used that has ended is not in it.
 */
export function threadMicros(pid: number): number | null {
  try {
    let nanos = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`))
      nanos += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    return nanos / 1000;
  } catch {
    return null;
  }
}

/** Resident memory of a process, bytes. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}

/** What is measured has a core of its own; broker, store and load share the other. */
export const MEASURED_CORE = 1;
export const OTHER_CORE = 0;

const canPin = (() => {
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' });
    return cpus().length > 1;
  } catch {
    return false;
  }
})();

/** Moves a process and its threads to one core, where the system can. */
export function pin(pid: number, core: number): void {
  if (canPin) execFileSync('taskset', ['-acp', String(core), String(pid)], { stdio: 'ignore' });
}

/** What every measured program is started with: a young generation as `npm start` has it. */
export const NODE_FLAGS = ['--max-semi-space-size=192'] as const;

/** Starts a program on one core, where the system can, its output to be read; with a channel for messages where asked for. */
export function spawnPinned(
  core: number,
  command: string,
  args: readonly string[],
  env: Record<string, string>,
  channel: 'channel' | 'no-channel' = 'no-channel',
): ChildProcess {
  const [file, all] = canPin ? ['taskset', ['-c', String(core), command, ...args]] : [command, [...args]];
  return spawn(file, all, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit', ...(channel === 'channel' ? (['ipc'] as const) : [])],
  });
}

export function machine(): string {
  const model = cpus()[0]?.model ?? 'unknown';
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${model}, ${memory} GiB, Node ${process.version}, ${canPin ? 'pinned with taskset' : 'not pinned'}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** The value that this share of them does not exceed. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}
