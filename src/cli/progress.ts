/** Where progress is shown: `process.stderr`, or what a test gives. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const BAR_WIDTH = 24;
/** How often the bar is drawn on a terminal, and a line written elsewhere. */
const BAR_MS = 100;
const LINE_MS = 5000;

/** One bar on a terminal; elsewhere a line every few seconds. */
export class Progress {
  private readonly startedAt: number;
  private shownAt: number;
  private firstShare: number | null = null;

  /** @param now milliseconds, of any origin */
  constructor(
    private readonly output: ProgressOutput,
    private readonly label: string,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.startedAt = this.shownAt = now();
  }

  /** @param share how much is done, from 0 to 1 */
  update(events: number, share: number): void {
    this.firstShare ??= share;
    const now = this.now();
    if (now - this.shownAt < (this.output.isTTY === true ? BAR_MS : LINE_MS)) return;
    this.shownAt = now;
    this.show(events, share);
  }

  /** Shows the end of it. */
  end(events: number): void {
    this.show(events, 1);
    if (this.output.isTTY === true) this.output.write('\n');
  }

  private show(events: number, share: number): void {
    const elapsedMs = Math.max(1, this.now() - this.startedAt);
    const rate = Math.round((events * 1000) / elapsedMs);
    const percent = `${Math.floor(share * 100)} %`;
    const facts = `${number(events)} events, ${number(rate)}/s${this.timeLeft(share, elapsedMs)}`;
    if (this.output.isTTY !== true) {
      this.output.write(`${this.label}: ${percent}, ${facts}\n`);
      return;
    }
    const filled = Math.floor(share * BAR_WIDTH);
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
    // Back to the line's start, and what was there is erased.
    this.output.write(`\r\u001b[K${this.label} ${bar} ${percent}  ${facts}`);
  }

  private timeLeft(share: number, elapsedMs: number): string {
    const done = share - (this.firstShare ?? 0);
    if (done <= 0 || share >= 1) return '';
    return `, ${duration((elapsedMs * (1 - share)) / done)} left`;
  }
}

function number(value: number): string {
  return value.toLocaleString('en');
}

function duration(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
