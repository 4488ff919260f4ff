/**
 * For which part of the session's timeout after a commit was sent, and taken, nobody else can have been given the
 * member's partitions: a commit is a sign of life. The other half is left for brokers that count otherwise.
 */
const SHARE = 0.5;

/** A moment by the clock that only runs while the machine does, and by the one that is set. */
export interface Moment {
  readonly runMs: number;
  readonly wallMs: number;
}

export function moment(): Moment {
  return { runMs: performance.now(), wallMs: Date.now() };
}

/** Until when a member of a consumer group knows that it is one: ADR 0029. */
export class Confirmation {
  /** When the last commit was sent that the coordinator took; null: none is known. */
  private sent: Moment | null = null;
  /** A commit that asks; shared by all that wait for it. */
  private asking: Promise<void> | undefined;

  constructor(private readonly sessionTimeoutMs: number) {}

  get holds(): boolean {
    if (this.sent === null) return false;
    const { runMs, wallMs } = moment();
    // Whichever clock went further: nobody sets the one, and the other one goes on while the machine sleeps.
    const passedMs = Math.max(runMs - this.sent.runMs, wallMs - this.sent.wallMs);
    return passedMs < this.sessionTimeoutMs * SHARE;
  }

  /** A commit that was sent then was taken. */
  taken(sent: Moment): void {
    if (this.sent === null || sent.runMs > this.sent.runMs) this.sent = sent;
  }

  /** Nothing is known of the member, or of the one that it is next. */
  forget(): void {
    this.sent = null;
    this.asking = undefined;
  }

  /** @param commit commits again what is committed, which the coordinator takes of a member alone */
  ask(commit: () => Promise<void>): Promise<void> {
    if (this.asking !== undefined) return this.asking;
    const asking = commit().finally(() => {
      if (this.asking === asking) this.asking = undefined;
    });
    this.asking = asking;
    return asking;
  }
}
