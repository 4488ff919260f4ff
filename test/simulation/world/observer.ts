import { type Observer } from '../../../src/application/ports/observer.js';
import { type ProjectionObserver } from '../../../src/application/ports/projection-observer.js';

/** How often what was met: a simulation that meets nothing proves nothing. */
export class Stats {
  readonly counts = new Map<string, number>();
  /** What the use cases gave up on last; nothing here gives them reason to. */
  lastFailure: unknown = null;

  count(name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by);
  }

  add(other: ReadonlyMap<string, number>): void {
    for (const [name, count] of other) this.count(name, count);
  }
}

const ignore = (): void => undefined;

/** Counts what the use cases tell. */
export class StatsObserver implements Observer {
  readonly commandsEnded = ignore;
  readonly batchEnded = ignore;
  readonly timed = ignore;
  readonly refused = ignore;
  readonly loaded: Observer['loaded'];
  readonly snapshotsSaved: Observer['snapshotsSaved'];
  readonly snapshotFailed: Observer['snapshotFailed'];
  readonly conflict: Observer['conflict'];
  readonly repeated: Observer['repeated'];
  readonly retrying: Observer['retrying'];
  readonly failed: Observer['failed'];
  readonly projections: ProjectionObserver;

  constructor(stats: Stats) {
    this.loaded = (from) => stats.count(`loads from ${from}`);
    this.snapshotsSaved = (count) => stats.count('snapshots', count);
    this.snapshotFailed = () => stats.count('snapshot failures');
    this.conflict = () => stats.count('conflicts');
    this.repeated = () => stats.count('repeats recalled');
    this.retrying = (step) => stats.count(`${step} tried again`);
    this.failed = (step, error) => {
      stats.count(`${step} failed for good`);
      stats.lastFailure = error;
    };
    this.projections = {
      projected: ignore,
      settled: ignore,
      deviceBroken: () => stats.count('devices broken'),
      projectionFailed: (kind) => stats.count(`${kind} projection tried again`),
      generation: (step) => stats.count(`generations ${step}`),
    };
  }
}
