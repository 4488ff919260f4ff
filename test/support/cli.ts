import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { type Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** The built command line. */
export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

export interface CliExit {
  /** The exit code, or the signal that ended it. */
  readonly code: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly exit: Promise<CliExit>;
}

/** Starts the built command line, with these settings and no other ones of the service. */
export function startCli(
  environment: Readonly<Record<string, string>>,
  args: readonly string[],
  nodeOptions: readonly string[] = [],
): RunningCli {
  const { PATH, TMPDIR, HOME } = process.env;
  const env = { PATH, TMPDIR, HOME, ...environment };
  const child = spawn(process.execPath, [...nodeOptions, CLI, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const exit = new Promise<CliExit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code: code ?? signal, stdout, stderr }));
  });
  return { child, exit };
}

/** Runs it to its end. */
export function runCli(environment: Readonly<Record<string, string>>, ...args: string[]): Promise<CliExit> {
  return startCli(environment, args).exit;
}
