import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { Writable } from 'node:stream';

/**
 * `exec` gives the program the pid of this shell. The watcher reads a pipe whose other end only the parent
 * holds: when the parent is gone, however it ended (SIGKILL too), the pipe closes, and the watcher ends the
 * program and removes the folder that nobody needs any more. A line on the pipe tells it to do neither.
 */
const WATCHED = `
folder=$1; shift
{ if ! read -r _ <&3; then
    kill -9 $$ 2>/dev/null
    [ -z "$folder" ] || { sleep 1; rm -rf "$folder"; }
  fi
} >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
`;

export interface GuardedProcess {
  pid: number;
  /** True from the moment the process has ended. */
  ended(): boolean;
  /** Sends the signal and waits for the end; after `graceMs` (default 30,000) it is killed. */
  end(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL', graceMs?: number): Promise<void>;
}

export interface GuardedProcessOptions {
  /** Gets both output streams, appended. */
  logFile: string;
  /** A folder to remove should this process die without ending the child. */
  removeOnOrphaning?: string;
  env?: NodeJS.ProcessEnv;
}

/** Starts a program that never outlives the process that started it. */
export async function startGuarded(
  command: string,
  args: string[],
  options: GuardedProcessOptions,
): Promise<GuardedProcess> {
  const log = openSync(options.logFile, 'a');
  let child: ChildProcess;
  try {
    child = spawn('/bin/sh', ['-c', WATCHED, 'sh', options.removeOnOrphaning ?? '', command, ...args], {
      // Not stdin: Node closes that by itself when the child has ended, before a line could be written.
      stdio: ['ignore', log, log, 'pipe'],
      env: options.env ?? process.env,
    });
    await once(child, 'spawn');
  } finally {
    closeSync(log);
  }
  const { pid } = child;
  const guard = child.stdio[3];
  if (pid === undefined || !(guard instanceof Writable))
    throw new Error(`${command} was started without a pid`);
  let hasEnded = false;
  // The watcher may be gone already; that is no error here.
  guard.on('error', () => undefined);
  const exit = once(child, 'exit').then(() => {
    hasEnded = true;
    guard.end('ended\n');
  });
  return {
    pid,
    ended: () => hasEnded,
    async end(signal, graceMs = 30_000) {
      if (hasEnded) return;
      child.kill(signal);
      const late = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await exit;
      clearTimeout(late);
    },
  };
}
