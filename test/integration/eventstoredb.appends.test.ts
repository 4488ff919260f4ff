import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import {
  append,
  appendOne,
  brief,
  collect,
  idsOf,
  newEvent,
  newEvents,
  newStream,
} from '../contracts/event-store.support.js';
import { startEventStoreServer } from '../support/eventstore-server/index.js';
import { withFaultyStore } from './eventstoredb.support.js';

describe('appends to EventStoreDB that fails', () => {
  const at = withFaultyStore();

  describe('an append', () => {
    it('has an unknown outcome where the answer is lost, and is recognised when it comes again', async () => {
      const stream = newStream();
      const events = newEvents(2);
      at.server.faults.dropResponseAfterAppend(1);
      expect(brief(await appendOne(at.store, stream, -1, events))).toBe('failed outcome-unknown');
      expect(brief(await appendOne(at.store, stream, -1, events))).toBe('appended 1');
      expect(idsOf(await collect(at.store.readStream(stream)))).toEqual(idsOf(events));
    });

    it('has an unknown outcome where no answer comes in time', async () => {
      const impatient = at.open({ connectionString: `${at.server.connectionString}&defaultDeadline=300` });
      const stream = newStream();
      const events = newEvents(1);
      at.server.faults.dropResponseAfterAppend(1, 'hang');
      const result = await appendOne(impatient, stream, -1, events);
      expect(brief(result)).toBe('failed outcome-unknown');
      expect(result).toMatchObject({ error: { canRetry: true } });
      expect(await at.appendUntilKnown([append(stream, -1, ...events)], impatient)).toEqual(['appended 0']);
      await impatient.close();
    });

    it('takes place exactly once, whatever answers are lost, among many in flight', async () => {
      const streams = Array.from({ length: 300 }, newStream);
      const appends = streams.map((stream) => append(stream, -1, newEvent(), newEvent()));
      at.server.faults.dropResponseAfterAppend(5);
      expect(await at.appendUntilKnown(appends)).toEqual(streams.map(() => 'appended 1'));
      for (const { stream, events } of appends) {
        expect(idsOf(await collect(at.store.readStream(stream)))).toEqual(idsOf(events));
      }
    });

    it('goes through when the server has been restarted', async () => {
      const stream = newStream();
      expect(brief(await appendOne(at.store, stream, -1, newEvents(1)))).toBe('appended 0');
      await at.server.restart();
      expect(await at.appendUntilKnown([append(stream, 0, newEvent())])).toEqual(['appended 1']);
    });

    it('loses nothing and records nothing twice while the server restarts over and over', async () => {
      const streams = Array.from({ length: 20 }, newStream);
      const write = async (stream: string): Promise<void> => {
        for (let n = 0; n < 25; n++) {
          expect(await at.appendUntilKnown([append(stream, n - 1, newEvent({ n }))])).toEqual([
            `appended ${n}`,
          ]);
        }
      };
      let done = false;
      const restarting = (async () => {
        while (!done) {
          await new Promise((resolve) => setTimeout(resolve, 30));
          await at.server.restart();
        }
      })();
      await Promise.all(streams.map(write));
      done = true;
      await restarting;
      for (const stream of streams) {
        const recorded = await collect(at.store.readStream(stream));
        expect(recorded.map(({ data }) => data.toString())).toEqual(
          Array.from({ length: 25 }, (_, n) => `{"n":${n}}`),
        );
      }
    });

    it('is unavailable, with nothing recorded, while nobody listens', async () => {
      await at.server.stop();
      const result = await appendOne(at.store, newStream(), -1, newEvents(1));
      expect(brief(result)).toBe('failed unavailable');
      expect(result).toMatchObject({ error: { canRetry: true, message: expect.stringMatching(/^.+$/) } });
    });

    it('finds the leader where the node says that it is not', async () => {
      const stream = newStream();
      at.server.faults.notLeader(1);
      expect(await at.appendUntilKnown([append(stream, -1, newEvent())])).toEqual(['appended 0']);
    });

    it('waits for a server that has not finished its start', async () => {
      at.server.faults.notReady(3);
      expect(await at.appendUntilKnown([append(newStream(), -1, newEvent())])).toEqual(['appended 0']);
    });

    it('does not take a conflict for one that contradicts itself', async () => {
      const stream = newStream();
      await appendOne(at.store, stream, -1, newEvents(2));
      at.server.faults.wrongExpectedVersion(1);
      expect(brief(await appendOne(at.store, stream, 1, newEvents(1)))).toBe('failed outcome-unknown');
      expect(brief(await appendOne(at.store, stream, 1, newEvents(1)))).toBe('appended 2');
    });

    it('is too large where the server says so, and only that one', async () => {
      const generous = at.open({ maxAppendBytes: 8 * 1024 * 1024 });
      const large = { ...newEvent(), data: Buffer.from(JSON.stringify('x'.repeat(2 * 1024 * 1024))) };
      const results = await generous.append([
        append(newStream(), -1, large),
        append(newStream(), -1, newEvent()),
      ]);
      expect(results.map(brief)).toEqual(['failed too-large', 'appended 0']);
      await generous.close();
    });

    it('never has more in flight than the window', async () => {
      const narrow = at.open({ maxInFlightCount: 8 });
      at.server.faults.delayMs = 5;
      const results = await narrow.append(
        Array.from({ length: 100 }, () => append(newStream(), -1, newEvent())),
      );
      expect(new Set(results.map(brief))).toEqual(new Set(['appended 0']));
      expect(at.server.stats.maxBatchAppendsInFlight).toBeLessThanOrEqual(8);
      expect(at.server.stats.maxBatchAppendsInFlight).toBeGreaterThan(1);
      await narrow.close();
    });

    it('of one store does not fail with the calls of another', async () => {
      const other = await startEventStoreServer();
      const unharmed = at.open({ connectionString: other.connectionString });
      other.faults.delayMs = 300;
      const waiting = unharmed.append([append(newStream(), -1, newEvent())]);
      at.server.faults.dropResponseAfterAppend(1);
      await appendOne(at.store, newStream(), -1, newEvents(1));
      expect((await waiting).map(brief)).toEqual(['appended 0']);
      await unharmed.close();
      await other.stop();
    });
  });

  describe('health', () => {
    it('says in one line what is wrong, and is good again when the server is back', async () => {
      expect(await at.store.health()).toBeNull();
      await at.server.stop();
      expect(await at.store.health()).toMatch(
        /^EVENTSTORE_CONNECTION_STRING: event store 127\.0\.0\.1:\d+: .+$/,
      );
      await at.server.restart();
      while ((await at.store.health()) !== null) await new Promise((resolve) => setTimeout(resolve, 20));
      expect(at.lines.filter((line) => line.startsWith('warn The event store does not'))).toHaveLength(1);
      expect(at.lines.filter((line) => line.startsWith('info The event store answers again'))).toHaveLength(
        1,
      );
    });

    it('holds a failed append against the store until one succeeds', async () => {
      at.server.faults.unavailable(1, ['append']);
      expect(brief(await appendOne(at.store, newStream(), -1, newEvents(1)))).toMatch(/^failed/);
      expect(await at.store.health()).toMatch(/^EVENTSTORE_CONNECTION_STRING: event store .+$/);
      expect(await at.appendUntilKnown([append(newStream(), -1, newEvent())])).toEqual(['appended 0']);
      expect(await at.store.health()).toBeNull();
    });
  });

  it('leaves nothing behind that keeps a process alive when it is closed', async () => {
    const closer = fileURLToPath(new URL('eventstoredb.closer.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', closer, at.server.connectionString], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(JSON.parse(output)).toEqual({ appended: 'appended', before: true, ended: true });
    expect(code).toBe(0);
  });

  it('answers what was called before a close, though the server is gone', async () => {
    await at.server.stop();
    const appending = at.store.append([append(newStream(), -1, newEvent())]);
    await at.store.close();
    expect((await appending).map(brief)).toEqual(['failed unavailable']);
  });
});
