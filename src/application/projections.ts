import { Backoff } from './backoff.js';
import { VIEW_SCHEMA_VERSION } from './device-view.js';
import { UnreadableRowError } from './fold-batch.js';
import { type ProjectionKind } from './ports/projection-observer.js';
import { type Generation, ReadModelError } from './ports/read-model.js';
import { Projection, type ProjectDependencies } from './project.js';
import { isOfLog, rebuild, type RebuildProgress, sweepAll } from './rebuild.js';
import { messageOf, pause } from './timing.js';

export interface ProjectionsStatus {
  /** Of the last event that readers see; null: none. */
  readonly position: bigint | null;
  /** How far behind the rows are, at the most; 0: they show all that there is, as far as this process knows. */
  readonly lagMs: number;
  /** Null: none runs. */
  readonly rebuild: RebuildProgress | null;
  /** Why the rows are not brought up to date now, in one line; null: they are. */
  readonly problem: string | null;
}

/** How far the projections are, and their rebuild: what the rest of the service sees of them, wherever they run. */
export interface ProjectionsControl {
  status(): ProjectionsStatus;
  /** Begins a rebuild, or lets the one that runs go on. Does not wait for it. */
  rebuild(): ProjectionsStatus;
}

const FIRST_DELAY_MS = 100;
const LAST_DELAY_MS = 10_000;
/** Between two steps of the removal of old rows, so that it is nobody's trouble. */
const SWEEP_PAUSE_MS = 20;

/**
 * Keeps the read model up to date for as long as the service runs, and rebuilds it where that is asked for or needed.
 * Whatever fails is tried again, with growing pauses; commands never wait for it.
 */
export class Projections implements ProjectionsControl {
  private readonly stopping = new AbortController();
  /** Ends the live run when another generation is the active one. */
  private switching = new AbortController();
  private live: Projection | null = null;
  private building: RebuildProgress | null = null;
  private problem: string | null = null;
  /** Since when the rows may lack something; null: they were up to date last. */
  private behindSince: number | null;
  private readonly work = new Set<Promise<void>>();

  constructor(private readonly dependencies: ProjectDependencies) {
    this.behindSince = dependencies.clock();
  }

  start(): void {
    this.keep(this.keepLive());
    this.keep(this.sweep());
  }

  /** Begins a rebuild, or lets the one that runs go on. Does not wait for it. */
  rebuild(): ProjectionsStatus {
    if (this.building === null && !this.stopping.signal.aborted) {
      this.building = { events: 0, share: 0 };
      this.keep(this.keepBuilding());
    }
    return this.status();
  }

  status(): ProjectionsStatus {
    const lagMs = this.live?.lagMs() ?? 0;
    // Not 0 either in the millisecond in which it began: 0 says that nothing is missing.
    const behindMs =
      this.behindSince === null ? 0 : Math.max(1, this.dependencies.clock() - this.behindSince);
    return {
      position: this.live?.writtenPosition ?? null,
      lagMs: Math.max(0, lagMs, behindMs),
      rebuild: this.building,
      problem: this.problem,
    };
  }

  /** Resolves when nothing of it runs any more. Idempotent. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.work);
  }

  private keep(work: Promise<void>): void {
    this.work.add(work);
    void work.finally(() => this.work.delete(work));
  }

  private async keepLive(): Promise<void> {
    await this.persist('live', async (reset) => {
      const switching = (this.switching = new AbortController());
      const generation = await this.liveGeneration();
      const signal = AbortSignal.any([this.stopping.signal, switching.signal]);
      if (generation === null) {
        // Rows of another version are shown as they are until the rebuild has others.
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return false;
      }
      const live = (this.live = new Projection(this.dependencies, generation, 'live'));
      await live.run({
        signal,
        onProgress: () => {
          reset();
          this.problem = null;
        },
        onCaughtUp: () => {
          this.behindSince = null;
          this.problem = null;
          return false;
        },
      });
      return false;
    });
  }

  private async keepBuilding(): Promise<void> {
    await this.persist('rebuild', async (reset) => {
      const rebuilt = await rebuild(this.dependencies, this.stopping.signal, (progress, isWritten) => {
        if (isWritten) reset();
        this.building = progress;
      });
      return rebuilt !== null;
    });
    this.building = null;
    // The other generation has yet to hear of what came since it was swapped in.
    this.behindSince ??= this.dependencies.clock();
    this.switching.abort();
    if (!this.stopping.signal.aborted) this.keep(this.sweep());
  }

  /** Does the work over and over until it says that it is done, or all is stopped. */
  private async persist(kind: ProjectionKind, work: (reset: () => void) => Promise<boolean>): Promise<void> {
    const backoff = new Backoff(FIRST_DELAY_MS, LAST_DELAY_MS);
    while (!this.stopping.signal.aborted) {
      try {
        if (await work(() => backoff.reset())) return;
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        if (kind === 'live') {
          this.behindSince ??= this.dependencies.clock();
          this.problem = messageOf(error).split('\n', 1)[0] ?? null;
        }
        const delayMs = backoff.nextDelayMs();
        // That another process goes on with the generation, or has swapped it, is no failure.
        const isExpected = error instanceof ReadModelError && error.code === 'superseded';
        if (!isExpected) this.dependencies.observer.projectionFailed(kind, error, delayMs);
        if (error instanceof UnreadableRowError && kind === 'live') this.rebuild();
        await this.wait(delayMs);
      }
    }
  }

  /** The generation to go on with; null: the active one's rows mean something else, and a rebuild has begun. */
  private async liveGeneration(): Promise<Generation | null> {
    const { store, model, observer } = this.dependencies;
    const all = await model.generations();
    const active = all.find(({ isActive }) => isActive);
    const building = all.find(({ isActive }) => !isActive);
    if (active === undefined || !(await isOfLog(store, active))) {
      // Nothing that is not in the log is shown, not even while the rest is made anew.
      const next = await model.begin(VIEW_SCHEMA_VERSION);
      observer.generation(
        'begun',
        next.id,
        active === undefined
          ? 'there was none'
          : 'of another event store, or one whose latest events are gone',
      );
      // Another process may have gone on here while this one stood still; what it shows is not taken away again.
      if (!(await model.activate(next.id, { instead: active?.id ?? null }))) {
        throw new ReadModelError('superseded', 'Another process has begun a generation of the read model');
      }
      return { ...next, isActive: true };
    }
    if (active.schema !== VIEW_SCHEMA_VERSION || building !== undefined) this.rebuild();
    return active.schema === VIEW_SCHEMA_VERSION ? active : null;
  }

  private async sweep(): Promise<void> {
    const { signal } = this.stopping;
    try {
      await sweepAll(this.dependencies.model, signal, () => this.wait(SWEEP_PAUSE_MS));
    } catch (error) {
      // It is begun again with the next start or rebuild.
      if (!signal.aborted) this.dependencies.observer.projectionFailed('rebuild', error, 0);
    }
  }

  private async wait(milliseconds: number): Promise<void> {
    await pause(milliseconds, this.stopping.signal);
  }
}
