import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Answer, RestClient, until } from '../support/http.js';
import { describeWithKafkaStarter } from '../support/kafka.js';
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describeWithKafkaStarter('while Kafka is away, the service', () => {
  const folder = temporaryFolder();
  let broker: KafkaBroker;
  let service: Service;
  let rest: RestClient;

  beforeAll(async () => {
    broker = await startKafkaBroker();
    service = await startService({
      DATA_DIR: folder.path,
      KAFKA_BROKERS: broker.brokers,
      KAFKA_PARTITION_COUNT: '1',
      REQUEST_TIMEOUT_MS: '3000',
    });
    rest = new RestClient(service.url);
    expect((await rest.report('lamp', { n: 1 })).status).toBe(200);
    await broker.kill();
  });
  afterAll(async () => {
    await service.stop();
    await broker.stop();
    folder.remove();
  });

  it('refuses commands as ones that can be sent again, and still shows what it has', async () => {
    const refused = await rest.report('lamp', { n: 2 }, { 'idempotency-key': 'second' });
    expect([503, 504]).toContain(refused.status);
    expect(refused.body).toMatchObject({ code: refused.status, message: expect.any(String) });
    expect((await rest.get('/state/lamp')).body).toMatchObject({ state: { reported: { n: 1 } }, version: 1 });
  });

  it('is alive, but not ready, and says why', async () => {
    await until('it is not ready', async () => (await rest.get('/health/ready')).status === 503);
    expect((await rest.get('/health/ready')).body).toMatchObject({
      status: 'error',
      error: { bus: { status: 'down', reason: expect.stringMatching(/./) } },
    });
    expect((await rest.get('/health/live')).status).toBe(200);
  });

  it('works again when Kafka is back, and has done each command once', async () => {
    await broker.restart();
    let answer: Answer | undefined;
    await until('an update is accepted', async () => {
      answer = await rest.report('lamp', { n: 2 }, { 'idempotency-key': 'second' });
      return answer.status === 200;
    });
    expect(answer?.body['version']).toBe(2);
    await until('it is ready', async () => (await rest.get('/health/ready')).status === 200);
    expect((await rest.get('/state/lamp')).body['version']).toBe(2);
    expect((await rest.get('/metrics')).text).toMatch(/^replica_consumer_restarts_total [1-9]/m);
  });
});
