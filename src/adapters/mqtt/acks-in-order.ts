/** What one connection is to be told, in the order in which it asked: each goes when it may, and all before it have gone. */
export class AcksInOrder {
  /** Null: it may not go yet. */
  private readonly waiting: { go: (() => void) | null }[] = [];

  /** @returns what is to be called once, with what lets this one go */
  hold(): (go: () => void) => void {
    const one: { go: (() => void) | null } = { go: null };
    this.waiting.push(one);
    return (go) => {
      one.go = go;
      for (let next = this.waiting[0]?.go; next; next = this.waiting[0]?.go) {
        this.waiting.shift();
        next();
      }
    };
  }
}
