/** What happened in a run, in order: a hash of all of it, and the lines themselves where somebody wants to read them. */
export class Trace {
  private low = 0x811c9dc5;
  private high = 0x01000193;
  steps = 0;

  /** @param print takes each line; absent: lines are only hashed */
  constructor(private readonly print?: (line: string) => void) {}

  /** @param timeUs virtual microseconds since the run began */
  note(timeUs: number, who: string, what: string): void {
    this.steps++;
    this.mix(timeUs);
    this.mixText(who);
    this.mixText(what);
    this.print?.(`${(timeUs / 1000).toFixed(3).padStart(11)} ${who.padEnd(9)} ${what}`);
  }

  private mixText(text: string): void {
    for (let index = 0; index < text.length; index++) this.mix(text.charCodeAt(index));
    this.mix(-1);
  }

  private mix(value: number): void {
    this.low = Math.imul(this.low ^ value, 0x01000193);
    this.high = Math.imul(this.high ^ (this.low >>> 15) ^ value, 0x85ebca6b) + this.low;
  }

  /** 16 hex digits. */
  get hash(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.low) + hex(this.high);
  }
}
