import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Report } from './report.js';

/** Of what does its work in the bench's own process: as the command line's rebuild has it. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  rebuild: ['--min-semi-space-size=64', '--max-semi-space-size=64'],
};

const BROKER_ENDS_MS = 2000;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export interface RunOptions {
  /** How long it may take, in milliseconds; then it is ended, and failed. Default: for ever. */
  readonly limitMs?: number;
}

/** Runs one bench by its name as a program of its own, its output shown. Rejects where it fails. Leaves no process behind. */
export async function runBench(
  bench: string,
  args: readonly string[] = [],
  { limitMs }: RunOptions = {},
): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-report-'));
  const json = join(folder, 'report.json');
  try {
    const flags = [...(FLAGS[bench] ?? []), '--import', 'tsx'];
    const child = spawn(process.execPath, [...flags, `bench/${bench}.ts`, ...args, '--json', json], {
      stdio: ['ignore', 'inherit', 'inherit'],
      // With what it starts, a group of its own that can be ended as a whole.
      detached: true,
    });
    const end = (): void => endGroup(child.pid);
    const endAll = (): void => {
      end();
      process.exit(1);
    };
    for (const signal of SIGNALS) process.once(signal, endAll);
    const timer = limitMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), limitMs);
    try {
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
      if (code !== 0) {
        // The broker ends with the bench, and what it wrote is removed then.
        await pause(BROKER_ENDS_MS);
        throw new Error(`bench:${bench} ended with ${code ?? signal}`);
      }
    } finally {
      clearTimeout(timer);
      for (const signal of SIGNALS) process.off(signal, endAll);
      end();
    }
    return JSON.parse(readFileSync(json, 'utf8')) as Report;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}
