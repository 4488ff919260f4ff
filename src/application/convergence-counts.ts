import { type Outcome, type Settled } from '../replica/convergence.js';
import { type SettledCount } from './ports/read-model.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * The buckets by which durations are counted: a bucket holds what is longer than the bound before it, and not longer
 * than its own. One more holds the rest. Stored counts name buckets by their place: with another list here,
 * `FIELDS_VERSION` of the rows is raised.
 */
export const CONVERGENCE_BOUNDS_MS: readonly number[] = [
  // Reported had it already.
  0,
  100,
  200,
  500,
  SECOND,
  2 * SECOND,
  5 * SECOND,
  10 * SECOND,
  20 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  20 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  2 * DAY,
  7 * DAY,
  14 * DAY,
  30 * DAY,
];

export const OUTCOMES: readonly Outcome[] = ['reached', 'superseded', 'withdrawn'];

export function bucketOf(durationMs: number): number {
  let low = 0;
  let high = CONVERGENCE_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (durationMs <= (CONVERGENCE_BOUNDS_MS[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function hourOf(time: number): number {
  return Math.floor(time / HOUR) * HOUR;
}

/** The first beginning of an hour that is not before the time. */
export function hourAfter(time: number): number {
  return Math.ceil(time / HOUR) * HOUR;
}

export function durationOf({ askedAt, settledAt }: Settled): number {
  return settledAt - askedAt;
}

/** Counts by hour, outcome and bucket; in the order in which the first of each came. */
export class SettledTally {
  private readonly byKey = new Map<string, { -readonly [K in keyof SettledCount]: SettledCount[K] }>();

  add(settled: Settled): void {
    const durationMs = durationOf(settled);
    const { outcome } = settled;
    const [hour, bucket] = [hourOf(settled.settledAt), bucketOf(durationMs)];
    const key = keyOf({ hour, outcome, bucket });
    const count = this.byKey.get(key);
    if (count === undefined) {
      this.byKey.set(key, { hour, outcome, bucket, count: 1, sumMs: durationMs });
    } else {
      count.count++;
      count.sumMs += durationMs;
    }
  }

  get counts(): SettledCount[] {
    return [...this.byKey.values()];
  }
}

export function countSettled(all: readonly Settled[]): SettledCount[] {
  const tally = new SettledTally();
  for (const settled of all) tally.add(settled);
  return tally.counts;
}

export interface SettledDifference {
  /** Of an hour, outcome and bucket; with a count of 0 where there is none. */
  readonly expected: SettledCount;
  readonly actual: SettledCount;
}

/** Where the two are not the same, in the order of the hours. */
export function compareSettled(
  expected: readonly SettledCount[],
  actual: readonly SettledCount[],
): SettledDifference[] {
  const pairs = new Map(expected.map((each) => [keyOf(each), { expected: each, actual: noneOf(each) }]));
  for (const each of actual) {
    const pair = pairs.get(keyOf(each));
    pairs.set(keyOf(each), { expected: pair?.expected ?? noneOf(each), actual: each });
  }
  return [...pairs.values()]
    .filter(({ expected: one, actual: other }) => one.count !== other.count || one.sumMs !== other.sumMs)
    .sort(({ expected: one }, { expected: other }) => one.hour - other.hour);
}

function keyOf({ hour, outcome, bucket }: Omit<SettledCount, 'count' | 'sumMs'>): string {
  return `${hour}/${outcome}/${bucket}`;
}

function noneOf(count: SettledCount): SettledCount {
  return { ...count, count: 0, sumMs: 0 };
}

/**
 * The duration that this share of the changes did not exceed, estimated from counts by bucket: within a bucket they are
 * taken to lie evenly. Of what took longer than the last bound only that bound is known. Null: there is nothing.
 *
 * @param share from 0 to 1
 */
export function quantileMs(counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const rank = share * total;
  let below = 0;
  let lower = 0;
  for (const [bucket, upper] of CONVERGENCE_BOUNDS_MS.entries()) {
    const count = counts[bucket] ?? 0;
    if (count > 0 && below + count >= rank) {
      return Math.round(lower + ((upper - lower) * (rank - below)) / count);
    }
    below += count;
    lower = upper;
  }
  return lower;
}
