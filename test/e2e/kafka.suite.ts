import { afterAll, beforeAll, expect, it } from '@jest/globals';
import kafkajs, { type Kafka, type Producer } from 'kafkajs';
import { randomUUID } from 'node:crypto';
import { EventStream } from '../support/event-stream.js';
import { type Answer, RestClient, until } from '../support/http.js';
import { describeWithKafka } from '../support/kafka.js';
import { kafkaClient } from '../support/kafka-run.js';
import { KafkaTap, type TappedMessage } from '../support/kafka-tap.js';
import { type OpenRunStore, type RunStore } from '../support/run-store.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const CHANNELS = [
  'update.accepted',
  'update.rejected',
  'update.delta',
  'update.documents',
  'get.accepted',
  'get.rejected',
  'delete.accepted',
  'delete.rejected',
  'dead-letter',
];

function parsed(message: TappedMessage | undefined): Record<string, unknown> {
  return JSON.parse(message?.value ?? 'null') as Record<string, unknown>;
}

/** The main ways through the service, on whichever event store; its faults are let loose meanwhile, if it has any. */
export function serviceOnKafka(name: string, openStore: OpenRunStore): void {
  describeWithKafka(name, (brokers) => suite(brokers, openStore));
}

function suite(brokers: string, openStore: OpenRunStore): void {
  const prefix = `e2e-${randomUUID().slice(0, 8)}`;
  const folder = temporaryFolder();
  let kafka: Kafka;
  let store: RunStore;
  let service: Service;
  let rest: RestClient;
  let producer: Producer;
  let tap: KafkaTap;

  const topic = (name: string): string => `${prefix}.${name}`;
  async function send(
    name: string,
    key: string | null,
    value: string | object | null,
    headers = {},
  ): Promise<void> {
    const text = value === null || typeof value === 'string' ? value : JSON.stringify(value);
    await producer.send({ topic: topic(name), messages: [{ key, value: text, headers }], acks: -1 });
  }
  const update = (deviceId: string, body: object): Promise<Response> =>
    fetch(`${service.url}/${prefix}/${deviceId}/update`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    });

  /** As a client does that is told to come again. */
  async function shown(deviceId: string): Promise<Answer> {
    let answer: Answer | undefined;
    await until('the store can be read', async () => {
      answer = await rest.get(`/${prefix}/${deviceId}`);
      return answer.status !== 503;
    });
    return answer as Answer;
  }

  async function start(): Promise<void> {
    service = await startService({
      ...store.environment,
      // What waits for the store must not be given up by a slow machine.
      REQUEST_TIMEOUT_MS: '90000',
      KAFKA_BROKERS: brokers,
      TOPIC_PREFIX: prefix,
      KAFKA_GROUP_ID: prefix,
      KAFKA_PARTITION_COUNT: '3',
      PUBLISH_DOCUMENTS: 'on',
    });
    rest = new RestClient(service.url);
  }

  beforeAll(async () => {
    kafka = kafkaClient(brokers);
    store = await openStore(folder.path);
    await start();
    store.beginFaults(true);
    producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
    await producer.connect();
    tap = await KafkaTap.open(kafka, CHANNELS.map(topic));
  });
  afterAll(async () => {
    await tap.stop();
    await producer.disconnect();
    await service.stop();
    await store.endFaults();
    await store.close();
    folder.remove();
  });

  it('answers an update from any producer on its topics', async () => {
    const body = { state: { reported: { temp: 1 }, desired: { temp: 2 } }, clientToken: 'x' };
    await send('update', 'lamp', body, { 'correlation-id': 'c-1', traceparent: '00-a-b-01' });

    const [accepted] = await tap.has(1, topic('update.accepted'), 'lamp');
    const [delta] = await tap.has(1, topic('update.delta'), 'lamp');
    const [documents] = await tap.has(1, topic('update.documents'), 'lamp');

    expect(parsed(accepted)).toMatchObject({ ...body, version: 1 });
    expect(parsed(delta)).toMatchObject({ state: { temp: 2 }, version: 1, clientToken: 'x' });
    expect(parsed(documents)).toMatchObject({ previous: null, current: { version: 1 } });
    for (const [message, channel] of [
      [accepted, 'update.accepted'],
      [delta, 'update.delta'],
      [documents, 'update.documents'],
    ] as const) {
      expect(message?.headers).toMatchObject({
        ce_specversion: '1.0',
        ce_id: expect.stringMatching(new RegExp(`^[0-9a-f-]{36}:${channel}$`)),
        ce_type: `${prefix}.${channel}`,
        ce_source: expect.stringMatching(/./),
        ce_subject: 'lamp',
        ce_time: new Date(Number(parsed(accepted)['timestamp'])).toISOString(),
        'content-type': 'application/json',
        'correlation-id': 'c-1',
        traceparent: '00-a-b-01',
      });
      expect(message?.partition).toBe(accepted?.partition);
    }
  });

  it('shows by REST what came over Kafka, and tells it to who follows', async () => {
    const stream = await EventStream.open(service.url, 'followed', undefined, prefix);
    await send('update', 'followed', { state: { reported: { n: 1 } } });
    await tap.has(1, topic('update.accepted'), 'followed');
    expect((await shown('followed')).body).toMatchObject({ version: 1 });
    // What is recorded comes from the store, however late it answers; a refusal comes at once.
    await stream.has(3);
    await send('update', 'followed', { state: { reported: { n: 1 } }, version: 9 });
    await stream.has(4);
    expect(stream.names).toEqual(['accepted', 'delta', 'documents', 'rejected']);
    stream.close();
  });

  it('takes an update by REST over Kafka too', async () => {
    const response = await update('rest', { state: { reported: { n: 1 } } });
    expect([response.status, response.headers.get('etag')]).toEqual([200, '"1"']);
    const [accepted] = await tap.has(1, topic('update.accepted'), 'rest');
    expect(parsed(accepted)).toEqual(await response.json());

    const refused = await update('rest', { state: {}, version: 7 });
    expect(refused.status).toBe(409);
    const [rejected] = await tap.has(1, topic('update.rejected'), 'rest');
    expect(parsed(rejected)).toEqual(await refused.json());
  });

  it('keeps a named replica by its key', async () => {
    await send('update', 'two-fold', { state: { reported: { a: 1 } } });
    await send('update', 'two-fold/name/config', { state: { desired: { b: 2 } } });
    const [delta] = await tap.has(1, topic('update.delta'), 'two-fold/name/config');
    expect(parsed(delta)).toMatchObject({ state: { b: 2 }, version: 1 });
    expect(delta?.headers['ce_subject']).toBe('two-fold/name/config');
    await tap.has(1, topic('update.accepted'), 'two-fold');
    expect((await shown('two-fold/name/config')).body).toMatchObject({ state: { delta: { b: 2 } } });
  });

  it('answers gets and deletes', async () => {
    await update('asked', { state: { desired: { on: true } } });
    await send('get', 'asked', null);
    await send('get', 'asked', { clientToken: 'me' });
    await send('get', 'missing', null);
    const [bare, mine] = await tap.has(2, topic('get.accepted'), 'asked');
    expect(parsed(bare)).toMatchObject({ state: { desired: { on: true }, delta: { on: true } }, version: 1 });
    expect(parsed(mine)).toMatchObject({ clientToken: 'me' });
    expect(parsed((await tap.has(1, topic('get.rejected'), 'missing'))[0])).toMatchObject({ code: 404 });

    await send('delete', 'asked', null);
    await send('delete', 'missing', { clientToken: 'me' });
    expect(parsed((await tap.has(1, topic('delete.accepted'), 'asked'))[0])).toMatchObject({ version: 1 });
    expect(parsed((await tap.has(1, topic('delete.rejected'), 'missing'))[0])).toMatchObject({
      code: 404,
      clientToken: 'me',
    });
    expect((await tap.has(2, topic('update.documents'), 'asked')).at(-1)?.value).toBeNull();
    expect((await shown('asked')).status).toBe(404);
  });

  it('puts what has no device aside, with the reason and the place', async () => {
    await send('update', null, 'whatever');
    await send('update', 'not/a/device', { state: {} });
    const letters = await tap.has(2, topic('dead-letter'));

    const byReason = letters.map(({ key, value, headers }) => [key, value, headers['reason']?.split(':')[0]]);
    expect(byReason).toEqual(
      expect.arrayContaining([
        [null, 'whatever', 'No key'],
        ['not/a/device', '{"state":{}}', 'Illegal deviceId'],
      ]),
    );
    expect(letters[0]?.headers).toMatchObject({
      'source-topic': topic('update'),
      'source-partition': expect.stringMatching(/^\d+$/),
      'source-offset': expect.stringMatching(/^\d+$/),
    });
  });

  it('keeps the order of each device, and has an effect once for each message-id', async () => {
    const messages = Array.from({ length: 300 }, (_, n) => ({
      key: `many-${n % 10}`,
      value: JSON.stringify({ state: { reported: { n } } }),
      headers: { 'message-id': `m-${n - (n % 30 >= 20 ? 10 : 0)}` },
    }));
    await producer.send({ topic: topic('update'), messages, acks: -1 });

    for (let device = 0; device < 10; device++) {
      const key = `many-${device}`;
      // Of three commands the third bears the second one's id with another body.
      expect(
        (await tap.has(20, topic('update.accepted'), key)).map((message) => parsed(message)['version']),
      ).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
      const refused = await tap.has(10, topic('update.rejected'), key);
      expect(new Set(refused.map((message) => parsed(message)['code']))).toEqual(new Set([409]));
    }
  });

  it('goes on where it was when it is started anew', async () => {
    expect(await service.stop()).toBe(0);
    await send('update', 'while-away', { state: { reported: { n: 1 } } });
    await start();
    expect(parsed((await tap.has(1, topic('update.accepted'), 'while-away'))[0])).toMatchObject({
      version: 1,
    });
    expect((await update('while-away', { state: { reported: { n: 2 } } })).status).toBe(200);
    const versions = (await tap.has(2, topic('update.accepted'), 'while-away')).map(parsed);
    expect(versions.map((document) => document['version'])).toEqual([1, 2]);
    // Nothing of before was answered again.
    expect(await tap.has(1, topic('update.accepted'), 'lamp')).toHaveLength(1);
  });

  it('answers again what comes again, byte for byte, and does nothing twice', async () => {
    for (const n of [1, 2, 3])
      await send('update', 'again', { state: { reported: { n }, desired: { n: 2 } } });
    const before = await tap.has(3, topic('update.accepted'), 'again');
    const deltasBefore = await tap.has(3, topic('update.delta'), 'again');
    const { partition } = before[0] as TappedMessage;
    expect(await service.stop()).toBe(0);
    const admin = kafka.admin();
    await admin.connect();
    const partitions = [{ partition, offset: '0' }];
    await admin.setOffsets({ groupId: prefix, topic: topic('update'), partitions });
    await admin.disconnect();

    await start();
    const accepted = await tap.has(6, topic('update.accepted'), 'again');
    const deltas = await tap.has(6, topic('update.delta'), 'again');
    expect(accepted.slice(3)).toEqual(before.slice(0, 3));
    expect(deltas.slice(3)).toEqual(deltasBefore.slice(0, 3));
    expect((await shown('again')).body).toMatchObject({ version: 3 });
  });
}
