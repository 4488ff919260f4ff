/** Where progress is shown: `process.stderr`, or what a test gives. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  /** Of the terminal. Default 80. */
  readonly columns?: number;
  write(text: string): unknown;
}

const BAR_WIDTH = 24;
/** How often the bar is drawn on a terminal, and a line written elsewhere. */
const BAR_MS = 100;
const LINE_MS = 5000;

let isBarOpen = false;

/** What ends the line of a bar that is still drawn, before anything else is written there. */
export function endOfBar(): string {
  const end = isBarOpen ? '\n' : '';
  isBarOpen = false;
  return end;
}

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
    if (this.output.isTTY === true) this.output.write(endOfBar());
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
    // A line that is broken in two could not be drawn over. The last column stays free, or the cursor might go on.
    const room = (this.output.columns ?? 80) - 1;
    const width = Math.min(BAR_WIDTH, Math.max(0, room - `${this.label}  ${percent}  ${facts}`.length));
    const filled = Math.floor(share * width);
    const bar = '█'.repeat(filled) + '░'.repeat(width - filled);
    isBarOpen = true;
    // Back to the line's start, and what was there is erased.
    this.output.write(`\r\u001b[K${`${this.label} ${bar} ${percent}  ${facts}`.slice(0, room)}`);
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
