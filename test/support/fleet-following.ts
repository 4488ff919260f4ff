import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type FleetPlace, parseFleetId } from '../../src/application/fleet-tail.js';
import { type FleetFilter, FollowFleet } from '../../src/application/follow-fleet.js';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { FLEET_KINDS, type FleetKind } from '../../src/application/render-commands.js';
import { decode, Replicas } from '../../src/application/replicas.js';
import { type ReplicaEvent } from '../../src/replica/events.js';
import { emptyReplica, type Replica } from '../../src/replica/replica.js';
import { applyAndRespond } from '../../src/replica/respond.js';
import { deviceOf } from '../../src/replica/stored.js';
import { Histories, randomFrom } from './histories.js';
import { RecordingObserver } from './replica-process.js';

/** An output as a test looks at it. */
export interface Told {
  readonly id: string;
  readonly kind: FleetKind;
  readonly document: string;
}

export const ALL: FleetFilter = { prefix: '', kinds: new Set(FLEET_KINDS) };

/** A process that follows, with little memory, so that the latest outputs are soon only in the log. */
export function fleetOf(store: EventStore, cacheBytes = 262_144, batchBytes = 2048): FollowFleet {
  const observer = new RecordingObserver();
  return new FollowFleet(
    {
      store,
      encode: (id, kind, document) => Buffer.from(JSON.stringify({ id, kind, document })),
      onRetry: () => undefined,
    },
    new Replicas(store, observer, 0),
    { cacheBytes, batchBytes },
  );
}

export function toldOf(outputs: readonly Buffer[]): Told[] {
  return outputs.map((bytes) => JSON.parse(bytes.toString()) as Told);
}

/** All that the log has to tell, by a plain fold of each device from its first event. */
export async function allOf(store: EventStore): Promise<Told[]> {
  const told: Told[] = [];
  const replicas = new Map<string, Replica>();
  interface Open {
    deviceId: string;
    events: ReplicaEvent[];
    origin: ReturnType<typeof decode>['origin'];
    first: number;
    position: bigint;
  }
  const commands: Open[] = [];
  for await (const recorded of store.readAll()) {
    const deviceId = deviceOf(recorded.stream) as string;
    const { event, origin } = decode(recorded);
    const last = commands.at(-1);
    if (last?.origin.commandId === origin.commandId) {
      last.events.push(event);
      last.position = recorded.position;
    } else {
      commands.push({
        deviceId,
        events: [event],
        origin,
        first: recorded.revision,
        position: recorded.position,
      });
    }
  }
  for (const { deviceId, events, origin, first, position } of commands) {
    const replica = replicas.get(deviceId) ?? emptyReplica(deviceId);
    replicas.set(deviceId, replica);
    const response = applyAndRespond(replica, events, origin, first, true);
    const isDelete = events[0]?.type === 'ReplicaDeleted';
    const parts = [
      [isDelete ? 'delete-accepted' : 'accepted', response.accepted],
      ['delta', response.delta],
      ['documents', response.documents],
    ] as const;
    parts.forEach(([kind, document], part) => {
      if (typeof document !== 'string') return;
      const of = JSON.stringify({ deviceId, ...(JSON.parse(document) as object) });
      told.push({ id: `${position}.${part}`, kind, document: of });
    });
  }
  return told;
}

export function matching(told: readonly Told[], { prefix, kinds }: FleetFilter): Told[] {
  return told.filter(
    ({ kind, document }) =>
      kinds.has(kind) && (JSON.parse(document) as { deviceId: string }).deviceId.startsWith(prefix),
  );
}

/** A follower as a client of the stream is one: it keeps what it got, and comes back to the last id. */
export class Follower {
  readonly got: Told[] = [];
  private place: FleetPlace | null;
  private abort = new AbortController();
  private session: Promise<void> = Promise.resolve();
  pauseMs = 0;

  constructor(
    readonly filter: FleetFilter,
    from: FleetPlace,
  ) {
    this.place = from;
  }

  async connect(fleet: FollowFleet): Promise<void> {
    this.abort = new AbortController();
    const { signal } = this.abort;
    const reader = await fleet.open(this.place, this.filter);
    this.session = (async () => {
      try {
        for await (const { outputs, place } of reader.follow(signal)) {
          // What of a batch does arrive is any beginning of it, where the connection breaks.
          for (const told of toldOf(outputs)) {
            if (signal.aborted) return;
            this.got.push(told);
            this.place = parseFleetId(told.id);
            if (this.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, this.pauseMs));
          }
          if (!signal.aborted) this.place = place;
        }
      } finally {
        reader.leave();
      }
    })();
  }

  async disconnect(): Promise<void> {
    this.abort.abort();
    await this.session;
  }
}

export interface FollowedStore {
  /** The store as a process has it; the one before must have been closed. */
  open(): EventStore;
  close(): Promise<void>;
}

const SEED = Number(process.env['FOLLOW_SEED'] ?? Date.now() % 2 ** 31);

/** Readers that come and go and stall at random moments get exactly the log's sequence, on this store. */
export function followFleetSuite(name: string, make: () => Promise<FollowedStore>, batchBytes = 2048): void {
  const fleetOn = (on: EventStore): FollowFleet => fleetOf(on, 262_144, batchBytes);
  describe(`following the fleet on ${name} (FOLLOW_SEED=${SEED})`, () => {
    let made: FollowedStore;
    let store: EventStore;
    beforeAll(async () => {
      made = await make();
      store = made.open();
    });
    afterAll(async () => {
      await store.close();
      await made.close();
    });

    it('gives every reader exactly what the log has, in order, once', async () => {
      const random = randomFrom(SEED);
      const below = (count: number): number => Math.floor(random() * count);
      const histories = new Histories(random, 12);
      await histories.append(store, 150);
      let fleet = fleetOn(store);
      const [sample = []] = fc.sample(
        fc.array(
          fc.record({
            prefix: fc.constantFrom('', 'device-1', 'device-1', 'device-3', 'none'),
            kinds: fc.subarray([...FLEET_KINDS], { minLength: 1 }).map((kinds) => new Set<FleetKind>(kinds)),
          }),
          { minLength: 10, maxLength: 10 },
        ),
        { seed: SEED, numRuns: 1 },
      );
      const filters = [ALL, ALL, ...sample];
      const start = { position: 0n, part: 3 };
      const followers = filters.map((filter) => new Follower(filter, start));
      for (const follower of followers) await follower.connect(fleet);
      for (let round = 0; round < 24; round++) {
        await histories.append(store, 1 + below(40));
        if (round % 8 === 7) {
          // The process is gone, and another one goes on with the same log.
          await Promise.all(followers.map((follower) => follower.disconnect()));
          await store.close();
          store = made.open();
          fleet = fleetOn(store);
          for (const follower of followers) await follower.connect(fleet);
          continue;
        }
        const follower = followers[below(followers.length)] as Follower;
        await follower.disconnect();
        if (below(2) === 0) await histories.append(store, below(120));
        follower.pauseMs = below(4) === 0 ? 1 : 0;
        await follower.connect(fleet);
      }
      for (const follower of followers) follower.pauseMs = 0;
      const all = await allOf(store);
      expect(all.length).toBeGreaterThan(1000);
      for (const follower of followers) {
        const expected = matching(all, follower.filter);
        const deadline = Date.now() + 60_000;
        while (follower.got.length < expected.length && Date.now() < deadline) {
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        // Whoever got too much gets it by now.
        await new Promise((resolve) => setTimeout(resolve, 20));
        await follower.disconnect();
        expect(follower.got).toEqual(expected);
      }
      expect(fleet.behindCount).toBe(0);
    });

    it('goes on after every single id', async () => {
      const fleet = fleetOn(store);
      const all = (await allOf(store)).slice(-40);
      for (const [index, { id }] of all.entries()) {
        const follower = new Follower(ALL, parseFleetId(id) as FleetPlace);
        await follower.connect(fleet);
        const rest = all.slice(index + 1);
        const deadline = Date.now() + 60_000;
        while (follower.got.length < rest.length && Date.now() < deadline) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        await follower.disconnect();
        expect(follower.got).toEqual(rest);
      }
    });
  });
}
