import { Backoff } from './backoff.js';
import { type Heard, type Leadership, type LeaderTerm, SOLE_LEADER } from './ports/leadership.js';
import { Projections, type ProjectionsControl, type ProjectionsStatus } from './projections.js';
import { type ProjectDependencies } from './project.js';
import { messageOf, pause } from './timing.js';

/** How often the one that leads tells the others, and looks whether a rebuild is asked for. */
const TELL_MS = 500;
/** How often one that does not lead tries to, and listens. */
const LISTEN_MS = 1000;
const LAST_DELAY_MS = 10_000;

/**
 * The projections of one of several processes on a read model: they run while this process leads, and from the moment
 * in which it no longer does they do not. Meanwhile it is known what the leader tells.
 */
export class LedProjections implements ProjectionsControl {
  private readonly stopping = new AbortController();
  private readonly leadership: Leadership;
  private readonly startedAt: number;
  private projections: Projections | null = null;
  private heard: (Heard & { readonly at: number }) | null = null;
  /** A rebuild was asked for here, and the leader has not been told. */
  private isAsking = false;
  private problem: string | null = null;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly dependencies: ProjectDependencies) {
    this.leadership = dependencies.leadership ?? SOLE_LEADER;
    this.startedAt = dependencies.clock();
  }

  start(): void {
    this.running = this.run();
  }

  /** Begins a rebuild, or lets the one that runs go on; where another process leads, asks it to. Does not wait. */
  rebuild(): ProjectionsStatus {
    if (this.projections !== null) return this.projections.rebuild();
    this.isAsking = true;
    return this.status();
  }

  status(): ProjectionsStatus {
    if (this.projections !== null) return this.projections.status();
    const { heard } = this;
    const since = this.dependencies.clock() - (heard?.at ?? this.startedAt);
    const rebuild = heard?.rebuild ?? (this.isAsking ? { events: 0, share: 0 } : null);
    return {
      position: heard?.position ?? null,
      lagMs: Math.max(1, (heard?.lagMs ?? 0) + since),
      rebuild,
      problem: this.problem,
    };
  }

  /** Resolves when nothing of it runs any more, and others may lead. Idempotent. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
    await this.leadership.close();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    const backoff = new Backoff(LISTEN_MS, LAST_DELAY_MS);
    while (!signal.aborted) {
      let delayMs = LISTEN_MS;
      try {
        const term = await this.leadership.lead();
        if (term === null) await this.follow();
        else await this.lead(term);
        backoff.reset();
        this.problem = null;
      } catch (error) {
        delayMs = backoff.nextDelayMs();
        this.problem = firstLineOf(error);
        if (!signal.aborted) this.dependencies.observer.projectionFailed('live', error, delayMs);
      }
      await pause(delayMs, signal);
    }
  }

  private async follow(): Promise<void> {
    const { isAsking } = this;
    if (isAsking) await this.leadership.askForRebuild();
    const at = this.dependencies.clock();
    const heard = await this.leadership.listen();
    this.heard = heard === null ? null : { ...heard, at };
    // What is asked for while this waits is told the next time.
    if (isAsking) this.isAsking = false;
  }

  private async lead(term: LeaderTerm): Promise<void> {
    const ended = AbortSignal.any([term.ended, this.stopping.signal]);
    const projections = new Projections(this.dependencies);
    projections.start();
    this.projections = projections;
    if (this.isAsking) projections.rebuild();
    this.isAsking = false;
    try {
      let tookUp = false;
      while (!ended.aborted) {
        const { lagMs, rebuild } = projections.status();
        const isAsked = await term.tell({ lagMs, rebuild }, tookUp);
        if (isAsked) projections.rebuild();
        tookUp = isAsked;
        await pause(TELL_MS, ended);
      }
    } finally {
      // What is known of the rows is as old as this from now on.
      const { position, lagMs } = projections.status();
      this.heard = { position, lagMs, rebuild: null, at: this.dependencies.clock() };
      this.projections = null;
      // What is under way may take its time to fail, too.
      if (!this.stopping.signal.aborted) this.problem = firstLineOf(term.ended.reason);
      await projections.stop();
      await term.release();
    }
  }
}

function firstLineOf(error: unknown): string | null {
  return messageOf(error).split('\n', 1)[0] ?? null;
}
