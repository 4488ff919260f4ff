import { COMMAND_COUNT, type RunOptions, runSeed } from './run.js';

/**
 * The least number of commands, as far as halving finds it, with which the seed still fails. What happens before the
 * commands that are left out is the same, so nearly always it fails in the same way.
 */
export async function shrink(seed: number, options: RunOptions): Promise<number> {
  let fails = options.commandCount ?? COMMAND_COUNT;
  let holds = 0;
  while (fails - holds > 1) {
    const keep = Math.floor((fails + holds) / 2);
    const { broken } = await runSeed(seed, { ...options, keep });
    if (broken === null) holds = keep;
    else fails = keep;
  }
  return fails;
}
