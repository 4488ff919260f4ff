import {
  eventTypeFilter,
  streamNameFilter,
  type EventStoreDBClient,
  type Filter,
  type Position,
} from '@eventstore/db-client';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EventStoreServer } from '../support/eventstore-server/index.js';
import {
  change,
  changes,
  closeAll,
  connect,
  follow,
  newName,
  startServer,
} from './eventstore-server.support.js';

describe('Subscriptions', () => {
  let server: EventStoreServer;
  let client: EventStoreDBClient;

  beforeAll(async () => {
    server = await startServer();
    client = connect(server);
  });

  afterAll(closeAll);

  describe('to a stream', () => {
    it('confirm, catch up, say so and go on live', async () => {
      const stream = newName();
      await client.appendToStream(stream, changes(2));
      const subscription = client.subscribeToStream(stream);
      const { until } = follow(subscription);
      const caughtUp = ['confirmation', `${stream}@0`, `${stream}@1`, 'caughtUp'];
      expect(await until((notes) => notes.includes('caughtUp'))).toEqual(caughtUp);
      await client.appendToStream(newName(), change());
      await client.appendToStream(stream, changes(2));
      const live = [...caughtUp, `${stream}@2`, `${stream}@3`];
      expect(await until((notes) => notes.length === live.length)).toEqual(live);
      await subscription.unsubscribe();
    });

    it.each([
      ['after the revision that they start from', 0n, ['1', '2']],
      ['after the last one', 'end', ['2']],
    ] as const)('begin %s', async (_name, fromRevision, expected) => {
      const stream = newName();
      await client.appendToStream(stream, changes(2));
      const subscription = client.subscribeToStream(stream, { fromRevision });
      const { until } = follow(subscription);
      await until((notes) => notes.includes('caughtUp'));
      await client.appendToStream(stream, change());
      const notes = await until((seen) => seen.includes(`${stream}@2`));
      const events = notes.filter((note) => note.startsWith(stream));
      expect(events).toEqual(expected.map((revision) => `${stream}@${revision}`));
      await subscription.unsubscribe();
    });

    it('may begin behind the end, and pass over what comes before', async () => {
      const stream = newName();
      const subscription = client.subscribeToStream(stream, { fromRevision: 2n });
      const { until } = follow(subscription);
      await until((notes) => notes.includes('caughtUp'));
      for (const _time of [0, 1, 2, 3]) await client.appendToStream(stream, change());
      const expected = ['confirmation', 'caughtUp', `${stream}@3`];
      expect(await until((notes) => notes.length === expected.length)).toEqual(expected);
      await subscription.unsubscribe();
    });

    it('wait for a missing one to come', async () => {
      const stream = newName();
      const subscription = client.subscribeToStream(stream);
      const { until } = follow(subscription);
      expect(await until((notes) => notes.includes('caughtUp'))).toEqual(['confirmation', 'caughtUp']);
      await client.appendToStream(stream, change());
      await until((notes) => notes.includes(`${stream}@0`));
      await subscription.unsubscribe();
    });

    it('fail when it is tombstoned', async () => {
      const stream = newName();
      await client.appendToStream(stream, change());
      const { error, until } = follow(client.subscribeToStream(stream));
      await until((notes) => notes.includes('caughtUp'));
      await client.tombstoneStream(stream);
      expect(await error).toMatchObject({ type: 'stream-deleted' });
    });
  });

  describe('to $all', () => {
    it('begin after the position that they start from, and lose nothing between catching up and live', async () => {
      const stream = newName();
      const first = await client.appendToStream(stream, change());
      const subscription = client.subscribeToAll({ fromPosition: first.position ?? 'end' });
      const { until } = follow(subscription);
      const appends = Array.from({ length: 300 }, () => client.appendToStream(stream, change()));
      await Promise.all(appends);
      const notes = await until((seen) => seen.includes(`${stream}@300`));
      const events = notes.filter((note) => note.startsWith(stream));
      expect(events).toEqual(Array.from({ length: 300 }, (_, index) => `${stream}@${index + 1}`));
      await subscription.unsubscribe();
    });

    it('end on the server when the client lets go of them', async () => {
      const subscription = client.subscribeToAll();
      const { until } = follow(subscription);
      await until((notes) => notes.includes('caughtUp'));
      await subscription.unsubscribe();
      while (server.storage.logListeners.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    });
  });

  describe('with a filter', () => {
    async function seen(filter: Filter, from: Position, last: string): Promise<string[]> {
      const subscription = client.subscribeToAll({ filter, fromPosition: from });
      const { until } = follow(subscription);
      const notes = await until((all) => all.includes(last));
      await subscription.unsubscribe();
      return notes.filter((note) => note.includes('@'));
    }

    it.each([
      ['a prefix of the stream', (name: string) => streamNameFilter({ prefixes: ['none-', `${name}a`] })],
      ['a pattern of the stream', (name: string) => streamNameFilter({ regex: `^${name}a$` })],
    ])('show only what %s allows', async (_name, filter) => {
      const name = newName();
      const { position } = await client.appendToStream(newName(), change());
      await client.appendToStream(`${name}b`, change());
      await client.appendToStream(`${name}a`, changes(2));
      expect(await seen(filter(name), position as Position, `${name}a@1`)).toEqual([
        `${name}a@0`,
        `${name}a@1`,
      ]);
    });

    it('show only what the type allows', async () => {
      const name = newName();
      const { position } = await client.appendToStream(newName(), change());
      await client.appendToStream(name, [
        change(),
        { ...change(), type: 'other-1' },
        { ...change(), type: 'third' },
      ]);
      const filter = eventTypeFilter({ prefixes: ['other-'] });
      expect(await seen(filter, position as Position, `${name}@1`)).toEqual([`${name}@1`]);
    });

    /** Windows of `window` events, an interval of two windows; eight events to catch up with, five to come live. */
    async function checkpoints(of: EventStoreServer, window?: number): Promise<string[]> {
      const own = connect(of);
      const [name, other] = [newName('mine'), newName('other')];
      const { position } = await own.appendToStream(other, change());
      await own.appendToStream(other, changes(7));
      await own.appendToStream(name, change());
      const subscription = own.subscribeToAll({
        fromPosition: position as Position,
        filter: streamNameFilter({
          prefixes: ['mine-'],
          maxSearchWindow: window,
          checkpointInterval: 2,
          checkpointReached: (_subscription, { commit }) => {
            const at = of.storage.log.find((event) => BigInt(event.position) === commit);
            told.note(`checkpoint ${at?.stream}@${at?.revision}`);
          },
        }),
      });
      const told = follow(subscription);
      await told.until((notes) => notes.includes('caughtUp'));
      await own.appendToStream(other, changes(4));
      await own.appendToStream(name, change());
      const notes = await told.until((all) => all.includes(`${name}@1`));
      await subscription.unsubscribe();
      return notes.map((note) => note.replace(name, 'mine').replace(other, 'other'));
    }

    it('tell a checkpoint for each interval of windows and before they have caught up', async () => {
      expect(await checkpoints(await startServer(), 2)).toEqual([
        'confirmation',
        'checkpoint other@4',
        'mine@0',
        'checkpoint mine@0',
        'checkpoint mine@0',
        'caughtUp',
        'checkpoint other@11',
        'mine@1',
      ]);
    });

    it('tell only the latter when the interval is longer, as with windows of the default of 32', async () => {
      const expected = ['confirmation', 'mine@0', 'checkpoint mine@0', 'caughtUp', 'mine@1'];
      expect(await checkpoints(await startServer())).toEqual(expected);
    });

    it('tell none before they have caught up on servers before 24.10', async () => {
      const own = await startServer({ checkpointBeforeCaughtUp: false });
      expect(await checkpoints(own)).toEqual(['confirmation', 'mine@0', 'caughtUp', 'mine@1']);
    });
  });
});
