import { type Provider } from '@nestjs/common';
import { DeviceFollowers } from './adapters/http/device-followers.js';
import { encodeEvent, EventStreams, type FollowerOptions } from './adapters/http/event-stream.js';
import { FleetFollowers } from './adapters/http/fleet-followers.js';
import { FOLLOWER_OBSERVER, FOLLOWER_OPTIONS, STORE } from './adapters/http/tokens.js';
import { FollowFleet } from './application/follow-fleet.js';
import { type EventStore } from './application/ports/event-store.js';
import { Replicas } from './application/replicas.js';
import { type Settings } from './config/settings.js';
import { type Metrics } from './observability/metrics.js';

/** What the streams of events are made of: a part of the composition root. */
export function followingProviders(settings: Settings, metrics: Metrics): Provider[] {
  return [
    {
      provide: FOLLOWER_OPTIONS,
      useValue: {
        maxCount: settings.MAX_FOLLOWER_COUNT,
        maxCallerCount: settings.MAX_FOLLOWERS_PER_CALLER_COUNT,
        waitingBytes: settings.FOLLOWER_WAITING_BYTES,
        stallMs: settings.FOLLOWER_STALL_MS,
      } satisfies FollowerOptions,
    },
    { provide: FOLLOWER_OBSERVER, useValue: metrics.followers },
    {
      provide: FollowFleet,
      inject: [STORE, Replicas],
      useFactory: (store: EventStore, replicas: Replicas) =>
        new FollowFleet(
          {
            store,
            encode: (id, kind, document) => Buffer.from(encodeEvent(id, kind, document)),
            onRetry: (error, delayMs) => metrics.retrying('follow', error, delayMs),
          },
          replicas,
          { cacheBytes: settings.FOLLOWER_CACHE_BYTES, batchBytes: settings.FOLLOWER_WAITING_BYTES },
        ),
    },
    EventStreams,
    DeviceFollowers,
    FleetFollowers,
    {
      provide: FOLLOWER_GAUGES,
      inject: [EventStreams, FollowFleet],
      useFactory: (streams: EventStreams, fleet: FollowFleet) => {
        const open = (kind: 'device' | 'fleet'): number => streams.countOf(kind);
        metrics.followers.watch({ open, behind: () => fleet.behindCount });
        return metrics.followers;
      },
    },
  ];
}

const FOLLOWER_GAUGES = Symbol('follower gauges');
