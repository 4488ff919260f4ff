import {
  type Heard,
  type Leadership,
  type LeaderReport,
  type LeaderTerm,
  SOLE_LEADER,
  type Term,
} from '../../../src/application/ports/leadership.js';
import { type Actor, type Scheduler } from '../kernel/scheduler.js';
import { type Line } from './line.js';
import { type ReadModelStorage } from './read-model.js';

type Right = 'lead' | 'build';

interface Holder {
  readonly actor: Actor;
  readonly ended: AbortController;
}

/** Who has which right. One that dies or whose session is lost has it no longer, and may not know yet. */
export class Rights {
  private readonly holders = new Map<Right, Holder>();
  report: { readonly told: LeaderReport; readonly atMs: number } | null = null;
  isAsked = false;

  constructor(private readonly scheduler: Scheduler) {}

  take(right: Right, actor: Actor, ended: AbortController): boolean {
    // Who asked may be gone, or have given up, by the time it is asked here.
    if (this.holders.has(right) || actor.isDead || ended.signal.aborted) return false;
    this.holders.set(right, { actor, ended });
    return true;
  }

  give(right: Right, ended: AbortController): void {
    if (this.holders.get(right)?.ended === ended) this.holders.delete(right);
  }

  /** The sessions of an instance end; where it lives, it hears of it after a while. */
  lose(actor: Actor, hearsAfterMs: number): void {
    for (const [right, holder] of [...this.holders]) {
      if (holder.actor !== actor) continue;
      this.holders.delete(right);
      this.scheduler.after(hearsAfterMs, actor, `no longer has the right to ${right}`, () =>
        holder.ended.abort(),
      );
    }
  }
}

export class SimulatedLeadership implements Leadership {
  private readonly actor: Actor;

  constructor(
    private readonly rights: Rights,
    private readonly storage: ReadModelStorage,
    private readonly line: Line,
    private readonly scheduler: Scheduler,
  ) {
    this.actor = scheduler.current;
  }

  async lead(): Promise<LeaderTerm | null> {
    const term = await this.term('lead');
    if (term === null) return null;
    const tell = async (told: LeaderReport, tookUp: boolean): Promise<boolean> => {
      try {
        return await this.line.call('tell', () => {
          this.rights.report = { told, atMs: this.scheduler.nowMs };
          if (tookUp) this.rights.isAsked = false;
          return this.rights.isAsked;
        });
      } catch {
        // As with a session of PostgreSQL: where it fails the right is gone.
        this.rights.give('lead', term.controller);
        term.controller.abort();
        return false;
      }
    };
    return { ...term, tell };
  }

  build(): Promise<Term | null> {
    return this.term('build');
  }

  listen(): Promise<Heard | null> {
    return this.line.call('listen', () => {
      const { report } = this.rights;
      const position = this.storage.active?.checkpoint?.position ?? null;
      return report === null ? null : { ...report.told, position };
    });
  }

  askForRebuild(): Promise<void> {
    return this.line.call('ask for a rebuild', () => {
      this.rights.isAsked = true;
    });
  }

  async close(): Promise<void> {}

  private async term(right: Right): Promise<(Term & { controller: AbortController }) | null> {
    const controller = new AbortController();
    let hasIt: boolean;
    try {
      hasIt = await this.line.call(`ask to ${right}`, () => this.rights.take(right, this.actor, controller));
    } catch (error) {
      // A session that broke while it was asked for is not left behind.
      controller.abort();
      this.rights.give(right, controller);
      throw error;
    }
    if (!hasIt) return null;
    return {
      controller,
      ended: controller.signal,
      release: async () => {
        controller.abort();
        this.rights.give(right, controller);
      },
    };
  }
}

/** As the service's own `SOLE_LEADER`, but with a term that goes with its run: whoever awaits its end is kept by it. */
export function soleLeader(): Leadership {
  const term: LeaderTerm = {
    ended: new AbortController().signal,
    tell: async () => false,
    release: async () => undefined,
  };
  return { ...SOLE_LEADER, lead: async () => term, build: async () => term };
}
