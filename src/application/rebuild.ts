import { VIEW_SCHEMA_VERSION } from './device-view.js';
import { UnreadableRowError } from './fold-batch.js';
import { firstOf, lastOf, shareOf } from './copy-events.js';
import { EventStoreError, type EventLog } from './ports/event-store.js';
import { SOLE_LEADER } from './ports/leadership.js';
import { type Generation, type ReadModel, ReadModelError } from './ports/read-model.js';
import { isLoss, type Progress, Projection, type ProjectDependencies } from './project.js';
import { pause } from './timing.js';

export interface RebuildProgress {
  /** Events that this run has read. */
  readonly events: number;
  /** How much of the log is behind it, from 0 to 1, by positions: an estimate. */
  readonly share: number;
}

export interface Rebuilt {
  readonly events: number;
  /** True where an interrupted one was gone on with. */
  readonly resumed: boolean;
}

/**
 * Builds a generation beside the one that readers see, and makes it theirs when it has all that is in the log. One
 * that was interrupted is gone on with. Null: the signal ended it.
 *
 * Throws as {@link Projection.run}; called again, it goes on where it was.
 *
 * @param onProgress called for what is folded, and again when it is written
 */
export async function rebuild(
  dependencies: ProjectDependencies,
  signal: AbortSignal,
  onProgress: (progress: RebuildProgress, isWritten: boolean) => void = () => undefined,
): Promise<Rebuilt | null> {
  const { model, leadership = SOLE_LEADER } = dependencies;
  const before = await activeId(model);
  let term = await leadership.build();
  while (term === null) {
    await pause(BUILDER_POLL_MS, signal);
    if (signal.aborted) return null;
    term = await leadership.build();
    // Another process has done it.
    if (term !== null && (await activeId(model)) !== before) {
      await term.release();
      return { events: 0, resumed: true };
    }
  }
  try {
    const rebuilt = await build(dependencies, AbortSignal.any([signal, term.ended]), onProgress);
    if (rebuilt === null && !signal.aborted) {
      throw new ReadModelError('unavailable', 'The right to build the read model was lost');
    }
    return rebuilt;
  } finally {
    await term.release();
  }
}

const BUILDER_POLL_MS = 1000;

async function activeId(model: ReadModel): Promise<number | undefined> {
  return (await model.generations()).find(({ isActive }) => isActive)?.id;
}

async function build(
  dependencies: ProjectDependencies,
  signal: AbortSignal,
  onProgress: (progress: RebuildProgress, isWritten: boolean) => void,
): Promise<Rebuilt | null> {
  const { store, model, observer } = dependencies;
  const left = (await model.generations()).find(({ isActive }) => !isActive);
  const resumed = left !== undefined && (await canGoOn(store, left));
  const generation = resumed ? left : await model.begin(VIEW_SCHEMA_VERSION);
  observer.generation(resumed ? 'resumed' : 'begun', generation.id, 'rebuild');
  const first = (await firstOrNull(firstOf, store)) ?? 0n;
  const last = (await firstOrNull(lastOf, store)) ?? first;
  const projection = new Projection(dependencies, generation, 'rebuild');
  let events = 0;
  let isActive = false;
  const tell = (progress: Progress, isWritten: boolean): void => {
    events = progress.events;
    onProgress({ events, share: Math.min(1, shareOf(first, progress.position, last)) }, isWritten);
  };
  try {
    await projection.run({
      signal,
      onFolded: (progress) => tell(progress, false),
      onProgress: (progress) => tell(progress, true),
      onCaughtUp: async () => (isActive = await model.activate(generation.id)),
    });
  } catch (error) {
    // It would be met again: the next call begins with another generation.
    if (error instanceof UnreadableRowError) await model.begin(VIEW_SCHEMA_VERSION);
    throw error;
  }
  if (!isActive) return null;
  observer.generation('activated', generation.id, 'rebuild');
  return { events, resumed };
}

/** True where the generation's rows are of this version, and of this log. */
export async function canGoOn(store: EventLog, generation: Generation): Promise<boolean> {
  return generation.schema === VIEW_SCHEMA_VERSION && (await isOfLog(store, generation));
}

/**
 * False where the log does not have the event that the generation's checkpoint names: it was replaced by another one,
 * or by an older copy.
 */
export async function isOfLog(store: EventLog, { checkpoint }: Generation): Promise<boolean> {
  const proof = checkpoint?.proof;
  if (proof === null || proof === undefined) return true;
  const { stream, revision, id, position } = proof;
  try {
    for await (const event of store.readStream(stream, { from: revision, maxCount: 1 })) {
      return event.revision === revision && event.id === id && event.position === position;
    }
    return false;
  } catch (error) {
    // Damage and deletion came later: they do not say that it is another log.
    if (isLoss(error)) return true;
    throw error;
  }
}

/** Removes the rows of generations that were given up, bit by bit. Throws `ReadModelError`. */
export async function sweepAll(
  model: ReadModel,
  signal: AbortSignal,
  pause: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted && (await model.sweep(SWEEP_COUNT))) await pause();
}

const SWEEP_COUNT = 500;

/** A damaged first or last event only makes the estimate worse. */
async function firstOrNull(
  find: (store: EventLog) => Promise<{ position: bigint } | null>,
  store: EventLog,
): Promise<bigint | null> {
  try {
    return (await find(store))?.position ?? null;
  } catch (error) {
    if (error instanceof EventStoreError && error.code === 'corrupt') return error.damaged?.position ?? null;
    throw error;
  }
}
