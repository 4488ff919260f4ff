import { type Logger } from 'pino';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { CONVERGENCE_BOUNDS_MS, durationOf } from '../application/convergence-counts.js';
import { type ProjectionKind, type ProjectionObserver } from '../application/ports/projection-observer.js';
import { type ProjectionsStatus } from '../application/projections.js';
import { type Settled } from '../replica/convergence.js';

/** How often at most it is told, for each kind, that the projection failed. */
const FAILURE_LOG_MS = 10_000;

/** Counts and logs what the projection tells of. */
export class ProjectionMetrics implements ProjectionObserver {
  private readonly events: Counter<'kind'>;
  private readonly failures: Counter<'kind'>;
  private readonly broken: Counter<'kind'>;
  private readonly convergence: Histogram<'outcome'>;
  private readonly threadEnds: Counter<'thread'>;
  private readonly failureLoggedAt = new Map<string, number>();
  private status: (() => ProjectionsStatus) | null = null;

  constructor(
    registry: Registry,
    private readonly logger: Logger,
  ) {
    const registers = [registry];
    const labelNames = ['kind'] as const;
    this.events = new Counter({
      name: 'replica_projection_events_total',
      help: 'Events whose rows were written',
      labelNames,
      registers,
    });
    this.failures = new Counter({
      name: 'replica_projection_failures_total',
      help: 'How often the projection failed and began again at its checkpoint',
      labelNames,
      registers,
    });
    this.broken = new Counter({
      name: 'replica_projection_broken_total',
      help: 'Devices whose history could not be folded further',
      labelNames,
      registers,
    });
    this.convergence = new Histogram({
      name: 'replica_convergence_seconds',
      help: 'From a desired change until it was reached, superseded or withdrawn',
      labelNames: ['outcome'],
      buckets: CONVERGENCE_BOUNDS_MS.map((bound) => bound / 1000),
      registers,
    });
    this.threadEnds = new Counter({
      name: 'replica_thread_ends_total',
      help: 'How often a thread of the read side ended unasked and was started again',
      labelNames: ['thread'],
      registers,
    });
    const gauge = (
      name: string,
      help: string,
      value: (status: ProjectionsStatus | undefined) => number,
    ): void => {
      const read = (): number => value(this.status?.());
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    };
    gauge('replica_projection_position', 'Position of the last event that lists show', (status) =>
      Number(status?.position ?? 0),
    );
    gauge(
      'replica_projection_lag_seconds',
      'How far behind lists are, at the most',
      (status) => (status?.lagMs ?? 0) / 1000,
    );
    gauge(
      'replica_projection_rebuild_ratio',
      'How much of a rebuild is done; -1: none runs',
      (status) => status?.rebuild?.share ?? -1,
    );
  }

  /** Where the gauges are read from when they are asked for. */
  watch(status: () => ProjectionsStatus): void {
    this.status = status;
  }

  projected(kind: ProjectionKind, events: number): void {
    this.events.inc({ kind }, events);
  }

  settled(changes: readonly Settled[]): void {
    for (const change of changes) {
      this.convergence.observe({ outcome: change.outcome }, durationOf(change) / 1000);
    }
  }

  deviceBroken(kind: ProjectionKind, deviceId: string | null, reason: string): void {
    this.broken.inc({ kind });
    this.logger.error({ deviceId, kind, reason }, "A device's history is damaged; going on without it");
  }

  projectionFailed(kind: ProjectionKind, error: unknown, delayMs: number): void {
    this.failures.inc({ kind });
    const isRecent = performance.now() - (this.failureLoggedAt.get(kind) ?? -Infinity) < FAILURE_LOG_MS;
    if (!isRecent) this.failureLoggedAt.set(kind, performance.now());
    this.logger[isRecent ? 'debug' : 'warn'](
      { kind, err: error, delayMs },
      'The projection failed; trying again',
    );
  }

  /** A thread of the read side ended unasked, and is started again. */
  threadEnded(thread: string, error: unknown, delayMs: number): void {
    this.threadEnds.inc({ thread });
    this.logger.error({ thread, err: error, delayMs }, 'A thread ended; starting it again');
  }

  generation(step: 'begun' | 'resumed' | 'activated', id: number, reason: string): void {
    this.logger.info({ generation: id, reason }, `A generation of the read model is ${step}`);
  }
}
