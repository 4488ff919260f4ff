import { randomUUID } from 'node:crypto';
import { binaryEvent, jsonEvent, type EventStoreDBClient } from '@eventstore/db-client';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerStorage, type EventStoreServer } from '../support/eventstore-server/index.js';
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

const MIB = 1024 * 1024;

afterAll(closeAll);

describe.each([
  ['in batches', true],
  ['one by one', false],
])('Appends %s', (_how, batchAppend) => {
  let server: EventStoreServer;
  let client: EventStoreDBClient;

  beforeAll(async () => {
    server = await startServer({ batchAppend });
    client = connect(server);
  });

  it('take the way that the server offers', async () => {
    const before = server.stats.batchAppends;
    await client.appendToStream(newName(), change());
    expect(server.stats.batchAppends - before).toBe(batchAppend ? 1 : 0);
  });

  it('number the events of a stream from 0 and return revision and position of the last one', async () => {
    const stream = newName();
    const first = await client.appendToStream(stream, changes(2), { expectedRevision: 'no_stream' });
    const second = await client.appendToStream(stream, change(), { expectedRevision: 1n });
    expect([first.nextExpectedRevision, second.nextExpectedRevision]).toEqual([1n, 2n]);
    const positions = [first.position, second.position].map((position) => position?.commit ?? 0n);
    expect(positions[0]).toBeGreaterThan(2n);
    expect(positions[1]).toBeGreaterThan((positions[0] ?? 0n) + 1n);
    expect(first.position?.prepare).toBe(first.position?.commit);
  });

  it('record id, type, data, metadata and time as they were given', async () => {
    const stream = newName('größe');
    const id = randomUUID();
    const before = Date.now();
    await client.appendToStream(stream, [
      jsonEvent({ id, type: 'größer', data: { an: 'ü', list: [1] }, metadata: { $correlationId: 'c' } }),
      binaryEvent({ type: 'binary', data: Uint8Array.of(0, 255), metadata: Uint8Array.of(1, 2) }),
    ]);
    const [json, binary] = await all(client.readStream(stream));
    expect(json?.event).toMatchObject({ streamId: stream, id, type: 'größer', isJson: true, revision: 0n });
    expect(json?.event).toMatchObject({ data: { an: 'ü', list: [1] }, metadata: { $correlationId: 'c' } });
    const created = json?.event?.created?.getTime() ?? 0;
    expect(created).toBeGreaterThanOrEqual(before);
    expect(created).toBeLessThanOrEqual(Date.now());
    expect(json?.event?.position?.commit).toBe(json?.commitPosition);
    expect(binary?.event).toMatchObject({ type: 'binary', isJson: false });
    expect([...(binary?.event?.data as Uint8Array)]).toEqual([0, 255]);
    expect([...(binary?.event?.metadata as Uint8Array)]).toEqual([1, 2]);
  });

  it.each([
    ['an exact revision behind the last', 0n, 2n],
    ['an exact revision before the last', 7n, 2n],
    ['no stream', 'no_stream', 2n],
  ] as const)(
    'with %s are refused with the current revision',
    async (_name, expectedRevision, actualVersion) => {
      const stream = newName();
      await client.appendToStream(stream, changes(3));
      const error = await errorOf(client.appendToStream(stream, change(), { expectedRevision }));
      expect(error).toMatchObject({ type: 'wrong-expected-version', streamName: stream });
      expect(error).toMatchObject({ expectedVersion: expectedRevision, actualVersion });
      expect(await revisions(client.readStream(stream))).toHaveLength(3);
    },
  );

  it.each([['stream_exists'], [0n]] as const)(
    'to a missing stream with %s are refused',
    async (expectedRevision) => {
      const error = await errorOf(client.appendToStream(newName(), change(), { expectedRevision }));
      expect(error).toMatchObject({ expectedVersion: expectedRevision, actualVersion: 'no_stream' });
    },
  );

  it('are recognised by their ids when repeated with any revision', async () => {
    const stream = newName();
    const events = changes(2);
    const first = await client.appendToStream(stream, events);
    await client.appendToStream(stream, change());
    expect(await client.appendToStream(stream, events)).toEqual(first);
    expect(await client.appendToStream(stream, events, { expectedRevision: 'stream_exists' })).toEqual(first);
    expect(await revisions(client.readStream(stream))).toHaveLength(3);
  });

  it('with any revision are all appended when the first id is new, refused when only a later one is', async () => {
    const stream = newName();
    const [known, other] = [change(), change()];
    await client.appendToStream(stream, known);
    await client.appendToStream(stream, [other, known]);
    expect(await revisions(client.readStream(stream))).toHaveLength(3);
    const error = await errorOf(client.appendToStream(stream, [known, change()]));
    expect(error).toMatchObject({ type: 'wrong-expected-version', actualVersion: 2n });
  });

  it('are recognised when repeated with the same exact revision, and return the original one', async () => {
    const stream = newName();
    const [first, second] = [changes(2), changes(2)];
    await client.appendToStream(stream, first, { expectedRevision: 'no_stream' });
    await client.appendToStream(stream, second, { expectedRevision: 1n });
    await client.appendToStream(stream, change());
    const again = await client.appendToStream(stream, first, { expectedRevision: 'no_stream' });
    expect(again.nextExpectedRevision).toBe(1n);
    const laterAgain = await client.appendToStream(stream, second, { expectedRevision: 1n });
    expect(laterAgain.nextExpectedRevision).toBe(3n);
    const elsewhere = errorOf(client.appendToStream(stream, second, { expectedRevision: 0n }));
    expect(await elsewhere).toMatchObject({ type: 'wrong-expected-version', actualVersion: 4n });
  });

  it('with any revision are forgotten when many have come since, with an exact one they are not', async () => {
    const forgetful = connect(await startServer({ batchAppend, storage: new ServerStorage(10) }));
    const [stream, exact] = [newName(), newName()];
    const event = change();
    await forgetful.appendToStream(stream, event);
    await forgetful.appendToStream(exact, event, { expectedRevision: 'no_stream' });
    await forgetful.appendToStream(newName(), changes(20));
    expect((await forgetful.appendToStream(stream, event)).nextExpectedRevision).toBe(1n);
    const again = await forgetful.appendToStream(exact, event, { expectedRevision: 'no_stream' });
    expect(again.nextExpectedRevision).toBe(0n);
  });

  it('tell ids apart by stream', async () => {
    const event = change();
    await client.appendToStream(newName(), event);
    const other = newName();
    await client.appendToStream(other, event);
    expect(await revisions(client.readStream(other))).toEqual(['0']);
  });

  it('of no event succeed with the current revision', async () => {
    const stream = newName();
    await client.appendToStream(stream, changes(3));
    expect((await client.appendToStream(stream, [])).nextExpectedRevision).toBe(2n);
    expect((await client.appendToStream(stream, [], { expectedRevision: 2n })).nextExpectedRevision).toBe(2n);
  });

  it('are limited to 1 MiB of data, metadata and twice the type', async () => {
    const stream = newName();
    const ofSize = (size: number) =>
      binaryEvent({ type: 'four', data: new Uint8Array(size - 8 - 2), metadata: new Uint8Array(2) });
    await client.appendToStream(stream, ofSize(MIB));
    const error = await errorOf(client.appendToStream(stream, ofSize(MIB + 1)));
    expect(error).toMatchObject({ type: 'maximum-append-size-exceeded', maxAppendSize: MIB });
    const together = await errorOf(client.appendToStream(stream, [ofSize(MIB / 2), ofSize(MIB / 2 + 1)]));
    expect(together).toMatchObject({ type: 'maximum-append-size-exceeded' });
    expect(await revisions(client.readStream(stream))).toEqual(['0']);
  });

  it('are limited by the event where the server does so', async () => {
    const later = connect(await startServer({ batchAppend, maxEventBytes: 100 }));
    const stream = newName();
    const ofSize = (size: number) => binaryEvent({ type: 'four', data: new Uint8Array(size - 8) });
    await later.appendToStream(stream, [ofSize(100), ofSize(100)]);
    const error = await errorOf(later.appendToStream(stream, ofSize(101)));
    expect(error).toMatchObject({ type: 'maximum-append-size-exceeded', maxAppendSize: 100 });
  });

  it('go on numbering after a soft delete, and the old events stay hidden', async () => {
    const stream = newName();
    await client.appendToStream(stream, changes(2));
    await client.deleteStream(stream);
    const error = await errorOf(
      client.appendToStream(stream, change(), { expectedRevision: 'stream_exists' }),
    );
    expect(error).toMatchObject({ type: 'stream-deleted' });
    const again = await client.appendToStream(stream, change(), { expectedRevision: 'no_stream' });
    expect(again.nextExpectedRevision).toBe(2n);
    expect(await revisions(client.readStream(stream))).toEqual(['2']);
    expect((await client.getStreamMetadata(stream)).metadata?.truncateBefore).toBe(2);
  });

  it('to a tombstoned stream or its metadata are refused for good', async () => {
    const stream = newName();
    await client.appendToStream(stream, change());
    await client.tombstoneStream(stream);
    const error = await errorOf(client.appendToStream(stream, change()));
    expect(error).toMatchObject({ type: 'stream-deleted', streamName: stream });
    expect(await errorOf(client.setStreamMetadata(stream, { maxCount: 1 }))).toMatchObject({
      type: 'stream-deleted',
    });
  });

  it('may come in several chunks', async () => {
    const stream = newName();
    await client.appendToStream(stream, changes(50), { batchAppendSize: 200 });
    expect(await revisions(client.readStream(stream))).toHaveLength(50);
  });

  it('of many streams at once are each answered with their own revision', async () => {
    const streams = Array.from({ length: 200 }, () => newName());
    const results = await Promise.all(
      streams.map((stream, index) => client.appendToStream(stream, changes(1 + (index % 3)))),
    );
    expect(results.map(({ nextExpectedRevision }) => nextExpectedRevision)).toEqual(
      streams.map((_stream, index) => BigInt(index % 3)),
    );
  });

  it('are refused by a value where the client does not throw', async () => {
    const quiet = connect(server, '&throwOnAppendFailure=false');
    const stream = newName();
    await quiet.appendToStream(stream, changes(5));
    const result = await quiet.appendToStream(stream, change(), { expectedRevision: 0n });
    // The client reports 1 for every stream that exists when it appends in batches.
    expect(result).toMatchObject({ success: false, nextExpectedRevision: batchAppend ? 1n : 4n });
  });
});
