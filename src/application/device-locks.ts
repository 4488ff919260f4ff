import { settlesWithin } from './timing.js';

/**
 * Work on one device never runs twice at once. First come, first served; several devices are taken together, at one
 * moment, so that two holders cannot wait for each other.
 */
export class DeviceLocks {
  private readonly tails = new Map<string, Promise<void>>();

  async run<T>(deviceIds: Iterable<string>, work: () => Promise<T>): Promise<T> {
    const { before, release } = this.queue(deviceIds);
    try {
      if (before !== null) await before;
      return await work();
    } finally {
      release();
    }
  }

  /** As {@link run}, but gives up its place after so many milliseconds of waiting, and does `instead`, unlocked. */
  async runWithin<T>(
    waitMs: number,
    deviceId: string,
    work: () => Promise<T>,
    instead: () => Promise<T>,
  ): Promise<T> {
    const { before, release } = this.queue([deviceId]);
    if (before !== null && !(await settlesWithin(before, waitMs))) {
      // Whoever stands behind goes on waiting for those in front.
      void before.then(release);
      return instead();
    }
    try {
      return await work();
    } finally {
      release();
    }
  }

  /** Takes a place behind all that is under way on these devices. `before` never rejects; null: nothing is. */
  private queue(deviceIds: Iterable<string>): { before: Promise<unknown> | null; release: () => void } {
    let resolve = (): void => undefined;
    const mine = new Promise<void>((done) => {
      resolve = done;
    });
    const taken = new Set(deviceIds);
    const before: Promise<void>[] = [];
    for (const id of taken) {
      const tail = this.tails.get(id);
      if (tail !== undefined) before.push(tail);
      this.tails.set(id, mine);
    }
    const release = (): void => {
      for (const id of taken) {
        if (this.tails.get(id) === mine) this.tails.delete(id);
      }
      resolve();
    };
    return { before: before.length === 0 ? null : Promise.all(before), release };
  }
}
