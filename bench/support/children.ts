import { type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** What the service says of each command that it refuses: some benches send such on purpose. */
const REFUSED = '"msg":"Command refused"';

/** The first line of a program's output that is the wanted one; its warnings and errors are shown, then and later. */
export function untilLine(child: ChildProcess, wanted: (line: string) => boolean): Promise<string> {
  if (child.stdout === null) throw new Error('The program has no output');
  const lines = createInterface({ input: child.stdout });
  return new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      if (wanted(line)) resolve(line);
      else if (/"level":"(warn|error)"/.test(line) && !line.includes(REFUSED)) console.error(line);
    });
    child.once('exit', (code) => reject(new Error(`The program ended with code ${code}`)));
  });
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  await Promise.race([ended, sleep(15_000).then(() => child.kill('SIGKILL'))]);
}
