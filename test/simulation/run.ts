import { installKafka, useNetwork } from './kafka/network.js';
import { Random } from './kernel/random.js';
import { Trace } from './kernel/trace.js';
import { installVirtualTime, useTimeOf } from './kernel/virtual-time.js';
import { BrokenPromise } from './oracle/oracle.js';
import { planOf, type Plan } from './plan.js';
import { scheduleChaos } from './world/chaos.js';
import { type Parts } from './world/instance.js';
import { World } from './world/world.js';

/** How long everything may take to end once the trouble has ended, in virtual milliseconds. */
const HEALING_MS = 600_000;
const NO_ROWS = { rows: new Map<never, never>(), settled: new Map<never, never>() };

export const COMMAND_COUNT = 300;

const WARMING_SEEDS = 3;

export interface RunOptions {
  /** How many commands are sent. Default {@link COMMAND_COUNT}. */
  readonly commandCount?: number;
  /** All but the first so many of them are left out; what happens before them is the same. Default: none is. */
  readonly keep?: number;
  /** Takes each line of what happens. */
  readonly print?: (line: string) => void;
  /** Puts a planted fault between the service and its ports. */
  readonly plant?: (parts: Parts) => Parts;
}

export interface RunResult {
  readonly seed: number;
  readonly plan: Plan;
  /** Which invariant was broken and how, in one line; null: all held. */
  readonly broken: string | null;
  readonly stack: string | undefined;
  /** Of all that happened, in order. */
  readonly hash: string;
  readonly events: number;
  readonly checks: number;
  readonly virtualMs: number;
  readonly counts: ReadonlyMap<string, number>;
}

let isWarm = false;

/** Runs one seed from its beginning to its end. One at a time in a process: time is that of the run. */
export async function runSeed(seed: number, options: RunOptions = {}): Promise<RunResult> {
  if (!isWarm) {
    isWarm = true;
    installVirtualTime();
    installKafka();
    // What a process does once, such as to change kafkajs where it must be, takes turns of its own: not amid a run that counts.
    for (let first = 1; first <= WARMING_SEEDS; first++) await run(first, { commandCount: 30 });
  }
  return run(seed, options);
}

async function run(seed: number, options: RunOptions): Promise<RunResult> {
  const { commandCount = COMMAND_COUNT, keep = commandCount, plant = (parts) => parts } = options;
  const plan = planOf(seed, commandCount);
  const trace = new Trace(options.print);
  const world = new World(plan, trace, plant);
  const { scheduler } = world;
  useTimeOf({ scheduler, random: new Random(seed, 6) });
  useNetwork(world.kafka);
  const uncaught = (error: unknown): void => {
    world.broken ??= new BrokenPromise(
      'nothing is left unhandled',
      error instanceof Error ? `${error.stack}` : String(error),
    );
  };
  process.on('unhandledRejection', uncaught);
  try {
    await play(world, keep);
  } catch (error) {
    world.broken ??= error as Error;
  } finally {
    process.off('unhandledRejection', uncaught);
    scheduler.clear();
    useTimeOf(null);
    useNetwork(null);
  }
  const { broken } = world;
  return {
    seed,
    plan,
    broken: broken === null ? null : broken.message,
    stack: broken?.stack,
    hash: trace.hash,
    events: scheduler.events,
    checks: world.oracle.checks,
    virtualMs: scheduler.nowMs,
    counts: world.stats.counts,
  };
}

async function play(world: World, keep: number): Promise<void> {
  const { plan, scheduler } = world;
  const arrivals = new Random(plan.seed, 7);
  for (let number = 0; number < plan.instanceCount; number++) {
    scheduler.after(arrivals.exponential(300), scheduler.world, '', () => world.startInstance(number));
  }
  // Requests need somebody to ask.
  const startMs = plan.restShare > 0 ? 1500 : 0;
  let left = plan.commandCount;
  const meanMs = plan.loadMs / (plan.commandCount / plan.burstCount);
  let endMs = startMs;
  while (left > 0) {
    const count = Math.min(left, arrivals.between(1, 2 * plan.burstCount - 1));
    endMs += arrivals.exponential(meanMs);
    for (let index = 0; index < count; index++) {
      const atMs = endMs + arrivals.next();
      if (plan.commandCount - left + index < keep)
        scheduler.after(atMs, scheduler.world, '', () => world.send());
    }
    left -= count;
  }
  endMs += 5 + arrivals.exponential(2000);
  scheduleChaos(world, endMs);
  const isBroken = (): boolean => world.broken !== null;
  await scheduler.run(isBroken, endMs);
  if (isBroken()) return;
  scheduler.nowUs = Math.max(scheduler.nowUs, Math.round(endMs * 1000));
  world.heal();
  let checked = -1;
  const isQuiet = (): boolean => {
    // Looking costs more than most of what happens.
    if (isBroken()) return true;
    if (scheduler.events - checked < 20) return false;
    checked = scheduler.events;
    return world.isQuiet();
  };
  const how = await scheduler.run(isQuiet, endMs + HEALING_MS);
  if (isBroken()) return;
  if (how !== 'done')
    throw new BrokenPromise('every command ends', `nothing moves any more (${how}): ${world.trouble()}`);
  world.oracle.finish(world.storage.kept.log, world.readModel.active ?? NO_ROWS);
}
