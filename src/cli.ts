#!/usr/bin/env node
import { apiKeyCommand } from './cli/api-key.js';
import { backupCommand } from './cli/backup.js';
import { type Command, InterruptedError, lineOf, parseArguments, UsageError } from './cli/command.js';
import { copyEventsCommand, withoutVariable } from './cli/copy.js';
import { exportCommand } from './cli/export.js';
import { historyCommand } from './cli/history.js';
import { namedError, print } from './cli/output.js';
import { endOfBar } from './cli/progress.js';
import { queryCommand } from './cli/query.js';
import { rebuildCommand } from './cli/rebuild.js';
import { replayCommand } from './cli/replay.js';
import { verifyCommand } from './cli/verify.js';

const COMMANDS: readonly Command[] = [
  historyCommand,
  exportCommand,
  queryCommand,
  replayCommand,
  verifyCommand,
  rebuildCommand,
  backupCommand,
  copyEventsCommand,
  apiKeyCommand,
];

const EXIT_CODES = `Exit code 0: done. 1: it failed, or what was to be compared is not the same. 2: it
was called in a wrong way. 130: interrupted.
`;

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const list = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n');
  return `usage: device-state-replica COMMAND [OPTIONS]

${list}

device-state-replica COMMAND --help tells more of each.

${EXIT_CODES}`;
}

async function main(args: readonly string[]): Promise<number> {
  const [first] = args;
  if (first === '--help' || first === '-h' || first === 'help') {
    print(overview());
    return 0;
  }
  if (first === undefined) throw new UsageError('no command; see --help');
  const command = COMMANDS.find(({ name }) => args.slice(0, name.split(' ').length).join(' ') === name);
  if (command === undefined) throw new UsageError(`unknown command '${first}'; see --help`);
  const given = parseArguments(command, args.slice(command.name.split(' ').length));
  if (given.help) {
    const { name, synopsis, help } = command;
    print(`usage: device-state-replica ${name} ${synopsis}\n\n${help}\n${EXIT_CODES}`);
    return 0;
  }
  try {
    return await command.run(given);
  } catch (error) {
    if (command.hidesVariables !== true) throw error;
    if (error instanceof UsageError || error instanceof InterruptedError) throw error;
    throw new Error(withoutVariable(lineOf(error)), { cause: error });
  }
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever reads the output has had enough: nothing is wrong, but what was found.
  if (error.code === 'EPIPE') process.exit();
  tell(namedError('standard output', error));
  process.exit(1);
});
// Progress that nobody reads is no reason to end.
process.stderr.on('error', () => undefined);

function tell(error: unknown): void {
  process.stderr.write(`${endOfBar()}device-state-replica: ${lineOf(error)}\n`);
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    tell(error);
    process.exitCode = error instanceof UsageError ? 2 : error instanceof InterruptedError ? 130 : 1;
  },
);
