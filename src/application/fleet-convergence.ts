import { type Outcome } from '../replica/convergence.js';
import { CONVERGENCE_BOUNDS_MS, hourAfter, hourOf, OUTCOMES, quantileMs } from './convergence-counts.js';
import { answer, type Answer, readTime, refuse } from './moments.js';
import { type FleetRow, type ReadModelQueries } from './ports/read-model.js';

const DAY_MS = 24 * 3_600_000;
const OLDEST_COUNT = 10;

/** One bar of a histogram. */
export interface Bar {
  /** Milliseconds, inclusive; it begins where the one before it ends. Null: all that is longer. */
  readonly upToMs: number | null;
  readonly count: number;
}

export interface Convergence {
  readonly count: number;
  /** How long they were open, together. */
  readonly sumMs: number;
  /** Estimated from the histogram; null where nothing is counted. */
  readonly p50Ms: number | null;
  readonly p90Ms: number | null;
  readonly p99Ms: number | null;
  readonly histogram: readonly Bar[];
}

export interface FleetConvergence {
  /** The hours that are counted: the first one's beginning, and the last one's end. */
  readonly from: number;
  readonly to: number;
  /** The desired changes that were settled in those hours. */
  readonly settled: Readonly<Record<Outcome, Convergence>>;
  /** Now, whatever `from` and `to`. */
  readonly outOfSync: {
    readonly devices: number;
    /** Their desired changes that are open. */
    readonly openChanges: number;
    /** By how long they have been out of sync. */
    readonly histogram: readonly Bar[];
    readonly oldest: readonly (Pick<FleetRow, 'deviceId' | 'since' | 'outstanding'> & {
      readonly forMs: number;
    })[];
  };
}

export interface Period {
  readonly from: number;
  readonly to: number;
}

/** Reads `from` and `to`; by default the 24 hours until now. Both are moved outwards to whole hours. Refuses with 400. */
export function readPeriod(
  { from, to }: { readonly from?: unknown; readonly to?: unknown },
  now: number,
): Answer<Period> {
  const shape = 'a time in ISO 8601 with its zone, or milliseconds since the epoch';
  const end = to === undefined ? now : readTime(to);
  if (end === null) return refuse(400, `Invalid to: ${shape}`);
  const start = from === undefined ? end - DAY_MS : readTime(from);
  if (start === null) return refuse(400, `Invalid from: ${shape}`);
  if (start > end) return refuse(400, 'Invalid from: it is later than to');
  return answer({ from: hourOf(start), to: hourAfter(end) });
}

/** How the fleet converged in a period, and what is out of sync now. Throws `ReadModelError`. */
export async function fleetConvergence(
  model: Pick<ReadModelQueries, 'settled' | 'outOfSync'>,
  { from, to }: Period,
  now: number,
): Promise<{ position: bigint | null; body: FleetConvergence }> {
  const { counts, position } = await model.settled({ from, to });
  const settled = Object.fromEntries(
    OUTCOMES.map((outcome) => {
      const buckets = CONVERGENCE_BOUNDS_MS.map(() => 0).concat(0);
      let sumMs = 0;
      for (const each of counts) {
        if (each.outcome !== outcome) continue;
        buckets[each.bucket] = each.count;
        sumMs += each.sumMs;
      }
      return [outcome, convergenceOf(buckets, sumMs)];
    }),
  ) as Record<Outcome, Convergence>;
  // The longest ago first, as the port asks; a device is out of sync for at least as long as an age says.
  const ages = CONVERGENCE_BOUNDS_MS.slice(1);
  const bounds = ages.map((age) => now - age - 1).reverse();
  const out = await model.outOfSync({ bounds, oldestCount: OLDEST_COUNT });
  const devices = out.counts.reduce((sum, count) => sum + count, 0);
  return {
    position,
    body: {
      from,
      to,
      settled,
      outOfSync: {
        devices,
        openChanges: out.openCount,
        histogram: barsOf(ages, [...out.counts].reverse()),
        oldest: out.oldest.map((each) => ({ ...each, forMs: Math.max(0, now - each.since) })),
      },
    },
  };
}

function convergenceOf(buckets: readonly number[], sumMs: number): Convergence {
  return {
    count: buckets.reduce((sum, count) => sum + count, 0),
    sumMs,
    p50Ms: quantileMs(buckets, 0.5),
    p90Ms: quantileMs(buckets, 0.9),
    p99Ms: quantileMs(buckets, 0.99),
    histogram: barsOf(CONVERGENCE_BOUNDS_MS, buckets),
  };
}

function barsOf(bounds: readonly number[], counts: readonly number[]): Bar[] {
  return counts.map((count, index) => ({ upToMs: bounds[index] ?? null, count }));
}
