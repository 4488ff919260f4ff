/**
 * Which of the processes on one read model brings it up to date: one at a time. The others answer from it, and know
 * from what that one tells how far it is.
 */

export interface LeaderRebuild {
  readonly events: number;
  readonly share: number;
}

/** What the process that leads tells the others. */
export interface LeaderReport {
  /** How far behind the rows are, at the most. */
  readonly lagMs: number;
  /** Null: none runs. */
  readonly rebuild: LeaderRebuild | null;
}

export interface Heard extends LeaderReport {
  /** Where the rows are that readers see; null: no event yet. */
  readonly position: bigint | null;
}

/** A right that one process at a time has. */
export interface Term {
  /** Aborted at once when the right is lost, or may be; its reason is an error that says why. */
  readonly ended: AbortSignal;
  /** Gives the right back. Never rejects. Idempotent. */
  release(): Promise<void>;
}

export interface LeaderTerm extends Term {
  /**
   * Tells the others. Where it fails the term has ended; it never rejects.
   *
   * @param tookUp the last call's true was acted on
   * @returns true: somebody asks for a rebuild
   */
  tell(report: LeaderReport, tookUp: boolean): Promise<boolean>;
}

/** Calls reject with `ReadModelError`, but for {@link close}. */
export interface Leadership {
  /** The right to bring the rows up to date; null: another process has it. */
  lead(): Promise<LeaderTerm | null>;

  /** The right to build a generation; null: another process has it. */
  build(): Promise<Term | null>;

  /** What the leader told last, the lag with the time since then in it; null: nobody has told anything yet. */
  listen(): Promise<Heard | null>;

  /** Asks whoever leads, now or next, for a rebuild. */
  askForRebuild(): Promise<void>;

  close(): Promise<void>;
}

const UNENDING: LeaderTerm = {
  ended: new AbortController().signal,
  tell: async () => false,
  release: async () => undefined,
};

/** Of a read model that one process has for itself. */
export const SOLE_LEADER: Leadership = {
  lead: async () => UNENDING,
  build: async () => UNENDING,
  listen: async () => null,
  askForRebuild: async () => undefined,
  close: async () => undefined,
};
