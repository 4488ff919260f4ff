import { Counter, Gauge, type Registry } from 'prom-client';
import {
  type FollowerEnd,
  type FollowerObserver,
  type StreamKind,
} from '../application/ports/follower-observer.js';

/** Where the gauges are read from. */
export interface FollowerCounts {
  open(stream: StreamKind): number;
  /** Readers of the fleet that are not yet where the latest events are. */
  behind(): number;
}

/** Counts the streams of events. */
export class FollowerMetrics implements FollowerObserver {
  private readonly ended: Counter<'stream' | 'reason'>;
  private counts: FollowerCounts = { open: () => 0, behind: () => 0 };

  constructor(registry: Registry) {
    const registers = [registry];
    this.ended = new Counter({
      name: 'replica_followers_ended_total',
      help: 'Event streams that ended, by reason',
      labelNames: ['stream', 'reason'],
      registers,
    });
    const gauge = (name: string, help: string, value: () => number): void => {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    };
    gauge(
      'replica_followers',
      'Open event streams (SSE)',
      () => this.counts.open('device') + this.counts.open('fleet'),
    );
    gauge('replica_fleet_followers', 'Those of them that follow the whole fleet', () =>
      this.counts.open('fleet'),
    );
    gauge('replica_fleet_followers_behind', 'Those of these that read the log, since they are behind', () =>
      this.counts.behind(),
    );
  }

  /** Where the gauges are read from when they are asked for. */
  watch(counts: FollowerCounts): void {
    this.counts = counts;
  }

  followerEnded(stream: StreamKind, reason: FollowerEnd): void {
    this.ended.inc({ stream, reason });
  }
}
