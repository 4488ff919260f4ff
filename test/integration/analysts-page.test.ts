import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EVENT_COLUMNS } from '../../src/application/event-row.js';
import { shownOn } from '../support/page.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/analysts.md'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'analysts-page-'));
afterAll(() => rmSync(folder, { recursive: true }));

function run(command: string): Promise<{ stdout: string; stderr: string }> {
  const script = `device-state-replica() { '${process.execPath}' '${join(ROOT, 'dist/cli.js')}' "$@"; }\n${command}`;
  const { PATH } = process.env;
  return new Promise((resolve) => {
    execFile(
      'bash',
      ['--norc', '-c', script],
      { cwd: folder, env: { PATH, DATA_DIR: join(folder, 'demo-data') } },
      (_, stdout, stderr) => resolve({ stdout, stderr }),
    );
  });
}

describe('docs/analysts.md', () => {
  beforeAll(async () => {
    const args = ['--import', 'tsx', 'demo/fleet-history.ts', '--data-dir', join(folder, 'demo-data')];
    const problem = await new Promise<Error | null>((resolve) => {
      execFile(process.execPath, args, { cwd: ROOT }, (error) => resolve(error));
    });
    expect(problem).toBeNull();
  });

  const shown = shownOn(PAGE);

  it('shows commands', () => {
    expect(shown.length).toBeGreaterThanOrEqual(8);
  });

  // In their order: some use what those before them wrote.
  it.each(shown.map(({ command, output }) => [command, output]))(
    'prints what it shows: %s',
    async (command, output) => {
      const { stdout, stderr } = await run(command);
      expect({ stdout, stderr: stderr.replaceAll(/^\S+: \d+ %, .*\n/gm, '') }).toEqual({
        stdout: output,
        stderr: '',
      });
    },
  );

  it('describes every column, and no other', () => {
    const table = PAGE.split('\n').filter((line) => /^\| `/.test(line));
    const names = table.map((line) => /^\| `(\w+)`/.exec(line)?.[1]);
    expect(names).toEqual(EVENT_COLUMNS.map(([name]) => name));
  });
});
