import { type Logger } from 'pino';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type CommandChannel } from '../application/ports/bus.js';
import { type Observer } from '../application/ports/observer.js';
import { type Replicas } from '../application/replicas.js';
import { OutOfSyncMetrics } from './out-of-sync-metrics.js';
import { LimitMetrics } from './limit-metrics.js';
import { FollowerMetrics } from './follower-metrics.js';
import { MqttMetrics } from './mqtt-metrics.js';
import { PresenceMetrics } from './presence-metrics.js';
import { ProjectionMetrics } from './projection-metrics.js';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** At most one warning of snapshots in this time; the rest is for debugging. */
const SNAPSHOT_FAILURE_LOG_MS = 60_000;
/** How often at most it is told, for each step, that something is tried again. */
const RETRY_LOG_MS = 10_000;

/** How often it is looked whether the event loop is late: the smallest lag that is told. Each look wakes an idle process. */
const LOOP_LOOK_MS = 100;

/** Counts and logs what the use cases tell of, for Prometheus and for people. */
export class Metrics implements Observer {
  readonly registry = new Registry();
  readonly followers: FollowerMetrics;
  readonly limits: LimitMetrics;
  readonly mqtt: MqttMetrics;
  readonly projections: ProjectionMetrics;
  readonly outOfSync: OutOfSyncMetrics;
  readonly presence: PresenceMetrics;
  private readonly commands: Counter<'channel' | 'outcome'>;
  private readonly batchSize: Histogram<'channel'>;
  private readonly batchSeconds: Histogram<'channel'>;
  private readonly stepSeconds: Histogram<'step'>;
  private readonly loads: Counter<'from'>;
  private readonly snapshots: Counter;
  private readonly snapshotFailures: Counter<'step'>;
  private snapshotFailureLoggedAt = -Infinity;
  private readonly retryLoggedAt = new Map<string, number>();
  private readonly conflicts: Counter;
  private readonly repeats: Counter;
  private readonly retries: Counter<'step'>;
  private readonly failures: Counter<'step'>;
  private readonly redeliveries: Counter<'topic' | 'partition'>;
  private readonly restarts: Counter;
  private readonly damaged: Counter<'topic' | 'partition'>;
  private readonly lag: Gauge<'topic' | 'partition'>;
  private readonly accessRefusals: Counter<'code'>;

  constructor(private readonly logger: Logger) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: LOOP_LOOK_MS });
    this.commands = new Counter({
      name: 'replica_commands_total',
      help: 'Commands that ended, by outcome: accepted, a refusal code, or dead-letter',
      labelNames: ['channel', 'outcome'],
      registers,
    });
    this.batchSize = new Histogram({
      name: 'replica_batch_commands',
      help: 'Commands in one unit of work',
      labelNames: ['channel'],
      buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000],
      registers,
    });
    this.batchSeconds = new Histogram({
      name: 'replica_batch_seconds',
      help: 'From the arrival of a unit of work until its outputs are acknowledged',
      labelNames: ['channel'],
      buckets: SECONDS,
      registers,
    });
    this.stepSeconds = new Histogram({
      name: 'replica_step_seconds',
      help: 'One call of the event store or the bus',
      labelNames: ['step'],
      buckets: SECONDS,
      registers,
    });
    this.loads = new Counter({
      name: 'replica_loads_total',
      help: 'Replicas that were folded, by where the fold began: a snapshot, or the start of the history',
      labelNames: ['from'],
      registers,
    });
    this.snapshots = new Counter({
      name: 'replica_snapshots_saved_total',
      help: 'Snapshots that were saved',
      registers,
    });
    this.snapshotFailures = new Counter({
      name: 'replica_snapshot_failures_total',
      help: 'Snapshots that could not be read, saved or used; they cost time alone',
      labelNames: ['step'],
      registers,
    });
    this.accessRefusals = new Counter({
      name: 'replica_access_refusals_total',
      help: 'Requests by REST that were refused for who asked for them, by the code of the answer',
      labelNames: ['code'],
      registers,
    });
    this.conflicts = new Counter({
      name: 'replica_conflicts_total',
      help: 'Appends that another writer was faster than; each was decided again',
      registers,
    });
    this.repeats = new Counter({
      name: 'replica_repeats_total',
      help: 'Look-ups of commands that came again',
      registers,
    });
    this.retries = new Counter({
      name: 'replica_retries_total',
      help: 'Steps that failed and were tried again',
      labelNames: ['step'],
      registers,
    });
    this.failures = new Counter({
      name: 'replica_failures_total',
      help: 'Steps that failed for good; their commands were refused with 500 or 413',
      labelNames: ['step'],
      registers,
    });
    this.redeliveries = new Counter({
      name: 'replica_redeliveries_total',
      help: 'Units of work that failed as a whole and came again',
      labelNames: ['topic', 'partition'],
      registers,
    });
    this.restarts = new Counter({
      name: 'replica_consumer_restarts_total',
      help: 'Consumers that were given up and made anew',
      registers,
    });
    this.damaged = new Counter({
      name: 'replica_damaged_fetches_total',
      help: 'Answers of Kafka with records that fail their checksum; they were asked for again',
      labelNames: ['topic', 'partition'],
      registers,
    });
    this.lag = new Gauge({
      name: 'replica_lag_messages',
      help: 'Messages of a partition that are not yet processed',
      labelNames: ['topic', 'partition'],
      registers,
    });
    this.followers = new FollowerMetrics(this.registry);
    this.limits = new LimitMetrics(this.registry, logger);
    this.mqtt = new MqttMetrics(this.registry, logger);
    this.projections = new ProjectionMetrics(this.registry, logger);
    this.outOfSync = new OutOfSyncMetrics(this.registry);
    this.presence = new PresenceMetrics(this.registry);
  }

  commandsEnded(channel: CommandChannel, outcome: string, count: number): void {
    this.commands.inc({ channel, outcome }, count);
  }

  batchEnded(channel: CommandChannel, count: number, milliseconds: number): void {
    this.batchSize.observe({ channel }, count);
    this.batchSeconds.observe({ channel }, milliseconds / 1000);
  }

  timed(step: 'append' | 'publish' | 'load', milliseconds: number): void {
    this.stepSeconds.observe({ step }, milliseconds / 1000);
  }

  loaded(from: 'snapshot' | 'start'): void {
    this.loads.inc({ from });
  }

  snapshotsSaved(count: number): void {
    this.snapshots.inc(count);
  }

  snapshotFailed(step: string, error: unknown): void {
    this.snapshotFailures.inc({ step });
    // With their store gone every load would say so.
    const isRecent = performance.now() - this.snapshotFailureLoggedAt < SNAPSHOT_FAILURE_LOG_MS;
    if (!isRecent) this.snapshotFailureLoggedAt = performance.now();
    this.logger[isRecent ? 'debug' : 'warn']({ step, err: error }, 'A snapshot failed; going on without it');
  }

  conflict(deviceId: string): void {
    this.conflicts.inc();
    this.logger.debug({ deviceId }, 'Another writer appended first; deciding again');
  }

  repeated(deviceId: string): void {
    this.repeats.inc();
    this.logger.debug({ deviceId }, 'A command came again; answering from the history');
  }

  refused(fields: Parameters<Observer['refused']>[0]): void {
    this.logger.warn(fields, 'Command refused');
  }

  retrying(step: string, error: unknown, delayMs: number): void {
    this.retries.inc({ step });
    // While a store is away, every device of a batch would say so, over and over.
    const isRecent = performance.now() - (this.retryLoggedAt.get(step) ?? -Infinity) < RETRY_LOG_MS;
    if (!isRecent) this.retryLoggedAt.set(step, performance.now());
    this.logger[isRecent ? 'debug' : 'warn']({ step, err: error, delayMs }, 'Failed; trying again');
  }

  failed(step: string, error: unknown): void {
    this.failures.inc({ step });
    this.logger.error({ step, err: error }, 'Failed for good');
  }

  /** Somebody was not let in, or may not do what was asked for. */
  accessRefused(code: number): void {
    this.accessRefusals.inc({ code: String(code) });
  }

  /** A unit of work failed as a whole, and comes again. */
  redelivering(topic: string, partition: number): void {
    this.redeliveries.inc({ topic, partition });
  }

  /** The consumer was given up, and a new one made. */
  consumerRestarted(): void {
    this.restarts.inc();
  }

  /** Records came that cannot be what was sent. */
  fetchDamaged(topic: string, partition: number): void {
    this.damaged.inc({ topic, partition });
  }

  /** How far one partition is behind. */
  lagging(topic: string, partition: number, messages: number): void {
    this.lag.set({ topic, partition }, messages);
  }

  /** A partition that is another member's now. */
  released(topic: string, partition: number): void {
    this.lag.remove({ topic, partition });
  }

  /** Gauges that are read when they are asked for. */
  watch(replicas: Replicas): void {
    const gauge = (name: string, help: string, value: () => number): void => {
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.set(value());
        },
      });
    };
    gauge('replica_cache_devices', 'Replicas in memory', () => replicas.size.count);
    gauge('replica_cache_packed_devices', 'Those of them that are packed', () => replicas.size.packedCount);
    gauge('replica_cache_bytes', 'Their memory, by estimate', () => replicas.size.bytes);
    gauge('replica_cache_hits', 'Look-ups that found a replica in memory', () => replicas.hits);
    gauge('replica_cache_misses', 'Look-ups that had to load one', () => replicas.misses);
  }
}
