import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultKind } from './faults.js';
import { seededRandom, shuffled } from '../random.js';
import type { EventStoreServer } from './index.js';

type Random = () => number;
type Fault = (server: EventStoreServer, random: Random) => Promise<void> | void;

const integer = (random: Random, from: number, to: number): number =>
  from + Math.floor(random() * (to - from + 1));

/** Longer than the server itself waits for an append: it takes place, and its answer says that the time ran out. */
const TOO_LATE_MS = 2_100;

const FAULTS: Readonly<Record<string, Fault>> = {
  'slow appends': ({ faults }, random) => {
    faults.delayMs = integer(random, 1, 60);
  },
  'slow answers': ({ faults }, random) => {
    faults.delayResponseMs = integer(random, 1, 60);
  },
  'late answers': ({ faults }) => {
    faults.delayResponseMs = TOO_LATE_MS;
  },
  'lost answers': ({ faults }, random) => faults.dropResponseAfterAppend(integer(random, 1, 3)),
  'no answer': ({ faults }) => faults.dropResponseAfterAppend(1, 'hang'),
  unavailable: ({ faults }, random) => faults.unavailable(integer(random, 1, 3)),
  'not leader': ({ faults }, random) => faults.notLeader(integer(random, 1, 3)),
  'not ready': ({ faults }, random) => faults.notReady(integer(random, 1, 20)),
  'wrong expected version': ({ faults }, random) => faults.wrongExpectedVersion(integer(random, 1, 20)),
  'slow subscribers': ({ faults }) => void faults.abortSubscriptionsAsSlow(),
  restart: (server) => server.restart(),
  outage: async (server, random) => {
    await server.stop();
    await sleep(integer(random, 100, 1_500));
    await server.restart();
  },
};

/** The kinds that last until a call has met them, and what that call counts as. */
const MET_AS: Readonly<Record<string, FaultKind>> = {
  'lost answers': 'dropped-unavailable',
  'no answer': 'dropped-hang',
  unavailable: 'unavailable',
  'not leader': 'not-leader',
  'not ready': 'not-ready',
  'wrong expected version': 'wrong-expected-version',
};

/** A service that was killed needs a while until it makes calls again. */
const MEETING_MS = 15_000;

/**
 * Makes a server misbehave, one fault after another in an order drawn by lot, each kind once in every round, until it
 * is stopped. Between two faults there is a calm, unless it is relentless: for runs that make few calls. The lots are those of the seed; what they meet is a matter of time.
 */
export class FaultStorm {
  private readonly begun = new Map<string, number>();
  private readonly stopping = new AbortController();
  private readonly random: Random;
  private readonly running: Promise<void>;

  constructor(
    private readonly server: EventStoreServer,
    readonly seed: number,
    private readonly isRelentless = false,
  ) {
    this.random = seededRandom(seed);
    this.running = this.run();
  }

  /** Ends it; the server is then as it should be. Rejects where the storm itself failed. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Which kinds have not been there yet, or were met by no call. */
  get missing(): string[] {
    return Object.keys(FAULTS).filter((name) => {
      const kind = MET_AS[name];
      return !this.begun.has(name) || (kind !== undefined && this.countOf(kind) === 0);
    });
  }

  /** In one line: the seed, what was begun, and what calls have met. */
  get summary(): string {
    const list = (counts: ReadonlyMap<string, number>): string =>
      [...counts].map(([name, count]) => `${name} ${count}`).join(', ');
    return `seed ${this.seed}; begun: ${list(this.begun)}; met by calls: ${list(this.server.faults.met)}`;
  }

  private countOf(kind: FaultKind): number {
    return this.server.faults.met.get(kind) ?? 0;
  }

  private async untilMet(kind: FaultKind, before: number): Promise<void> {
    const end = performance.now() + MEETING_MS;
    while (this.countOf(kind) === before && performance.now() < end && !this.stopping.signal.aborted) {
      await sleep(10);
    }
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      for (const [name, fault] of shuffled(Object.entries(FAULTS), this.random)) {
        if (this.stopping.signal.aborted) return;
        this.begun.set(name, (this.begun.get(name) ?? 0) + 1);
        const kind = MET_AS[name];
        const before = kind === undefined ? 0 : this.countOf(kind);
        await fault(this.server, this.random);
        if (kind !== undefined && !this.isRelentless) await this.untilMet(kind, before);
        await sleep(integer(this.random, 50, 300));
        if (!this.isRelentless) this.server.faults.clear();
        await sleep(integer(this.random, 100, 900));
        this.server.faults.clear();
      }
    }
  }
}
