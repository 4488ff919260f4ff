import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ClientKafka } from '@nestjs/microservices';
import { logLevel } from 'kafkajs';
import { randomUUID } from 'node:crypto';
import { firstValueFrom } from 'rxjs';
import { until } from '../support/http.js';
import { describeWithKafka } from '../support/kafka.js';
import { kafkaClient } from '../support/kafka-run.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describeWithKafka('a component that uses Nest’s own Kafka client', (brokers) => {
  const prefix = `nest-${randomUUID().slice(0, 8)}`;
  const patterns = ['update', 'get', 'delete'].map((name) => `${prefix}.${name}`);
  const folder = temporaryFolder();
  let service: Service;
  let client: ClientKafka;

  beforeAll(async () => {
    service = await startService({
      DATA_DIR: folder.path,
      KAFKA_BROKERS: brokers,
      TOPIC_PREFIX: prefix,
      KAFKA_GROUP_ID: prefix,
      KAFKA_PARTITION_COUNT: '2',
    });
    const admin = kafkaClient(brokers).admin();
    await admin.connect();
    const topics = patterns.map((pattern) => ({ topic: `${pattern}.reply`, numPartitions: 2 }));
    await admin.createTopics({ topics, waitForLeaders: true });
    await admin.disconnect();
    client = new ClientKafka({
      client: { clientId: 'component', brokers: brokers.split(','), logLevel: logLevel.NOTHING },
      consumer: { groupId: `${prefix}-component` },
    });
    for (const pattern of patterns) client.subscribeToResponseOf(pattern);
    await client.connect();
    await until('the client has its reply partitions', () =>
      patterns.every((pattern) => `${pattern}.reply` in client.getConsumerAssignments()),
    );
  });
  afterAll(async () => {
    await client.close();
    await service.stop();
    folder.remove();
  });

  function ask(name: string, key: string, value: object | string, headers = {}): Promise<unknown> {
    return firstValueFrom(client.send(`${prefix}.${name}`, { key, value, headers }));
  }

  it('gets the accepted document as the answer to its update', async () => {
    expect(await ask('update', 'lamp', { state: { desired: { on: true } }, clientToken: 'x' })).toMatchObject(
      {
        state: { desired: { on: true } },
        version: 1,
        clientToken: 'x',
      },
    );
  });

  it('gets the state as the answer to its get', async () => {
    await ask('update', 'read', { state: { reported: { temp: 21.5 } } });
    expect(await ask('get', 'read', {})).toMatchObject({ state: { reported: { temp: 21.5 } }, version: 1 });
  });

  it('gets a refusal as an error', async () => {
    await expect(ask('update', 'lamp', { state: {}, version: 99 })).rejects.toMatchObject({
      code: 409,
      message: 'Version conflict',
    });
    await expect(ask('update', 'lamp', 'no JSON')).rejects.toMatchObject({ code: 400 });
    await expect(ask('get', 'missing', {})).rejects.toMatchObject({ code: 404 });
    await expect(ask('update', 'not/legal', { state: {} })).rejects.toMatchObject({ code: 400 });
  });

  it('deletes', async () => {
    await ask('update', 'gone', { state: { reported: { a: 1 } } });
    expect(await ask('delete', 'gone', {})).toMatchObject({ version: 1 });
    await expect(ask('delete', 'gone', {})).rejects.toMatchObject({ code: 404 });
  });

  it('asks many things at once and gets each answer to its own question', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        ask('update', `many-${n}`, { state: { reported: { n } }, clientToken: `t-${n}` }),
      ),
    );
    answers.forEach((answer, n) => expect(answer).toMatchObject({ clientToken: `t-${n}`, version: 1 }));
  });
});
