import { type ReadModel, ReadModelError } from './ports/read-model.js';
import { type ProjectDependencies } from './project.js';
import { rebuild, type RebuildProgress, type Rebuilt } from './rebuild.js';
import { pause } from './timing.js';

export interface RebuildBesideHooks {
  readonly onProgress?: (progress: RebuildProgress) => void;
  /** Called when another process has gone on with the generation that this one built. */
  readonly onTakenOver?: () => void;
}

export interface RebuildBesideOptions {
  /** How often the other process is looked at. Default 500. */
  readonly pollMs?: number;
  /** When it has written nothing for so long, this one goes on. Default 20,000, twice the longest pause of a service. */
  readonly patienceMs?: number;
}

/**
 * As {@link rebuild}, beside a process that may begin to build the same generation at any time, as a service does that
 * starts and finds it there. Of two that write it one is refused: where it is this one, it lets the other do the work,
 * and goes on itself when the other has come to a stop.
 *
 * Throws as {@link rebuild}, but for `superseded`.
 *
 * @returns `elsewhere`: another process has made it what readers see; null: the signal ended it
 */
export async function rebuildBeside(
  dependencies: ProjectDependencies,
  signal: AbortSignal,
  { onProgress, onTakenOver }: RebuildBesideHooks = {},
  { pollMs = 500, patienceMs = 20_000 }: RebuildBesideOptions = {},
): Promise<Rebuilt | 'elsewhere' | null> {
  const { model, clock } = dependencies;
  const before = (await look(model)).active;
  while (!signal.aborted) {
    try {
      return await rebuild(dependencies, signal, onProgress);
    } catch (error) {
      if (!(error instanceof ReadModelError) || error.code !== 'superseded') throw error;
    }
    onTakenOver?.();
    let seen = await look(model);
    let since = clock();
    while (!signal.aborted && clock() - since < patienceMs) {
      if (seen.active !== before) return 'elsewhere';
      await pause(pollMs, signal);
      const next = await look(model);
      if (next.building !== seen.building) since = clock();
      seen = next;
    }
  }
  return null;
}

/** @returns the active generation's id, and what changes with each batch of the one that is built */
async function look(model: ReadModel): Promise<{ active: number | undefined; building: string }> {
  const all = await model.generations();
  const building = all.find(({ isActive }) => !isActive);
  return {
    active: all.find(({ isActive }) => isActive)?.id,
    building: `${building?.id}: ${building?.checkpoint?.position}`,
  };
}
