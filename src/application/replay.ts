import { type EventRow } from './event-row.js';
import { pause } from './timing.js';

/** Where history is published again. */
export interface ReplayTarget {
  /** Resolves when all of them are acknowledged; those of one device keep their order. Throws `BusError`. */
  publish(rows: readonly EventRow[]): Promise<void>;
}

export interface ReplayOptions {
  /** How many times faster than it was; Infinity: as fast as the target takes it. */
  readonly speed: number;
  /** Ends it after the batch in hand. */
  readonly signal: AbortSignal;
  readonly onProgress?: (events: number) => void;
  /** The most events that are on their way at once. Default 500. */
  readonly batchCount?: number;
  /** Milliseconds of any origin. Default `performance.now`. */
  readonly now?: () => number;
  /** Default: a timer, which the signal ends. */
  readonly wait?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

export interface Replayed {
  /** Events that were acknowledged. */
  readonly events: number;
  /** The position of the last one; null: none was. */
  readonly lastPosition: bigint | null;
  readonly isInterrupted: boolean;
}

const DEFAULT_BATCH_COUNT = 500;

/**
 * When each event is due, by the times between the events: the first one at once. Times that go back, as those of
 * different devices may, hold nothing up. A target that was slow is not waited for again: what is late is due now.
 */
export class Pace {
  private start: { readonly at: number; readonly timestamp: number } | null = null;

  constructor(
    private readonly speed: number,
    private readonly now: () => number,
  ) {}

  /** How long until an event of this time is due, in milliseconds; 0: it is. */
  dueIn(timestamp: number): number {
    const now = this.now();
    this.start ??= { at: now, timestamp };
    if (this.speed === Infinity) return 0;
    const due = this.start.at + (timestamp - this.start.timestamp) / this.speed;
    return Math.max(0, due - now);
  }
}

/** Publishes rows in their order and at their pace. What is due together goes together. Throws as the two sides do. */
export async function replay(
  rows: AsyncIterable<EventRow>,
  target: ReplayTarget,
  options: ReplayOptions,
): Promise<Replayed> {
  const { signal, batchCount = DEFAULT_BATCH_COUNT, now = () => performance.now(), wait = pause } = options;
  const pace = new Pace(options.speed, now);
  let batch: EventRow[] = [];
  let events = 0;
  let lastPosition: bigint | null = null;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    await target.publish(batch);
    events += batch.length;
    lastPosition = batch.at(-1)?.position ?? lastPosition;
    batch = [];
    options.onProgress?.(events);
  };
  for await (const row of rows) {
    // Within the timer's own grain it is due.
    if (pace.dueIn(row.timestamp) >= 1) await flush();
    for (
      let left = pace.dueIn(row.timestamp);
      left >= 1 && !signal.aborted;
      left = pace.dueIn(row.timestamp)
    ) {
      // A timer holds 2^31 ms at the most.
      await wait(Math.min(left, 2 ** 31 - 1), signal);
    }
    if (signal.aborted) break;
    batch.push(row);
    if (batch.length >= batchCount) await flush();
  }
  await flush();
  return { events, lastPosition, isInterrupted: signal.aborted };
}
