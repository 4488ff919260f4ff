import type { EventStoreDBClient } from '@eventstore/db-client';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EventStoreServer } from '../support/eventstore-server/index.js';
import {
  all,
  change,
  changes,
  closeAll,
  connect,
  errorOf,
  newName,
  revisions,
  startServer,
} from './eventstore-server.support.js';

describe('Reads', () => {
  let server: EventStoreServer;
  let client: EventStoreDBClient;
  let stream: string;

  beforeAll(async () => {
    server = await startServer();
    client = connect(server);
    stream = newName();
    await client.appendToStream(stream, changes(5));
  });

  afterAll(closeAll);

  describe('of a stream', () => {
    it.each([
      ['forwards from its start', {}, '01234'],
      ['forwards from a revision on', { fromRevision: 2n }, '234'],
      ['forwards from its end', { fromRevision: 'end' }, ''],
      ['forwards from behind its end', { fromRevision: 9n }, ''],
      ['forwards with a count', { fromRevision: 1n, maxCount: 2 }, '12'],
      ['backwards from its end', { direction: 'backwards', fromRevision: 'end' }, '43210'],
      ['backwards from a revision on', { direction: 'backwards', fromRevision: 2n }, '210'],
      ['backwards from behind its end', { direction: 'backwards', fromRevision: 9n, maxCount: 1 }, '4'],
      ['backwards from its start', { direction: 'backwards', fromRevision: 'start' }, '0'],
    ] as const)('go %s', async (_name, options, expected) => {
      expect((await revisions(client.readStream(stream, options))).join('')).toBe(expected);
    });

    it('say of a missing one that it was not found', async () => {
      const error = await errorOf(all(client.readStream(newName())));
      expect(error).toMatchObject({ type: 'stream-not-found' });
    });

    it('find a soft-deleted one no more, and metadata of 2^63 - 1 in its metadata stream', async () => {
      const name = newName();
      await client.appendToStream(name, changes(2));
      await client.setStreamMetadata(name, { custom: 'kept' });
      await client.deleteStream(name, { expectedRevision: 1n });
      expect(await errorOf(all(client.readStream(name)))).toMatchObject({ type: 'stream-not-found' });
      const [metadata] = server.storage.log.slice(-1);
      expect(Buffer.from(metadata?.data ?? []).toString()).toContain('"$tb":9223372036854775807');
      expect((await client.getStreamMetadata(name)).metadata).toMatchObject({ custom: 'kept' });
    });

    it('of a tombstoned one fail as of a deleted one', async () => {
      const name = newName();
      await client.appendToStream(name, change());
      await client.tombstoneStream(name, { expectedRevision: 0n });
      expect(await errorOf(all(client.readStream(name)))).toMatchObject({
        type: 'stream-deleted',
        streamName: name,
      });
      expect(await errorOf(client.deleteStream(name))).toMatchObject({ type: 'stream-deleted' });
    });

    it('show bad JSON as text', async () => {
      const name = newName();
      const broken = { ...change(), contentType: 'application/octet-stream', data: Buffer.from('{"a":') };
      await client.appendToStream(name, broken as never);
      const [recorded] = server.storage.log.slice(-1);
      Object.assign(recorded ?? {}, { contentType: 'application/json' });
      expect((await all(client.readStream(name)))[0]?.event?.data).toBe('{"a":');
    });
  });

  describe('honour the metadata of the stream:', () => {
    it('its count', async () => {
      const name = newName();
      await client.appendToStream(name, changes(5));
      await client.setStreamMetadata(name, { maxCount: 2 });
      expect(await revisions(client.readStream(name))).toEqual(['3', '4']);
      const backwards = client.readStream(name, { direction: 'backwards', fromRevision: 'end' });
      expect(await revisions(backwards)).toEqual(['4', '3']);
      await client.appendToStream(name, change(), { expectedRevision: 4n });
      expect(await revisions(client.readStream(name))).toEqual(['4', '5']);
    });

    it('its first revision, also when that leaves no event', async () => {
      const name = newName();
      await client.appendToStream(name, changes(3));
      await client.setStreamMetadata(name, { truncateBefore: 1 });
      expect(await revisions(client.readStream(name))).toEqual(['1', '2']);
      await client.setStreamMetadata(name, { truncateBefore: 3 });
      expect(await revisions(client.readStream(name))).toEqual([]);
    });

    it('its age', async () => {
      const name = newName();
      await client.appendToStream(name, changes(2));
      await client.setStreamMetadata(name, { maxAge: 60 });
      expect(await revisions(client.readStream(name))).toHaveLength(2);
      const [oldest] = server.storage.stream(name).events;
      Object.assign(oldest ?? {}, { created: Date.now() - 61_000 });
      expect(await revisions(client.readStream(name))).toEqual(['1']);
    });

    it('the last one written counts, and is all that a metadata stream shows', async () => {
      const name = newName();
      await client.appendToStream(name, changes(3));
      await client.setStreamMetadata(name, { maxCount: 1 });
      await client.setStreamMetadata(name, { maxCount: 2 });
      expect(await revisions(client.readStream(`$$${name}`))).toEqual(['1']);
      expect(await revisions(client.readStream(name))).toHaveLength(2);
    });
  });

  describe('of $all', () => {
    it('begin with events of the server itself, at positions that grow with gaps', async () => {
      const events = await all(client.readAll());
      expect(events[0]?.event).toMatchObject({ type: '$metadata' });
      const positions = events.map(({ event }) => event?.position?.commit ?? 0n);
      expect(positions[0]).toBeGreaterThan(2n);
      for (const [index, position] of positions.slice(1).entries()) {
        expect(position).toBeGreaterThan((positions[index] ?? 0n) + 1n);
      }
      expect(events.every(({ event }) => event?.position?.prepare === event?.position?.commit)).toBe(true);
    });

    it('show tombstones and what the metadata of a stream hides from its own reads', async () => {
      const name = newName();
      await client.appendToStream(name, changes(2));
      await client.setStreamMetadata(name, { maxCount: 1 });
      await client.tombstoneStream(name);
      const events = (await all(client.readAll())).filter(({ event }) => event?.streamId === name);
      expect(events.map(({ event }) => [event?.type, event?.revision])).toEqual([
        ['changed', 0n],
        ['changed', 1n],
        ['$streamDeleted', 2n ** 63n - 1n],
      ]);
    });

    it('include the position that they start at forwards and leave it out backwards', async () => {
      const ids = async (options: Parameters<EventStoreDBClient['readAll']>[0]) =>
        (await all(client.readAll(options))).map(({ event }) => event?.id);
      const events = (await all(client.readAll())).map(({ event }) => event);
      const fromPosition = events[3]?.position ?? 'end';
      const known = events.map((event) => event?.id);
      expect(await ids({ fromPosition, maxCount: 2 })).toEqual([known[3], known[4]]);
      expect(await ids({ fromPosition, direction: 'backwards' })).toEqual([known[2], known[1], known[0]]);
      expect(await ids({ fromPosition: 'end' })).toEqual([]);
      expect(await ids({ fromPosition: 'end', direction: 'backwards', maxCount: 1 })).toEqual([known.at(-1)]);
      expect(await ids({ fromPosition: 'start', direction: 'backwards' })).toEqual([]);
    });

    it('give as many as there are', async () => {
      const name = newName('many');
      const before = (await all(client.readAll())).length;
      await client.appendToStream(name, changes(3_000));
      expect(await all(client.readAll())).toHaveLength(before + 3_000);
    });
  });

  describe('after a delete that expects another revision', () => {
    it.each([['deleteStream'], ['tombstoneStream']] as const)('of %s are as before', async (method) => {
      const error = await errorOf(client[method](stream, { expectedRevision: 2n }));
      expect(error).toMatchObject({ type: 'wrong-expected-version', expectedVersion: 2n, actualVersion: 4n });
      expect(await revisions(client.readStream(stream))).toHaveLength(5);
    });
  });

  it('find everything again with the next server on the same storage', async () => {
    const name = newName();
    const event = change();
    const first = await client.appendToStream(name, event);
    const next = connect(await startServer({ storage: server.storage }));
    expect(await revisions(next.readStream(name))).toEqual(['0']);
    expect(await next.appendToStream(name, event)).toEqual(first);
  });
});
