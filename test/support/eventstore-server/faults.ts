export type CallKind = 'features' | 'append' | 'read' | 'subscribe' | 'delete';

/** What a call that a client makes is to meet, asked of the faults before anything is recorded. */
export type Refusal =
  | { readonly kind: 'unavailable' }
  | { readonly kind: 'not-leader'; readonly host: string; readonly port: number }
  | { readonly kind: 'not-ready' }
  | { readonly kind: 'wrong-expected-version' };

export type DroppedResponse = 'unavailable' | 'hang';

/** A fault that is used up by the call that meets it. */
export type FaultKind = Refusal['kind'] | `dropped-${DroppedResponse}` | 'slow-subscriber';

/** The features are left out: a client that has only just come asks for them first and would use up the fault. */
const DEFAULT_KINDS: readonly CallKind[] = ['append', 'read', 'subscribe', 'delete'];

/** At once when there is nothing to wait for: most calls pay nothing for the delays that they could have. */
export function after(milliseconds: number, action: () => void): void {
  if (milliseconds > 0) setTimeout(action, milliseconds);
  else action();
}

/** Faults of one server, to be changed at any time. All but the delays are used up by the calls that meet them. */
export class ServerFaults {
  /** Milliseconds before a call is looked at. A batch append that is not recorded within its deadline never is. */
  delayMs = 0;
  /** Milliseconds between the recording of an append and its response. A batch append may time out meanwhile. */
  delayResponseMs = 0;
  #unavailable = 0;
  #unavailableKinds: ReadonlySet<CallKind> = new Set();
  #notLeader = 0;
  #leader: { host: string; port: number } | undefined;
  #notReady = 0;
  #wrongExpectedVersion = 0;
  readonly #dropped: DroppedResponse[] = [];
  readonly #met = new Map<FaultKind, number>();
  readonly #abortSubscriptions: () => number;
  readonly #ownPort: () => number;

  constructor(abortSubscriptions: () => number, ownPort: () => number) {
    this.#abortSubscriptions = abortSubscriptions;
    this.#ownPort = ownPort;
  }

  /** UNAVAILABLE with nothing recorded, for the next `times` calls. Default: until `clear`. */
  unavailable(times = Infinity, kinds: readonly CallKind[] = DEFAULT_KINDS): void {
    this.#unavailable = times;
    this.#unavailableKinds = new Set(kinds);
  }

  /** The next `times` appends and deletes name another node as the leader. Default: this server itself. */
  notLeader(times = 1, leader?: { host: string; port: number }): void {
    this.#notLeader = times;
    this.#leader = leader;
  }

  /**
   * The server has not finished its start, for the next `times` appends and deletes: UNAVAILABLE to an append, but
   * an error of no known kind ("Server Is Not Ready") inside of an intact stream of batch appends.
   */
  notReady(times = 1): void {
    this.#notReady = times;
  }

  /** The next `times` appends fail with the true current revision, whatever they expect. Nothing is recorded. */
  wrongExpectedVersion(times = 1): void {
    this.#wrongExpectedVersion = times;
  }

  /**
   * The next `times` appends take place, but without a response: `unavailable` breaks the stream, `hang` leaves the
   * client to its own deadline (for a batch append it has none).
   */
  dropResponseAfterAppend(times = 1, how: DroppedResponse = 'unavailable'): void {
    this.#dropped.push(...new Array<DroppedResponse>(times).fill(how));
  }

  /** Ends the live subscriptions with ABORTED as if they had read too slowly; returns how many. */
  abortSubscriptionsAsSlow(): number {
    const aborted = this.#abortSubscriptions();
    if (aborted > 0) this.#meets('slow-subscriber', aborted);
    return aborted;
  }

  /** How many calls have met each fault so far. */
  get met(): ReadonlyMap<FaultKind, number> {
    return this.#met;
  }

  #meets(kind: FaultKind, count = 1): void {
    this.#met.set(kind, (this.#met.get(kind) ?? 0) + count);
  }

  /** No faults any more. */
  clear(): void {
    this.delayMs = 0;
    this.delayResponseMs = 0;
    this.#unavailable = 0;
    this.#notLeader = 0;
    this.#notReady = 0;
    this.#wrongExpectedVersion = 0;
    this.#dropped.length = 0;
  }

  /** For the server: the refusal that this call is to meet; using it up. */
  takeRefusal(kind: CallKind): Refusal | undefined {
    const refusal = this.#refusalOf(kind);
    if (refusal !== undefined) this.#meets(refusal.kind);
    return refusal;
  }

  #refusalOf(kind: CallKind): Refusal | undefined {
    if (this.#unavailable > 0 && this.#unavailableKinds.has(kind)) {
      this.#unavailable -= 1;
      return { kind: 'unavailable' };
    }
    if (kind !== 'append' && kind !== 'delete') return undefined;
    if (this.#notReady > 0) {
      this.#notReady -= 1;
      return { kind: 'not-ready' };
    }
    if (this.#notLeader > 0) {
      this.#notLeader -= 1;
      return { kind: 'not-leader', ...(this.#leader ?? { host: '127.0.0.1', port: this.#ownPort() }) };
    }
    if (kind === 'append' && this.#wrongExpectedVersion > 0) {
      this.#wrongExpectedVersion -= 1;
      return { kind: 'wrong-expected-version' };
    }
    return undefined;
  }

  /** For the server: what is to become of the response to an append that has just been recorded. */
  takeDroppedResponse(): DroppedResponse | undefined {
    const dropped = this.#dropped.shift();
    if (dropped !== undefined) this.#meets(`dropped-${dropped}`);
    return dropped;
  }
}
