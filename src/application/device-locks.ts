/**
 * Work on one device never runs twice at once. First come, first served; several devices are taken together, at one
 * moment, so that two holders cannot wait for each other.
 */
export class DeviceLocks {
  private readonly tails = new Map<string, Promise<void>>();

  async run<T>(deviceIds: Iterable<string>, work: () => Promise<T>): Promise<T> {
    let release = (): void => undefined;
    const mine = new Promise<void>((resolve) => {
      release = resolve;
    });
    const taken = [...deviceIds];
    const before: Promise<void>[] = [];
    for (const id of taken) {
      const tail = this.tails.get(id);
      if (tail !== undefined) before.push(tail);
      this.tails.set(id, mine);
    }
    try {
      if (before.length > 0) await Promise.all(before);
      return await work();
    } finally {
      for (const id of taken) {
        if (this.tails.get(id) === mine) this.tails.delete(id);
      }
      release();
    }
  }
}
