import { get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DeviceFollowers } from '../../src/adapters/http/device-followers.js';
import { encodeEvent, EventStreams, type FollowerOptions } from '../../src/adapters/http/event-stream.js';
import { FleetEventsController } from '../../src/adapters/http/fleet-events.controller.js';
import { FleetFollowers } from '../../src/adapters/http/fleet-followers.js';
import { StateController } from '../../src/adapters/http/state.controller.js';
import { BUS, FOLLOWER_OBSERVER, FOLLOWER_OPTIONS, STORE } from '../../src/adapters/http/tokens.js';
import { FollowFleet } from '../../src/application/follow-fleet.js';
import { type Bus, type OutputMessage } from '../../src/application/ports/bus.js';
import { type FollowerEnd, type StreamKind } from '../../src/application/ports/follower-observer.js';
import { ReadReplica } from '../../src/application/read-replica.js';
import { Replicas } from '../../src/application/replicas.js';
import { TimeTravel } from '../../src/application/time-travel.js';
import { deferred } from '../../src/application/timing.js';
import { CommandLog } from '../support/command-log.js';
import { EventStream, parseEvent, type StreamEvent } from '../support/event-stream.js';
import { until } from '../support/http.js';
import { type HttpApp, startHttpApp } from '../support/http-app.js';
import { ReplicaProcess } from '../support/replica-process.js';

const STALL_MS = 2000;
const options: FollowerOptions = { maxCallerCount: 0, maxCount: 3, waitingBytes: 65_536, stallMs: STALL_MS };
/** Of each stream: from the start, and all that it can tell. */
const STREAMS = [
  { kind: 'device', path: '/state/a/events', start: '-1.3' },
  { kind: 'fleet', path: '/fleet/events?kinds=accepted,delta,documents', start: '0' },
] as const;

describe('event streams', () => {
  let service: ReplicaProcess;
  let updates: CommandLog;
  let app: HttpApp;
  let streams: EventStreams;
  let reject: (message: OutputMessage) => void;
  let onEnd: (kind: StreamKind, reason: FollowerEnd) => void;
  const ends: string[] = [];

  beforeEach(async () => {
    service = new ReplicaProcess();
    updates = new CommandLog();
    ends.length = 0;
    onEnd = () => undefined;
    const { store, replicas, reader } = service;
    const bus: Pick<Bus, 'listen'> = {
      listen: async (_channel, handler) => {
        reject = handler;
        return async () => undefined;
      },
    };
    const followFleet = new FollowFleet(
      {
        store,
        encode: (id, kind, document) => Buffer.from(encodeEvent(id, kind, document)),
        onRetry: () => undefined,
      },
      replicas,
      { cacheBytes: 1 << 22, batchBytes: options.waitingBytes },
    );
    const followerEnded = (kind: StreamKind, reason: FollowerEnd): void => {
      ends.push(`${kind} ${reason}`);
      onEnd(kind, reason);
    };
    app = await startHttpApp(service, {
      state: [StateController],
      root: [FleetEventsController],
      providers: [
        { provide: BUS, useValue: bus },
        { provide: STORE, useValue: store },
        { provide: Replicas, useValue: replicas },
        { provide: ReadReplica, useValue: reader },
        { provide: TimeTravel, useValue: new TimeTravel(store, replicas) },
        { provide: FollowFleet, useValue: followFleet },
        { provide: FOLLOWER_OPTIONS, useValue: options },
        { provide: FOLLOWER_OBSERVER, useValue: { followerEnded } },
        EventStreams,
        DeviceFollowers,
        FleetFollowers,
      ],
    });
    streams = app.get(EventStreams);
  });
  afterEach(() => app.close());

  async function send(count: number, text = ''): Promise<void> {
    const from = updates.messages.length;
    for (let n = 0; n < count; n++) {
      updates.send('a', { state: { reported: { n: from + n, text }, desired: { n: -1 } } });
    }
    await service.deliver(updates.batch(from));
  }
  const openCount = (): number => streams.countOf('device') + streams.countOf('fleet');

  /** A reader that does not read before it is told to. */
  async function sleepingReader(path: string): Promise<() => Promise<StreamEvent[]>> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${app.url}${path}`, { agent: false }, resolve).on('error', reject);
    });
    response.pause();
    return async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      const blocks = Buffer.concat(chunks).toString().split('\n\n');
      return blocks.map(parseEvent).filter((event) => event !== null);
    };
  }
  async function wholeOf({ path, start }: (typeof STREAMS)[number], count: number): Promise<StreamEvent[]> {
    const stream = await EventStream.at(`${app.url}${path}`, start);
    const events = await stream.has(count);
    stream.close();
    return events;
  }

  describe.each(STREAMS)('of $kind', (of) => {
    const { kind, path } = of;

    it('tell a slow reader that it is ended, and give it everything once when it comes back', async () => {
      const read = await sleepingReader(path);
      const got = new Promise<StreamEvent[]>((resolve) => {
        // At once: the connection is closed when nothing is taken for as long again.
        onEnd = () => resolve(read());
      });
      const count = 300;
      // More than the buffers of a connection hold.
      for (let n = 0; n < count; n += 10) await send(10, 'x'.repeat(20_000));

      const events = await got;

      expect(ends).toEqual([`${kind} slow`]);
      expect(events.pop()).toEqual({
        id: undefined,
        event: 'end',
        data: { reason: 'slow', message: expect.any(String), canResume: true },
      });
      expect(events.length).toBeLessThan(3 * count);
      const resumed = await EventStream.at(`${app.url}${path}`, events.at(-1)?.id);
      events.push(...(await resumed.has(3 * count - events.length)));
      resumed.close();
      expect(events.length).toBe(3 * count);
      expect(JSON.stringify(events) === JSON.stringify(await wholeOf(of, 3 * count))).toBe(true);
    });

    it('leave with their reader, also where their answer stands behind another one', async () => {
      const { hostname, port } = new URL(app.url);
      const socket = connect(Number(port), hostname);
      socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(options.maxCount));
      await until('all have begun', () => openCount() === options.maxCount);
      socket.destroy();
      await until('all have left', () => openCount() === 0);
      expect(ends).toEqual(Array(options.maxCount).fill(`${kind} left`));
    });

    it('that are still to begin are refused when the service stops, and so are those that come then', async () => {
      const hold = deferred<void>();
      service.store.beforeRead = () => hold.promise;
      service.store.beforeReadAll = () => hold.promise;
      const early = fetch(`${app.url}${path}`);
      await until('it is there', () => openCount() === 1);
      streams.beforeApplicationShutdown();
      for (const answer of [await early, await fetch(`${app.url}${path}`)]) {
        expect(answer.status).toBe(503);
        expect(await answer.json()).toMatchObject({ code: 503, message: 'The service is stopping' });
      }
      hold.resolve();
      await until('it is gone', () => openCount() === 0);
      expect(ends).toEqual([`${kind} stopping`]);
    });
  });

  it('end a reader for which too many refusals wait', async () => {
    const read = await sleepingReader('/state/a/events');
    const got = new Promise<StreamEvent[]>((resolve) => (onEnd = () => resolve(read())));
    const value = Buffer.from(JSON.stringify({ code: 400, message: 'x'.repeat(60_000) }));
    while (ends.length === 0) {
      reject({ channel: 'update.rejected', key: 'a', value, headers: {} });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const events = await got;
    expect(events.at(-1)).toMatchObject({ event: 'end', data: { reason: 'slow', canResume: true } });
    expect(events.slice(0, -1).every(({ event, id }) => event === 'rejected' && id === undefined)).toBe(true);
  });
});
