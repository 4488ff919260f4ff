import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import kafkajs, { type Kafka, type Producer } from 'kafkajs';
import { openEventStoreDb } from '../../src/adapters/event-store/eventstoredb/eventstoredb-event-store.js';
import { type EventStoreServer, startEventStoreServer } from '../support/eventstore-server/index.js';
import { RestClient, until } from '../support/http.js';
import { describeWithKafka } from '../support/kafka.js';
import { kafkaClient } from '../support/kafka-run.js';
import { KafkaTap } from '../support/kafka-tap.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const PASSWORD = 'correct-horse';

/** The versions that a device's events bear, in the store itself. */
async function versionsOf(server: EventStoreServer, deviceId: string): Promise<number[]> {
  const store = openEventStoreDb({
    connectionString: server.connectionString,
    streamPrefix: 'deviceState-',
  });
  const versions: number[] = [];
  for await (const { data } of store.readStream(`deviceState-${deviceId}`)) {
    versions.push((JSON.parse(data.toString()) as { version: number }).version);
  }
  await store.close();
  return versions;
}

/** Appends to a device's stream what another process would: the next version, with this as what is reported. */
async function recordAsAnother(server: EventStoreServer, deviceId: string, state: object): Promise<void> {
  const { connectionString } = server;
  const stream = `deviceState-${deviceId}`;
  const store = openEventStoreDb({ connectionString, streamPrefix: 'deviceState-' });
  for await (const last of store.readStream(stream, { direction: 'backwards', maxCount: 1 })) {
    const data = JSON.parse(last.data.toString()) as { version: number };
    const metadata = JSON.parse(last.metadata.toString()) as { source: object };
    const event = {
      id: randomUUID(),
      type: last.type,
      data: Buffer.from(JSON.stringify({ ...data, state, version: data.version + 1 })),
      metadata: Buffer.from(
        JSON.stringify({
          ...metadata,
          $causationId: randomUUID(),
          source: { ...metadata.source, topic: 'another' },
        }),
      ),
    };
    const results = await store.append([{ stream, expectedRevision: last.revision, events: [event] }]);
    expect(results.map(({ kind }) => kind)).toEqual(['appended']);
  }
  await store.close();
}

describe('the service on EventStoreDB', () => {
  const folder = temporaryFolder();
  let server: EventStoreServer;
  let service: Service;
  let rest: RestClient;
  const isReady = async (): Promise<boolean> => (await rest.get('/health/ready')).status === 200;

  beforeAll(async () => {
    server = await startEventStoreServer();
    await server.stop();
    service = await startService({
      DATA_DIR: folder.path,
      EVENTSTORE_CONNECTION_STRING: server.connectionString.replace('//', `//admin:${PASSWORD}@`),
      // What waits for the store must not be given up by a slow machine.
      REQUEST_TIMEOUT_MS: '90000',
    });
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    await server.stop();
    folder.remove();
  });

  it('starts while the store is away, and says so', async () => {
    const answer = await rest.get('/health/ready');
    expect(answer.status).toBe(503);
    const reason = expect.stringMatching(
      /^EVENTSTORE_CONNECTION_STRING: event store 127\.0\.0\.1:\d+: .+$/,
    ) as unknown;
    expect(answer.body).toMatchObject({ error: { eventStore: { status: 'down', reason } } });
    expect((await rest.get('/health/live')).status).toBe(200);
    await until('it logs it', () =>
      service.lines.some((line) => line.includes('does not answer as it should')),
    );
  });

  it('takes up the work by itself when the store comes', async () => {
    const waiting = rest.report('lamp', { n: 1 });
    await server.restart();
    expect((await waiting).status).toBe(200);
    await until('it is ready', isReady);
    expect(service.lines.some((line) => line.includes('The event store answers again'))).toBe(true);
    expect(await versionsOf(server, 'lamp')).toEqual([1]);
  });

  it('waits while the store is away, and records what came meanwhile once', async () => {
    await server.stop();
    await until('it is not ready', async () => !(await isReady()));
    const waiting = [2, 3, 4].map((n) => rest.report('lamp', { n }, { 'idempotency-key': `key-${n}` }));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await server.restart();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200]);
    await until('it is ready', isReady);
    expect(await versionsOf(server, 'lamp')).toEqual([1, 2, 3, 4]);
  });

  it('records once where the store has the events and its answers are lost', async () => {
    server.faults.dropResponseAfterAppend(3);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => rest.report(`lamp-${n}`, { n: 1 })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    for (let n = 0; n < 20; n++) expect(await versionsOf(server, `lamp-${n}`)).toEqual([1]);
  });

  it('never logs the password', () => {
    expect(service.lines.length).toBeGreaterThan(1);
    expect(service.lines.join('\n')).not.toContain(PASSWORD);
  });
});

describeWithKafka('the service on Kafka and EventStoreDB', (brokers) => {
  const prefix = `e2e-${randomUUID().slice(0, 8)}`;
  const folder = temporaryFolder();
  const DEVICES = 20;
  const ROUNDS = 30;
  let kafka: Kafka;
  let producer: Producer;
  let tap: KafkaTap;
  let server: EventStoreServer;
  let service: Service;

  beforeAll(async () => {
    server = await startEventStoreServer();
    kafka = kafkaClient(brokers);
    service = await startService({
      DATA_DIR: folder.path,
      KAFKA_BROKERS: brokers,
      TOPIC_PREFIX: prefix,
      KAFKA_GROUP_ID: prefix,
      KAFKA_PARTITION_COUNT: '3',
      EVENTSTORE_CONNECTION_STRING: server.connectionString,
    });
    producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
    await producer.connect();
    tap = await KafkaTap.open(kafka, [`${prefix}.update.accepted`, `${prefix}.update.rejected`]);
  });
  afterAll(async () => {
    await tap.stop();
    await producer.disconnect();
    await service.stop();
    await server.stop();
    folder.remove();
  });

  it('loses nothing and records nothing twice while the store restarts and loses answers', async () => {
    const devices = Array.from({ length: DEVICES }, (_, n) => `lamp-${n}`);
    for (let round = 1; round <= ROUNDS; round++) {
      const messages = devices.map((key) => ({
        key,
        value: JSON.stringify({ state: { reported: { round } }, clientToken: `${key}/${round}` }),
      }));
      await producer.send({ topic: `${prefix}.update`, messages, acks: -1 });
      if (round % 10 === 3) server.faults.dropResponseAfterAppend(2);
      if (round % 10 === 6) await server.restart();
    }
    const accepted = `${prefix}.update.accepted`;
    const tokens = (): Set<unknown> =>
      new Set(
        tap.messages
          .filter(({ topic }) => topic === accepted)
          .map(({ value }) => (JSON.parse(value ?? '{}') as { clientToken?: unknown }).clientToken),
      );
    await until('every update is accepted', () => tokens().size === DEVICES * ROUNDS);
    const expected = Array.from({ length: ROUNDS }, (_, n) => n + 1);
    for (const device of devices) expect(await versionsOf(server, device)).toEqual(expected);
    expect(tap.messages.filter(({ topic }) => topic !== accepted)).toEqual([]);
  });

  it('decides again on what another writer has recorded meanwhile', async () => {
    const accepted = `${prefix}.update.accepted`;
    const send = async (body: object): Promise<void> => {
      const messages = [{ key: 'shared', value: JSON.stringify(body) }];
      await producer.send({ topic: `${prefix}.update`, messages, acks: -1 });
    };
    await send({ state: { reported: { n: 1 } } });
    await tap.has(1, accepted, 'shared');

    await recordAsAnother(server, 'shared', { theirs: true });
    await send({ state: { reported: { n: 3 } } });
    await send({ state: { reported: { n: 4 } }, version: 2 });

    const [, answer] = await tap.has(2, accepted, 'shared');
    expect(JSON.parse(answer?.value ?? '')).toMatchObject({ version: 3 });
    const [refusal] = await tap.has(1, `${prefix}.update.rejected`, 'shared');
    expect(JSON.parse(refusal?.value ?? '')).toMatchObject({ code: 409 });
    expect(await versionsOf(server, 'shared')).toEqual([1, 2, 3]);
    const shown = await fetch(`${service.url}/${prefix}/shared`);
    expect(await shown.json()).toMatchObject({
      state: { reported: { n: 3, theirs: true } },
      version: 3,
    });
    const metrics = await (await fetch(`${service.url}/metrics`)).text();
    expect(metrics).toMatch(/^replica_conflicts_total [1-9]/m);
  });
});
