import { Session } from 'node:inspector';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

/** V8's own coverage, block by block, of the modules under test: what an input went through, and how often. */
export class Coverage {
  private readonly session = new Session();
  /** By block, the numbers of times that were seen, in powers of two. */
  private readonly seen = new Map<string, number>();

  /** @param isMeant tells a module by its URL */
  constructor(private readonly isMeant: (url: string) => boolean) {
    this.session.connect();
    this.post('Profiler.enable');
    this.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Forgets what went before. */
  reset(): void {
    this.post('Profiler.takePreciseCoverage');
  }

  /** Whether something ran that has not run before, or so often, since the last call. */
  isNew(): boolean {
    const { result } = this.post('Profiler.takePreciseCoverage') as {
      result: { url: string; functions: { functionName: string; ranges: Range[] }[] }[];
    };
    let isNew = false;
    for (const { url, functions } of result) {
      if (!this.isMeant(url)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count === 0) continue;
          const key = `${url}:${startOffset}:${endOffset}`;
          const bucket = 1 << Math.min(20, Math.floor(Math.log2(count)));
          const before = this.seen.get(key) ?? 0;
          if ((before & bucket) !== 0) continue;
          this.seen.set(key, before | bucket);
          isNew = true;
        }
      }
    }
    return isNew;
  }

  get blockCount(): number {
    return this.seen.size;
  }

  close(): void {
    this.session.disconnect();
  }

  private post(method: string, parameters: object = {}): unknown {
    let answer: unknown;
    // It answers before it returns.
    this.session.post(method, parameters, (error, result) => {
      if (error !== null) throw error;
      answer = result;
    });
    return answer;
  }
}
