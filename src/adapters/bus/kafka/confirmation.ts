/**
 * For which part of the session's timeout after a commit was sent, and taken, nobody else can have been given the
 * member's partitions: a commit is a sign of life. The other half is left for brokers that count otherwise.
 */
const SHARE = 0.5;

/** Until when a member of a consumer group knows that it is one: ADR 0029. */
export class Confirmation {
  /** When the last commit was sent that the coordinator took, by the clock that nobody sets. */
  private sentMs = -Infinity;
  /** A commit that asks; shared by all that wait for it. */
  private asking: Promise<void> | undefined;

  constructor(private readonly sessionTimeoutMs: number) {}

  get holds(): boolean {
    return performance.now() - this.sentMs < this.sessionTimeoutMs * SHARE;
  }

  /** A commit that was sent then was taken. */
  taken(sentMs: number): void {
    this.sentMs = Math.max(this.sentMs, sentMs);
  }

  /** Nothing is known of the member, or of the one that it is next. */
  forget(): void {
    this.sentMs = -Infinity;
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
