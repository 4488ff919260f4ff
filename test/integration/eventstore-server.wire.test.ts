import { randomUUID } from 'node:crypto';
import { credentials, status, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import grpc from '@eventstore/db-client/generated/streams_grpc_pb.js';
import features from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import streams, {
  type AppendResp,
  type BatchAppendReq,
  type BatchAppendResp,
  type ReadResp,
} from '@eventstore/db-client/generated/streams_pb.js';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EventStoreServer } from '../support/eventstore-server/index.js';
import { all, closeAll, newName, startServer } from './eventstore-server.support.js';

/** What the client never sends or does not pass on, seen through its generated classes. */
describe('On the wire, the test server', () => {
  let server: EventStoreServer;
  let client: InstanceType<typeof grpc.StreamsClient>;

  beforeAll(async () => {
    server = await startServer();
    client = new grpc.StreamsClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
  });

  afterAll(async () => {
    client.close();
    await closeAll();
  });

  const identifier = (name: string) => new shared.StreamIdentifier().setStreamName(Buffer.from(name));
  const uuid = (text: string = randomUUID()) => new shared.UUID().setString(text);

  function appendOne(
    options: InstanceType<typeof streams.AppendReq.Options>,
    metadata: Record<string, string>,
  ): Promise<AppendResp> {
    return new Promise((resolve, reject) => {
      const call = client.append((error, response) => {
        if (error) reject(error);
        else resolve(response);
      });
      call.write(new streams.AppendReq().setOptions(options));
      const event = new streams.AppendReq.ProposedMessage().setId(uuid());
      for (const [key, value] of Object.entries(metadata)) event.getMetadataMap().set(key, value);
      call.write(new streams.AppendReq().setProposedMessage(event));
      call.end();
    });
  }

  const COMPLETE = { type: 'changed', 'content-type': 'application/json' };

  it.each([['type'], ['content-type']] as const)('refuses an append without %s', async (missing) => {
    const { [missing]: _left, ...metadata } = COMPLETE;
    const options = new streams.AppendReq.Options()
      .setStreamIdentifier(identifier(newName()))
      .setAny(new shared.Empty());
    const error = (await appendOne(options, metadata as Record<string, string>).catch(
      (e: unknown) => e,
    )) as ServiceError;
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.metadata.getMap()).toMatchObject({
      exception: 'missing-required-metadata-property',
      'required-metadata-properties': 'type,content-type',
    });
  });

  it('answers a wrong expected revision in the fields of now and of 20.6.0', async () => {
    const options = new streams.AppendReq.Options()
      .setStreamIdentifier(identifier(newName()))
      .setRevision('18');
    const missing = (await appendOne(options, COMPLETE)).getWrongExpectedVersion()?.toObject();
    expect(missing).toMatchObject({
      expectedRevision: '18',
      expectedRevision2060: 18,
      currentNoStream: {},
      noStream2060: {},
    });
    const present = new streams.AppendReq.Options()
      .setStreamIdentifier(identifier(newName()))
      .setAny(new shared.Empty());
    await appendOne(present, COMPLETE);
    const exists = (
      await appendOne(present.setNoStream(new shared.Empty()), COMPLETE)
    ).getWrongExpectedVersion();
    expect(exists?.toObject()).toMatchObject({
      expectedNoStream: {},
      currentRevision: '0',
      currentRevision2060: 0,
    });
  });

  it('lists its methods in lower case with their features', async () => {
    const asking = new features.ServerFeaturesClient(
      `127.0.0.1:${server.port}`,
      credentials.createInsecure(),
    );
    const methods = await new Promise<string[]>((resolve, reject) => {
      asking.getSupportedMethods(new shared.Empty(), (error, response) => {
        if (error) return reject(error);
        resolve(
          response
            .getMethodsList()
            .map((one) =>
              `${one.getServiceName()}/${one.getMethodName()} ${one.getFeaturesList().join()}`.trim(),
            ),
        );
      });
    });
    asking.close();
    expect(methods).toContain('event_store.client.streams.streams/batchappend deadline_duration');
    expect(methods).toContain('event_store.client.streams.streams/read position,events');
    expect(methods).toContain('event_store.client.streams.streams/append');
    expect(methods.every((text) => text === text.toLowerCase())).toBe(true);
  });

  type Duplex = ClientDuplexStream<BatchAppendReq, BatchAppendResp>;

  function chunk(
    correlation: string,
    isFinal: boolean,
    stream?: string,
    metadata: Record<string, string> = COMPLETE,
  ) {
    const event = new streams.BatchAppendReq.ProposedMessage().setId(uuid());
    for (const [key, value] of Object.entries(metadata)) event.getMetadataMap().set(key, value);
    const request = new streams.BatchAppendReq().setCorrelationId(uuid(correlation)).setIsFinal(isFinal);
    request.addProposedMessages(event);
    if (stream !== undefined) {
      const options = new streams.BatchAppendReq.Options().setStreamIdentifier(identifier(stream));
      request.setOptions(options.setStreamPosition('3'));
    }
    return request;
  }

  async function answers(send: (call: Duplex) => void, count: number): Promise<BatchAppendResp[]> {
    const call = client.batchAppend();
    const received: BatchAppendResp[] = [];
    const all = new Promise<void>((resolve, reject) => {
      call.on('error', reject);
      call.on('data', (response: BatchAppendResp) => {
        received.push(response);
        if (received.length === count) resolve();
      });
    });
    send(call);
    await all;
    await new Promise((resolve) => {
      call.on('end', resolve);
      call.end();
    });
    return received;
  }

  it('answers batch appends with the codes of google.rpc and names stream and expectation again', async () => {
    const [first, second] = [randomUUID(), randomUUID()];
    const stream = newName();
    const received = await answers((call) => {
      call.write(chunk(first, true, stream));
      call.write(chunk(second, true, stream, { type: 'changed' }));
    }, 2);
    const byId = new Map(received.map((one) => [one.getCorrelationId()?.getString(), one]));
    expect(byId.get(first)?.getError()?.getCode()).toBe(6);
    expect(byId.get(first)?.getError()?.getDetails()?.getTypeName()).toBe(
      'event_store.client.WrongExpectedVersion',
    );
    expect(Buffer.from(byId.get(first)?.getStreamIdentifier()?.getStreamName_asU8() ?? []).toString()).toBe(
      stream,
    );
    expect(byId.get(first)?.getStreamPosition()).toBe('3');
    expect(byId.get(second)?.getError()?.getCode()).toBe(3);
  });

  it('times an append out that is not final within 2 s, passes over chunks that nobody has begun, and mixes ids', async () => {
    const [open, whole] = [randomUUID(), randomUUID()];
    const started = Date.now();
    const received = await answers((call) => {
      call.write(chunk(randomUUID(), true));
      call.write(chunk(open, false, newName()));
      call.write(chunk(whole, false, newName()));
      call.write(chunk(whole, true));
    }, 2);
    expect(received.map((one) => one.getCorrelationId()?.getString())).toEqual([whole, open]);
    expect(received[1]?.getError()?.getCode()).toBe(4);
    expect(received[1]?.getError()?.getDetails()?.getTypeName()).toBe('event_store.client.Timeout');
    expect(Date.now() - started).toBeGreaterThanOrEqual(1_900);
  });

  it('gives ids in their structured form where a read asks for it', async () => {
    const options = new streams.ReadReq.Options()
      .setAll(new streams.ReadReq.Options.AllOptions().setStart(new shared.Empty()))
      .setCount('1')
      .setUuidOption(new streams.ReadReq.Options.UUIDOption().setStructured(new shared.Empty()));
    const responses: AsyncIterable<ReadResp> = client.read(new streams.ReadReq().setOptions(options));
    const [first] = await all(responses);
    const id = first?.getEvent()?.getEvent()?.getId();
    const halves = [
      id?.getStructured()?.getMostSignificantBits(),
      id?.getStructured()?.getLeastSignificantBits(),
    ];
    const hex = halves
      .map((half) =>
        BigInt.asUintN(64, BigInt(half ?? 0))
          .toString(16)
          .padStart(16, '0'),
      )
      .join('');
    expect(hex).toBe(server.storage.log[0]?.id.replaceAll('-', ''));
  });
});
