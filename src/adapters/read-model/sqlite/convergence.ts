import type Database from 'better-sqlite3';
import {
  type OutOfSync,
  type OutOfSyncQuery,
  type SettledCount,
  type SettledQuery,
  type SettledSum,
} from '../../../application/ports/read-model.js';

type SumRow = readonly [outcome: SettledCount['outcome'], bucket: number, count: number, sumMs: number];
type HourRow = readonly [hour: number, ...SumRow];
type OldRow = readonly [deviceId: string, since: number, outstanding: number];

/** What is asked of the file about desired changes. */
export class ConvergenceStatements {
  private readonly increase: Database.Statement<[number, number, ...SumRow]>;
  private readonly sums: Database.Statement<[generation: number, from: number, to: number], SumRow>;
  private readonly hours: Database.Statement<[generation: number], HourRow>;
  private readonly range: Database.Statement<
    [number, after: number, upTo: number],
    readonly [number, number]
  >;
  private readonly oldest: Database.Statement<[generation: number, limit: number], OldRow>;

  constructor(db: Database.Database) {
    this.increase = db.prepare(
      `INSERT INTO settled (generation, hour, outcome, bucket, count, sum_ms) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (generation, hour, outcome, bucket) DO UPDATE SET
         count = count + excluded.count, sum_ms = sum_ms + excluded.sum_ms`,
    );
    this.sums = db
      .prepare<[number, number, number], SumRow>(
        `SELECT outcome, bucket, sum(count), sum(sum_ms) FROM settled
         WHERE generation = ? AND hour >= ? AND hour < ? GROUP BY outcome, bucket`,
      )
      .raw();
    this.hours = db
      .prepare<[number], HourRow>(
        'SELECT hour, outcome, bucket, count, sum_ms FROM settled WHERE generation = ?',
      )
      .raw();
    // Each range is read once, so that all of them together cost the devices that are out of sync.
    this.range = db
      .prepare<[number, number, number], readonly [number, number]>(
        `SELECT count(*), ifnull(sum(open_count), 0) FROM devices INDEXED BY devices_out_of_sync
         WHERE generation = ? AND status = 0 AND since > ? AND since <= ?`,
      )
      .raw();
    this.oldest = db
      .prepare<[number, number], OldRow>(
        `SELECT device_id, since, outstanding FROM devices INDEXED BY devices_out_of_sync
         WHERE generation = ? AND status = 0 ORDER BY since, device_id LIMIT ?`,
      )
      .raw();
  }

  /** Within the transaction that writes the rows. */
  add(generation: number, settled: readonly SettledCount[]): void {
    for (const { hour, outcome, bucket, count, sumMs } of settled) {
      this.increase.run(generation, hour, outcome, bucket, count, sumMs);
    }
  }

  sum(generation: number, { from, to }: SettledQuery): SettledSum['counts'] {
    return this.sums
      .all(generation, from, to)
      .map(([outcome, bucket, count, sumMs]) => ({ outcome, bucket, count, sumMs }));
  }

  byHour(generation: number): SettledCount[] {
    return this.hours
      .all(generation)
      .map(([hour, outcome, bucket, count, sumMs]) => ({ hour, outcome, bucket, count, sumMs }));
  }

  /** @param generation null: there is none, and no device */
  outOfSync(generation: number | null, { bounds, oldestCount }: OutOfSyncQuery): Omit<OutOfSync, 'position'> {
    if (generation === null) return { counts: [...bounds.map(() => 0), 0], openCount: 0, oldest: [] };
    let openCount = 0;
    const counts = [...bounds, Number.MAX_SAFE_INTEGER].map((upTo, index) => {
      const [count, open] = this.range.get(generation, bounds[index - 1] ?? -1, upTo) ?? [0, 0];
      openCount += open;
      return count;
    });
    const oldest = this.oldest
      .all(generation, oldestCount)
      .map(([deviceId, since, outstanding]) => ({ deviceId, since, outstanding }));
    return { counts, openCount, oldest };
  }
}
