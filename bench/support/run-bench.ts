import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Report } from './report.js';

/** Of what does its work in the bench's own process: as the command line's rebuild has it. */
const FLAGS: Readonly<Record<string, readonly string[]>> = { rebuild: ['--max-semi-space-size=32'] };

/** Runs one bench by its name as a program of its own, its output shown. Rejects where it fails. */
export async function runBench(bench: string, args: readonly string[] = []): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-report-'));
  const json = join(folder, 'report.json');
  try {
    const flags = [...(FLAGS[bench] ?? []), '--import', 'tsx'];
    const child = spawn(process.execPath, [...flags, `bench/${bench}.ts`, ...args, '--json', json], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`bench:${bench} ended with code ${code}`);
    return JSON.parse(readFileSync(json, 'utf8')) as Report;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
