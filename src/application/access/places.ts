/** Counts how much of something each holds, and bounds it. */
export class Places {
  private readonly held = new Map<string, number>();

  /** @param maxCount the most that one may hold; 0: without bounds */
  constructor(private readonly maxCount: number) {}

  /** False: there is no room for so many more, and none was taken. */
  take(who: string, count = 1): boolean {
    if (this.maxCount === 0) return true;
    const after = (this.held.get(who) ?? 0) + count;
    if (after > this.maxCount) return false;
    this.held.set(who, after);
    return true;
  }

  /** Gives back what was taken. */
  give(who: string, count = 1): void {
    if (this.maxCount === 0) return;
    const after = (this.held.get(who) ?? 0) - count;
    if (after > 0) this.held.set(who, after);
    else this.held.delete(who);
  }
}
