import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EventStoreDBClient } from '@eventstore/db-client';
import {
  type EventStoreDbOptions,
  openEventStoreDb,
} from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import type { EventStore, RecordedEvent, StreamAppend } from '../../src/application/ports/event-store.js';
import {
  append,
  appendOne,
  brief,
  collect,
  fill,
  follow,
  idsOf,
  newEvent,
  newEvents,
  newStream,
  pullFrom,
} from '../contracts/event-store.support.js';
import { type EventStoreServer, startEventStoreServer } from '../support/eventstore-server/index.js';

describe('EventStoreDB that fails', () => {
  let server: EventStoreServer;
  let store: EventStore;
  const lines: string[] = [];

  const open = (options: Partial<EventStoreDbOptions> = {}): EventStore =>
    openEventStoreDb({
      connectionString: server.connectionString,
      streamPrefix: 'contract-',
      logger: {
        info: (fields, message) => lines.push(`info ${message} ${JSON.stringify(fields)}`),
        warn: (fields, message) => lines.push(`warn ${message} ${JSON.stringify(fields)}`),
      },
      ...options,
    });

  /** As the service does it: the same append again, as long as that may help. */
  const appendUntilKnown = async (appends: readonly StreamAppend[], on = store): Promise<string[]> => {
    const answers: string[] = appends.map(() => '');
    let pending = appends.map((_, index) => index);
    while (pending.length > 0) {
      const results = await on.append(pending.map((index) => appends[index] as StreamAppend));
      const again: number[] = [];
      results.forEach((result, at) => {
        const index = pending[at] as number;
        if (result.kind === 'failed' && result.error.canRetry) again.push(index);
        else answers[index] = brief(result);
      });
      pending = again;
      if (pending.length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return answers;
  };

  beforeEach(async () => {
    lines.length = 0;
    server = await startEventStoreServer();
    store = open();
  });
  afterEach(async () => {
    server.faults.clear();
    await store.close();
    await server.stop();
  });

  describe('an append', () => {
    it('has an unknown outcome where the answer is lost, and is recognised when it comes again', async () => {
      const stream = newStream();
      const events = newEvents(2);
      server.faults.dropResponseAfterAppend(1);
      expect(brief(await appendOne(store, stream, -1, events))).toBe('failed outcome-unknown');
      expect(brief(await appendOne(store, stream, -1, events))).toBe('appended 1');
      expect(idsOf(await collect(store.readStream(stream)))).toEqual(idsOf(events));
    });

    it('has an unknown outcome where no answer comes in time', async () => {
      const impatient = open({ connectionString: `${server.connectionString}&defaultDeadline=300` });
      const stream = newStream();
      const events = newEvents(1);
      server.faults.dropResponseAfterAppend(1, 'hang');
      const result = await appendOne(impatient, stream, -1, events);
      expect(brief(result)).toBe('failed outcome-unknown');
      expect(result).toMatchObject({ error: { canRetry: true } });
      expect(await appendUntilKnown([append(stream, -1, ...events)], impatient)).toEqual(['appended 0']);
      await impatient.close();
    });

    it('takes place exactly once, whatever answers are lost, among many in flight', async () => {
      const streams = Array.from({ length: 300 }, newStream);
      const appends = streams.map((stream) => append(stream, -1, newEvent(), newEvent()));
      server.faults.dropResponseAfterAppend(5);
      expect(await appendUntilKnown(appends)).toEqual(streams.map(() => 'appended 1'));
      for (const { stream, events } of appends) {
        expect(idsOf(await collect(store.readStream(stream)))).toEqual(idsOf(events));
      }
    });

    it('goes through when the server has been restarted', async () => {
      const stream = newStream();
      expect(brief(await appendOne(store, stream, -1, newEvents(1)))).toBe('appended 0');
      await server.restart();
      expect(await appendUntilKnown([append(stream, 0, newEvent())])).toEqual(['appended 1']);
    });

    it('loses nothing and records nothing twice while the server restarts over and over', async () => {
      const streams = Array.from({ length: 20 }, newStream);
      const write = async (stream: string): Promise<void> => {
        for (let n = 0; n < 25; n++) {
          expect(await appendUntilKnown([append(stream, n - 1, newEvent({ n }))])).toEqual([`appended ${n}`]);
        }
      };
      let done = false;
      const restarting = (async () => {
        while (!done) {
          await new Promise((resolve) => setTimeout(resolve, 30));
          await server.restart();
        }
      })();
      await Promise.all(streams.map(write));
      done = true;
      await restarting;
      for (const stream of streams) {
        const recorded = await collect(store.readStream(stream));
        expect(recorded.map(({ data }) => data.toString())).toEqual(
          Array.from({ length: 25 }, (_, n) => `{"n":${n}}`),
        );
      }
    });

    it('is unavailable, with nothing recorded, while nobody listens', async () => {
      await server.stop();
      const result = await appendOne(store, newStream(), -1, newEvents(1));
      expect(brief(result)).toBe('failed unavailable');
      expect(result).toMatchObject({ error: { canRetry: true, message: expect.stringMatching(/^.+$/) } });
    });

    it('finds the leader where the node says that it is not', async () => {
      const stream = newStream();
      server.faults.notLeader(1);
      expect(await appendUntilKnown([append(stream, -1, newEvent())])).toEqual(['appended 0']);
    });

    it('waits for a server that has not finished its start', async () => {
      server.faults.notReady(3);
      expect(await appendUntilKnown([append(newStream(), -1, newEvent())])).toEqual(['appended 0']);
    });

    it('does not take a conflict for one that contradicts itself', async () => {
      const stream = newStream();
      await appendOne(store, stream, -1, newEvents(2));
      server.faults.wrongExpectedVersion(1);
      expect(brief(await appendOne(store, stream, 1, newEvents(1)))).toBe('failed outcome-unknown');
      expect(brief(await appendOne(store, stream, 1, newEvents(1)))).toBe('appended 2');
    });

    it('is too large where the server says so, and only that one', async () => {
      const generous = open({ maxAppendBytes: 8 * 1024 * 1024 });
      const large = { ...newEvent(), data: Buffer.from(JSON.stringify('x'.repeat(2 * 1024 * 1024))) };
      const results = await generous.append([
        append(newStream(), -1, large),
        append(newStream(), -1, newEvent()),
      ]);
      expect(results.map(brief)).toEqual(['failed too-large', 'appended 0']);
      await generous.close();
    });

    it('never has more in flight than the window', async () => {
      const narrow = open({ maxInFlightCount: 8 });
      server.faults.delayMs = 5;
      const results = await narrow.append(
        Array.from({ length: 100 }, () => append(newStream(), -1, newEvent())),
      );
      expect(new Set(results.map(brief))).toEqual(new Set(['appended 0']));
      expect(server.stats.maxBatchAppendsInFlight).toBeLessThanOrEqual(8);
      expect(server.stats.maxBatchAppendsInFlight).toBeGreaterThan(1);
      await narrow.close();
    });

    it('of one store does not fail with the calls of another', async () => {
      const other = await startEventStoreServer();
      const unharmed = open({ connectionString: other.connectionString });
      other.faults.delayMs = 300;
      const waiting = unharmed.append([append(newStream(), -1, newEvent())]);
      server.faults.dropResponseAfterAppend(1);
      await appendOne(store, newStream(), -1, newEvents(1));
      expect((await waiting).map(brief)).toEqual(['appended 0']);
      await unharmed.close();
      await other.stop();
    });
  });

  describe('a stream that was deleted', () => {
    let client: EventStoreDBClient;
    beforeEach(() => {
      client = EventStoreDBClient.connectionString(server.connectionString);
    });
    afterEach(async () => {
      await client.dispose();
    });

    it('for good, is told by reads and appends', async () => {
      const stream = newStream();
      await appendOne(store, stream, -1, newEvents(2));
      await client.tombstoneStream(stream);
      await expect(collect(store.readStream(stream))).rejects.toMatchObject({ code: 'stream-deleted' });
      expect(brief(await appendOne(store, stream, 1, newEvents(1)))).toBe('failed stream-deleted');
    });

    it('for good, leaves no mark among the events of the log', async () => {
      const [stream, later] = [newStream(), newStream()];
      await appendOne(store, stream, -1, newEvents(2));
      await client.tombstoneStream(stream);
      await appendOne(store, later, -1, newEvents(1));
      const names = [stream, later];
      const isCaughtUp = (_: unknown, { kind }: { kind: string }): boolean => kind === 'caught-up';
      const followed = await follow(store.subscribe({ after: 'start' }), names, isCaughtUp);
      expect(followed.map(({ type }) => type)).toEqual(['ThingHappened', 'ThingHappened', 'ThingHappened']);
      expect(idsOf(await collect(store.readAll()))).toEqual(idsOf(followed));
      expect(idsOf(await collect(store.readAll({ maxCount: 3 })))).toEqual(idsOf(followed));
    });

    it('softly, reads as one that is not there', async () => {
      const stream = newStream();
      await appendOne(store, stream, -1, newEvents(2));
      await client.deleteStream(stream);
      expect(await collect(store.readStream(stream))).toEqual([]);
    });

    it('in part, by $maxCount, shows the rest with its numbers', async () => {
      const stream = newStream();
      await appendOne(store, stream, -1, newEvents(5));
      await client.setStreamMetadata(stream, { maxCount: 2 });
      const numbers = (events: RecordedEvent[]): number[] => events.map(({ revision }) => revision);
      expect(numbers(await collect(store.readStream(stream)))).toEqual([3, 4]);
      expect(numbers(await collect(store.readStream(stream, { direction: 'backwards' })))).toEqual([4, 3]);
      expect(brief(await appendOne(store, stream, 4, newEvents(1)))).toBe('appended 5');
    });
  });

  describe('a subscription', () => {
    const revisionsOf = async (
      items: ReturnType<EventStore['subscribe']>,
      stream: string,
      count: number,
    ): Promise<number[]> =>
      (await follow(items, [stream], (seen) => seen.length === count)).map(({ revision }) => revision);

    it('goes on after restarts, without a gap and without a repeat', async () => {
      const stream = newStream();
      await fill(store, stream, 300);
      const seen = revisionsOf(store.subscribe({ after: 'start' }), stream, 340);
      for (let n = 300; n < 340; n++) {
        if (n % 10 === 0) await server.restart();
        await appendUntilKnown([append(stream, n - 1, newEvent())]);
      }
      expect(await seen).toEqual(Array.from({ length: 340 }, (_, n) => n));
      expect(lines.some((line) => line.startsWith('warn A subscription broke'))).toBe(true);
    });

    it('goes on where the server takes it for too slow', async () => {
      const stream = newStream();
      await fill(store, stream, 1200);
      const items = pullFrom(store.subscribe({ after: 'start' }));
      const seen: number[] = [];
      while (seen.length < 1200) {
        const item = await items.next();
        if (item.kind === 'event' && item.event.stream === stream) seen.push(item.event.revision);
        if (seen.length % 500 === 1) server.faults.abortSubscriptionsAsSlow();
      }
      await items.end();
      expect(seen).toEqual(Array.from({ length: 1200 }, (_, n) => n));
    });

    it('from the end misses nothing that was recorded while it was away, though it had seen no event', async () => {
      const stream = newStream();
      const items = pullFrom(store.subscribe({ after: 'end' }));
      expect((await items.next()).kind).toBe('caught-up');
      const pulled = items.next();
      server.faults.unavailable(Infinity, ['subscribe']);
      server.faults.abortSubscriptionsAsSlow();
      expect(await appendUntilKnown([append(stream, -1, newEvent())])).toEqual(['appended 0']);
      server.faults.clear();
      let item = await pulled;
      while (item.kind !== 'event') item = await items.next();
      expect(item.event).toMatchObject({ stream, revision: 0 });
      await items.end();
    });

    it('begins when the server comes', async () => {
      const stream = newStream();
      await appendOne(store, stream, -1, newEvents(1));
      await server.stop();
      const seen = revisionsOf(store.subscribe({ after: 'start' }), stream, 1);
      await new Promise((resolve) => setTimeout(resolve, 200));
      await server.restart();
      expect(await seen).toEqual([0]);
    });

    it('ends while it waits to be tried again', async () => {
      await server.stop();
      const controller = new AbortController();
      const ended = collect(store.subscribe({ after: 'start', signal: controller.signal }));
      setTimeout(() => controller.abort(), 200);
      expect(await ended).toEqual([]);
    });
  });

  describe('a read', () => {
    it('is unavailable while nobody listens, and goes through afterwards', async () => {
      const stream = newStream();
      await appendOne(store, stream, -1, newEvents(1));
      await server.stop();
      await expect(collect(store.readStream(stream))).rejects.toMatchObject({ code: 'unavailable' });
      await server.restart();
      for (;;) {
        const read = await collect(store.readStream(stream)).catch(() => null);
        if (read !== null) {
          expect(read).toHaveLength(1);
          return;
        }
      }
    });

    it('does not look complete where the server breaks it off', async () => {
      const stream = newStream();
      await fill(store, stream, 1000);
      let count = 0;
      const reading = (async () => {
        for await (const _ of store.readStream(stream)) if (++count === 10) await server.stop();
      })();
      await expect(reading).rejects.toMatchObject({ name: 'EventStoreError', code: 'unavailable' });
      expect(count).toBeLessThan(1000);
    });
  });

  describe('health', () => {
    it('says in one line what is wrong, and is good again when the server is back', async () => {
      expect(await store.health()).toBeNull();
      await server.stop();
      expect(await store.health()).toMatch(/^event store 127\.0\.0\.1:\d+: .+$/);
      await server.restart();
      while ((await store.health()) !== null) await new Promise((resolve) => setTimeout(resolve, 20));
      expect(lines.filter((line) => line.startsWith('warn The event store does not'))).toHaveLength(1);
      expect(lines.filter((line) => line.startsWith('info The event store answers again'))).toHaveLength(1);
    });

    it('holds a failed append against the store until one succeeds', async () => {
      server.faults.unavailable(1, ['append']);
      expect(brief(await appendOne(store, newStream(), -1, newEvents(1)))).toMatch(/^failed/);
      expect(await store.health()).toMatch(/^event store .+$/);
      expect(await appendUntilKnown([append(newStream(), -1, newEvent())])).toEqual(['appended 0']);
      expect(await store.health()).toBeNull();
    });
  });

  it('leaves nothing behind that keeps a process alive when it is closed', async () => {
    const closer = fileURLToPath(new URL('eventstoredb.closer.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', closer, server.connectionString], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(JSON.parse(output)).toEqual({ appended: 'appended', before: true, ended: true });
    expect(code).toBe(0);
  });

  it('answers what was called before a close, though the server is gone', async () => {
    await server.stop();
    const appending = store.append([append(newStream(), -1, newEvent())]);
    await store.close();
    expect((await appending).map(brief)).toEqual(['failed unavailable']);
  });
});
