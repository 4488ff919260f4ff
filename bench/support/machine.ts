import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
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

const canPin = (() => {
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' });
    return cpus().length > 1;
  } catch {
    return false;
  }
})();

/** Moves a process and its threads to one core, where the system can. */
export function pin(pid: number, core: number): boolean {
  if (!canPin) return false;
  execFileSync('taskset', ['-acp', String(core), String(pid)], { stdio: 'ignore' });
  return true;
}

/** What every measured program is started with: a young generation as `npm start` has it. */
export const NODE_FLAGS = ['--max-semi-space-size=192'] as const;

/** Starts a program on one core, where the system can; with a channel for messages where it is asked for. */
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
