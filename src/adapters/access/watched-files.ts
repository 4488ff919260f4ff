import { readFileSync, statSync } from 'node:fs';

const CHECK_MS = 1000;

/**
 * Tells when files have changed, also where another one takes the place of a file. Polled, since notices of the file
 * system do not come through mounts and links.
 */
export class WatchedFiles {
  private seen: string;
  private last: string;
  private timer: NodeJS.Timeout | undefined;

  /**
   * Make it before the files are read, and watch from then on: a change in between is told, too.
   *
   * @param onChange called when they have changed and rest: what is being written is not read by halves
   */
  constructor(
    private readonly paths: readonly string[],
    private readonly onChange: () => void,
  ) {
    this.seen = this.last = this.stamp();
  }

  watch(): void {
    this.timer = setInterval(() => this.check(), CHECK_MS).unref();
  }

  close(): void {
    clearInterval(this.timer);
  }

  private check(): void {
    const stamp = this.stamp();
    const rests = stamp === this.last;
    this.last = stamp;
    if (stamp === this.seen || !rests) return;
    this.seen = stamp;
    this.onChange();
  }

  private stamp(): string {
    return this.paths.map(stampOf).join('\n');
  }
}

/** Changes whenever the file does, also where it is replaced by another one, or by a link to another one. */
function stampOf(path: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return codeOf(error);
  }
}

/** What is in the file. Throws an error of one line that names it. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`cannot read '${path}' (${codeOf(error)})`, { cause: error });
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}
