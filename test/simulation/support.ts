import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs `npm run simulate` with these arguments, in processes of its own: there, time is virtual. */
export function simulate(...args: string[]): Promise<Ended> {
  const script = fileURLToPath(new URL('../../scripts/simulate.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
    // Jest's own way of loading modules is none of theirs.
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

export function hashOf({ output }: Ended): string | undefined {
  return /hash ([0-9a-f]+)/.exec(output)?.[1];
}
