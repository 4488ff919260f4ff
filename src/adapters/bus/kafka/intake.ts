import type { BatchHandler, CommandChannel } from '../../../application/ports/bus.js';
import { Backoff } from '../../../application/backoff.js';
import { pause } from '../../../application/timing.js';
import { withAdmin } from './client.js';
import { reasonOf } from './errors.js';
import type { ResolvedOptions } from './options.js';
import { Positions } from './positions.js';
import { Session } from './session.js';
import type { TopicNames } from './topic-names.js';
import { ensureTopics } from './topics.js';

const RESTART_FIRST_MS = 100;
const RESTART_LAST_MS = 5_000;

/** Keeps a consumer running until it is stopped, whatever ends the single one. */
export class Intake {
  private readonly positions = new Positions();
  private readonly stopping = new AbortController();
  private session: Session | undefined;
  private loop: Promise<void> = Promise.resolve();
  private problem: string | null = 'the intake has not started';
  private isStarted = false;

  constructor(
    private readonly options: ResolvedOptions,
    private readonly names: TopicNames,
  ) {}

  start(handlers: ReadonlyMap<CommandChannel, BatchHandler>): void {
    this.isStarted = true;
    this.loop = this.run(handlers);
  }

  /** Null also before {@link start}: a bus that only sends is healthy without an intake. */
  health(): string | null {
    if (!this.isStarted) return null;
    return this.session === undefined ? this.problem : this.session.health();
  }

  /** Finishes and commits the unit in hand, for so long at most. */
  async stop(graceMs: number): Promise<void> {
    this.stopping.abort();
    await this.session?.close(graceMs);
    await this.loop;
  }

  private async run(handlers: ReadonlyMap<CommandChannel, BatchHandler>): Promise<void> {
    const { options, names, positions } = this;
    const backoff = new Backoff(RESTART_FIRST_MS, RESTART_LAST_MS);
    let memberId: string | undefined;
    for (let isFirst = true; !this.stopping.signal.aborted; isFirst = false) {
      if (!isFirst) {
        await pause(backoff.nextDelayMs(), this.stopping.signal);
        if (this.stopping.signal.aborted) return;
      }
      const session = new Session({ options, names, handlers, positions, memberId });
      let reason: string;
      try {
        // An operator may have deleted a topic while we ran: it is made again, as at start.
        if (!isFirst) await this.makeTopics();
        if (this.stopping.signal.aborted) return;
        this.session = session;
        await Promise.race([session.start(), session.ended]);
        reason = await session.ended;
      } catch (error) {
        reason = reasonOf(error, options.brokers);
      }
      if (session.hasJoined) backoff.reset();
      memberId = session.memberId ?? memberId;
      this.problem = `${reason}; the intake starts again`;
      if (!this.stopping.signal.aborted) {
        options.logger.warn({ reason }, 'The consumer ended, starting another');
        options.metrics.restart?.(reason);
        this.session = undefined;
        await session.close(options.shutdownMs);
      }
    }
  }

  private async makeTopics(): Promise<void> {
    await withAdmin(this.options, (admin) => ensureTopics(admin, this.names, this.options));
  }
}
