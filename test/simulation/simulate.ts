import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { FAULTS, type FaultName, plantFault } from './faults.js';
import { COMMAND_COUNT, runSeed } from './run.js';
import { runShares, type Share, type Total } from './workers.js';

const USAGE = `npm run simulate -- --seed <number> [--commands <count>] [--keep <count>] [--fault <number or name>]
    runs one seed and prints all that happens, the same each time
npm run simulate -- --seeds <count> [--from <number>] [--jobs <count>] [--commands <count>] [--fault <number or name>]
    runs many seeds, and says how to replay each that fails
faults:
${Object.keys(FAULTS)
  .map((name, index) => `    ${index + 1}: ${name}`)
  .join('\n')}`;

const options = {
  seed: { type: 'string' },
  seeds: { type: 'string' },
  from: { type: 'string' },
  jobs: { type: 'string' },
  commands: { type: 'string' },
  keep: { type: 'string' },
  fault: { type: 'string' },
  'stop-at-first': { type: 'boolean' },
} as const;

class UsageError extends Error {}

function wholeOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`--${name} must be a whole number: ${text}`);
  return Number(text);
}

function faultOf(text: string | undefined): FaultName | null {
  if (text === undefined) return null;
  const names = Object.keys(FAULTS) as FaultName[];
  const found = names.find((name) => name === text) ?? names[Number(text) - 1];
  if (found === undefined) throw new UsageError(`--fault: there is no fault '${text}'`);
  return found;
}

async function one(
  seed: number,
  commandCount: number,
  keep: number,
  fault: FaultName | null,
): Promise<boolean> {
  const print = (line: string): boolean => process.stdout.write(`${line}\n`);
  const result = await runSeed(seed, {
    commandCount,
    keep,
    print,
    ...plantFault(fault),
  });
  print(JSON.stringify(result.plan));
  print(JSON.stringify(Object.fromEntries(result.counts)));
  print(
    `seed ${seed}: ${result.events} events, ${result.checks} checks, ${seconds(result.virtualMs)} of virtual time, hash ${result.hash}`,
  );
  print(result.broken === null ? 'every invariant held' : `BROKEN ${result.stack}`);
  return result.broken === null;
}

async function many(shares: readonly Share[], count: number, stopAtFirst: boolean): Promise<boolean> {
  const startNs = process.hrtime.bigint();
  const elapsedMs = (): number => Number(process.hrtime.bigint() - startNs) / 1e6;
  let shown = 0;
  const show = ({ seeds, failures }: Total): void => {
    if (elapsedMs() - shown < 2000) return;
    shown = elapsedMs();
    const leftMs = (shown / Math.max(1, seeds)) * (count - seeds);
    process.stderr.write(`${seeds}/${count} seeds, ${failures.length} failed, ${seconds(leftMs)} left\n`);
  };
  const total = await runShares(shares, show, stopAtFirst);
  for (const [name, times] of total.counts) console.log(`  ${name}: ${times}`);
  for (const { seed, broken, keep } of total.failures) {
    const { commandCount, fault } = shares[0] as Share;
    const commands = commandCount === COMMAND_COUNT ? '' : ` --commands ${commandCount}`;
    const kept = keep === commandCount ? '' : ` --keep ${keep}`;
    const planted = fault === null ? '' : ` --fault ${Object.keys(FAULTS).indexOf(fault) + 1}`;
    console.log(`seed ${seed}: ${broken.split('\n', 1)[0]}`);
    console.log(`  npm run simulate -- --seed ${seed}${commands}${kept}${planted}`);
  }
  const { seeds, failures, events, checks, virtualMs, cpuMs, hash } = total;
  console.log(
    `${seeds} seeds: ${failures.length} failed; ${events} events, ${checks} checks, ${(virtualMs / 3_600_000).toFixed(1)} hours of virtual time ` +
      `in ${seconds(elapsedMs())}, ${(cpuMs / Math.max(1, seeds)).toFixed(1)} ms of CPU each, hash ${hash}`,
  );
  return failures.length === 0;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options, allowPositionals: false });
  const commandCount = wholeOf('commands', values.commands) ?? COMMAND_COUNT;
  const fault = faultOf(values.fault);
  const seed = wholeOf('seed', values.seed);
  const count = wholeOf('seeds', values.seeds);
  let isFine: boolean;
  if (seed !== undefined) {
    isFine = await one(seed, commandCount, wholeOf('keep', values.keep) ?? commandCount, fault);
  } else if (count !== undefined) {
    const from = wholeOf('from', values.from) ?? 1;
    const step = Math.max(1, Math.min(count, wholeOf('jobs', values.jobs) ?? availableParallelism()));
    const isFirstEnough = values['stop-at-first'] === true;
    const shares = Array.from({ length: step }, (_, index) => ({
      from: from + index,
      step,
      end: from + count,
      commandCount,
      fault,
      shrinks: !isFirstEnough,
    }));
    isFine = await many(shares, count, isFirstEnough);
  } else {
    throw new UsageError('--seed or --seeds is missing');
  }
  process.exitCode = isFine ? 0 : 1;
}

main().catch((error: Error) => {
  const isUsage = error instanceof UsageError || 'code' in error;
  console.error(isUsage ? `${error.message}\n${USAGE}` : error.stack);
  process.exitCode = isUsage ? 2 : 1;
});
