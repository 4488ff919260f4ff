import { parseArgs, type ParseArgsConfig } from 'node:util';

/** Called in a wrong way; the message is one line. Exit code 2. */
export class UsageError extends Error {}

/** Ended by Ctrl-C before it was done. Exit code 130. */
export class InterruptedError extends Error {
  constructor(message = 'interrupted') {
    super(message);
  }
}

export interface Arguments {
  /** What follows the command's name and is no option. */
  readonly positionals: readonly string[];
  /** The options that were given and take a value, without their dashes. */
  readonly values: Readonly<Record<string, string | undefined>>;
  readonly flags: ReadonlySet<string>;
}

export interface Command {
  /** One or two words. */
  readonly name: string;
  /** What follows the name in the first line of the help. */
  readonly synopsis: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** The rest of the help. */
  readonly help: string;
  /** Options that take a value. */
  readonly options: readonly string[];
  /** Options that take none. */
  readonly flags?: readonly string[];
  /**
   * True: stores are named by options alone, so an error does not begin with the variable that it would be of in the
   * service.
   */
  readonly hidesVariables?: boolean;
  /** @returns the exit code. Throws {@link UsageError}; {@link InterruptedError}; else an error whose first line says what is wrong. */
  run(given: Arguments): Promise<number>;
}

/** Throws {@link UsageError}, also for an option that the command does not have. */
export function parseArguments(command: Command, args: readonly string[]): Arguments & { help: boolean } {
  const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } };
  for (const name of command.options) options[name] = { type: 'string', multiple: true };
  for (const name of command.flags ?? []) options[name] = { type: 'boolean' };
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${whyNot(error)}; see device-state-replica ${command.name} --help`);
  }
  const values: Record<string, string> = {};
  const flags = new Set<string>();
  for (const [name, value] of Object.entries(parsed.values)) {
    if (value === true) flags.add(name);
    if (!Array.isArray(value)) continue;
    const [first, second] = value;
    if (second !== undefined) throw new UsageError(`--${name} is given twice`);
    if (typeof first === 'string') values[name] = first;
  }
  return { positionals: parsed.positionals, values, flags, help: flags.has('help') };
}

/** The parser's own words, without its advice on a `--` that nobody needs here. */
function whyNot(error: unknown): string {
  return lineOf(error)
    .replace(/\. To specify a positional.*$/, '')
    .replace(/\. Did you forget.*$/, '');
}

/** The first line of an error, by its shape: that of a native module need not be of this realm's class. */
export function lineOf(error: unknown): string {
  const isError = typeof error === 'object' && error !== null && 'message' in error;
  const message = String(isError ? error.message : error);
  return message.split('\n', 1)[0] ?? '';
}

/** Throws {@link UsageError} for more than there may be. */
export function noneLeft(positionals: readonly string[]): void {
  if (positionals.length > 0) throw new UsageError(`unexpected argument '${positionals[0]}'; see --help`);
}

export function wordOf<T extends string>(
  option: string,
  value: string | undefined,
  ...words: [T, ...T[]]
): T {
  const found = words.find((word) => word === (value ?? words[0]));
  if (found === undefined)
    throw new UsageError(`--${option} must be ${words.join(' or ')}; it is '${value}'`);
  return found;
}

/** Null: it is not given. */
export function countOf(option: string, value: string | undefined, least = 1): number | null {
  if (value === undefined) return null;
  if (!/^\d{1,9}$/.test(value) || Number(value) < least) {
    throw new UsageError(`--${option} must be a whole number of at least ${least}; it is '${value}'`);
  }
  return Number(value);
}
