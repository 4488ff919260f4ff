import { type Random } from '../kernel/random.js';
import { type Actor, type Scheduler } from '../kernel/scheduler.js';
import { type Latency, latencyOf } from '../kafka/connection.js';

/** What may become of a call, each a probability. */
export interface CallFaults {
  /** It is refused before it has any effect, and the caller is told so. */
  readonly refused: number;
  /** It takes effect, and its answer is lost. */
  readonly answerLost: number;
  /** It is lost itself. */
  readonly lost: number;
  /** The caller is told that it took too long, and it takes effect after that. */
  readonly late: number;
}

export const NO_CALL_FAULTS: CallFaults = { refused: 0, answerLost: 0, lost: 0, late: 0 };

/** A server that may be away for a while. What was done there stays done. */
export class Server {
  isAway = false;
  faults: CallFaults = NO_CALL_FAULTS;

  constructor(
    readonly actor: Actor,
    public latency: Latency,
  ) {}
}

export interface LineOptions {
  readonly timeoutMs: number;
  /** The error of a call that had no effect, or may have had one. */
  readonly errorOf: (outcome: 'refused' | 'unknown', label: string) => Error;
}

/** The way from one instance to a server. Calls may overtake each other. */
export class Line {
  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    private readonly client: Actor,
    private readonly server: Server,
    private readonly options: LineOptions,
  ) {}

  /** @param effect what the server does; what it throws is the caller's answer */
  call<T>(label: string, effect: () => T | Promise<T>): Promise<T> {
    const { random, server, options } = this;
    const { faults } = server;
    const wayMs = latencyOf(random, server.latency);
    // A client that is gone by then may have sent it in time, or not.
    const survivesClient = random.chance(0.5);
    return new Promise((resolve, reject) => {
      const fail = (delayMs: number, outcome: 'refused' | 'unknown'): void => {
        this.scheduler.after(delayMs, this.client, `${label}: ${outcome}`, () =>
          reject(options.errorOf(outcome, label)),
        );
      };
      const arrive = (delayMs: number, answer: (result: Promise<T>) => void): void => {
        this.scheduler.after(delayMs, server.actor, '', () => {
          if (this.client.isDead && !survivesClient) return;
          if (server.isAway) return fail(wayMs, 'unknown');
          this.scheduler.note(`${label} of ${this.client.name}`);
          let result: T | Promise<T>;
          try {
            result = effect();
          } catch (error) {
            result = Promise.reject(error instanceof Error ? error : new Error(String(error)));
          }
          answer(Promise.resolve(result));
        });
      };
      const drop = (result: Promise<T>): void => void result.catch(() => undefined);
      if (server.isAway && random.chance(0.7)) return fail(wayMs, 'refused');
      if (random.chance(faults.refused)) return fail(wayMs, 'refused');
      if (random.chance(faults.lost)) return fail(options.timeoutMs, 'unknown');
      if (random.chance(faults.late)) {
        fail(options.timeoutMs, 'unknown');
        return arrive(options.timeoutMs + random.exponential(options.timeoutMs), drop);
      }
      if (random.chance(faults.answerLost)) {
        fail(random.chance(0.5) ? 2 * wayMs : options.timeoutMs, 'unknown');
        return arrive(wayMs, drop);
      }
      arrive(wayMs, (result) => {
        const backMs = latencyOf(random, server.latency);
        result.then(
          (value) => this.scheduler.after(backMs, this.client, '', () => resolve(value)),
          (error: Error) => this.scheduler.after(backMs, this.client, '', () => reject(error)),
        );
      });
    });
  }
}
