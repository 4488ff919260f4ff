import {
  type OutOfSyncQuery,
  type SettledCount,
  type SettledQuery,
} from '../../../application/ports/read-model.js';
import { type Query } from './database.js';
import { SHOWN } from './fleet.js';

/** Nulls after the position: nothing was counted. */
export type SettledRow = readonly [
  position: string | null,
  outcome: SettledCount['outcome'] | null,
  bucket: number,
  count: number,
  sumMs: number,
];

export function settledQuery({ from, to }: SettledQuery): Query {
  return {
    text: `
SELECT shown.position::text, sums.* FROM ${SHOWN} LEFT JOIN LATERAL (
  SELECT outcome, bucket, sum(count)::bigint, sum(sum_ms)::bigint FROM replica_settled
    WHERE generation = shown.id AND hour >= $1 AND hour < $2 GROUP BY outcome, bucket
) AS sums ON true`,
    values: [from, to],
  };
}

/** As above. */
export type HourRow = readonly [
  position: string | null,
  outcome: SettledCount['outcome'] | null,
  bucket: number,
  count: number,
  sumMs: number,
  hour: number,
];

export const SETTLED_BY_HOUR: Query = {
  text: `
SELECT shown.position::text, outcome, bucket, count, sum_ms, hour FROM ${SHOWN}
LEFT JOIN replica_settled ON generation = shown.id`,
  values: [],
};

export type OutOfSyncRow = readonly [
  position: string | null,
  /** By the index of the bound. */
  counts: readonly (readonly [bound: number, count: number])[],
  openCount: number,
  oldest: readonly (readonly [deviceId: string, since: number, outstanding: number])[],
];

/** One pass over the devices that are not in sync: over their index alone. */
export function outOfSyncQuery({ bounds, oldestCount }: OutOfSyncQuery): Query {
  return {
    text: `
SELECT shown.position::text, totals.counts, totals.open_count, oldest.devices FROM ${SHOWN}
CROSS JOIN LATERAL (
  SELECT coalesce(json_agg(json_build_array(bound, devices)), '[]') AS counts,
      coalesce(sum(open_count), 0)::bigint AS open_count
    FROM (
      SELECT cardinality(ARRAY(SELECT 1 FROM unnest($1::bigint[]) AS bound WHERE bound < since)) AS bound,
          count(*) AS devices, sum(open_count) AS open_count
        FROM replica_devices WHERE generation = shown.id AND status = 0 GROUP BY 1
    ) AS by_bound
) AS totals
CROSS JOIN LATERAL (
  SELECT coalesce(json_agg(json_build_array(device_id, since, outstanding)), '[]') AS devices FROM (
    SELECT device_id, since, outstanding FROM replica_devices
      WHERE generation = shown.id AND status = 0 ORDER BY since, device_id LIMIT $2
  ) AS first_ones
) AS oldest`,
    values: [bounds, oldestCount],
  };
}
