/** A seeded source of randomness (sfc32). Equal seeds give equal numbers, on every machine. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d = 1;

  /** @param stream one seed has independent streams, so that what draws more from one of them leaves the others alone */
  constructor(seed: number, stream = 0) {
    this.a = seed >>> 0;
    this.b = Math.floor(seed / 0x1_0000_0000) ^ 0x9e3779b9;
    this.c = stream ^ 0x243f6a88;
    for (let round = 0; round < 15; round++) this.word();
  }

  private word(): number {
    const sum = (this.a + this.b + this.d++) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** From 0, below 1. */
  next(): number {
    return this.word() / 0x1_0000_0000;
  }

  /** From 0, below `end`. */
  int(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** Both inclusive. */
  between(first: number, last: number): number {
    return first + this.int(last - first + 1);
  }

  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)] as T;
  }

  /** Most of them short, some of them long. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  /** Fills in a version 4 UUID. */
  uuid(): string {
    const hex = (length: number): string => {
      let text = '';
      while (text.length < length) text += this.word().toString(16).padStart(8, '0');
      return text.slice(0, length);
    };
    return `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`;
  }
}
