import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Producer } from 'kafkajs';
import { type Answer, RestClient, until } from '../support/http.js';
import { describeWithKafka } from '../support/kafka.js';
import { kafkaClient } from '../support/kafka-run.js';
import { faultyEventStoreDb, type RunStore } from '../support/run-store.js';
import { runCli } from '../support/cli.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const JSON_TYPE = { 'content-type': 'application/json' };

describeWithKafka('the read side over REST, on Kafka and EventStoreDB', (brokers) => {
  const name = `read-${randomUUID().slice(0, 8)}`;
  const folder = temporaryFolder();
  let store: RunStore;
  let service: Service;
  let rest: RestClient;
  let producer: Producer;

  const start = async (): Promise<void> => {
    const settings = { KAFKA_BROKERS: brokers, TOPIC_PREFIX: name, KAFKA_GROUP_ID: name };
    service = await startService({ ...store.environment, ...settings });
    rest = new RestClient(service.url, name);
  };
  const send = async (deviceId: string, state: object): Promise<void> => {
    const messages = [{ key: deviceId, value: JSON.stringify({ state }) }];
    await producer.send({ topic: `${name}.update`, messages });
  };
  const idsOf = ({ body }: Answer): string =>
    ((body['devices'] ?? []) as { deviceId: string }[]).map(({ deviceId }) => deviceId).join();
  const filtered = (filter: string, more = ''): Promise<Answer> =>
    rest.get(`/fleet?filter=${encodeURIComponent(filter)}${more}`);
  const shows = (filter: string, ids: string): Promise<void> =>
    until(`${filter} finds ${ids}`, async () => idsOf(await filtered(filter)) === ids);
  const reached = async (): Promise<unknown> => {
    const { body } = await rest.get('/fleet/convergence');
    return (body['settled'] as Record<string, { count: number }> | undefined)?.['reached']?.count;
  };
  const isRebuilt = async (): Promise<boolean> => {
    const { status, body } = await rest.get('/ops/projections');
    return status === 200 && body['rebuild'] === null && body['lagMs'] !== undefined;
  };

  beforeAll(async () => {
    store = await faultyEventStoreDb(folder.path);
    await start();
    producer = kafkaClient(brokers).producer();
    await producer.connect();
  });
  afterAll(async () => {
    await producer.disconnect();
    await service.stop();
    await store.close();
    folder.remove();
  });

  it('lists and filters what came by Kafka and by REST', async () => {
    await send('lamp-1', { reported: { battery: 10, power: 'off' }, desired: { power: 'on' } });
    await send('lamp-2', { reported: { battery: 50 } });
    await rest.update('lamp-3', { state: { reported: { battery: 15 }, desired: { firmware: '2.1' } } });
    await shows('reported.battery<20', 'lamp-1,lamp-3');
    await shows('reported.battery>=20 or desired.firmware=="2.1"', 'lamp-2,lamp-3');
    expect(idsOf(await filtered('reported.battery<20', '&inSync=false&sort=-deviceId'))).toBe(
      'lamp-3,lamp-1',
    );
    const { headers } = await rest.get('/fleet');
    expect(Number(headers.get('x-projection-position'))).toBeGreaterThan(0);
    expect(headers.get('x-projection-lag-ms')).toMatch(/^\d+$/);
    expect((await filtered('reported.battery<')).status).toBe(400);
  });

  it('counts a desired change of a component that the device has reached', async () => {
    expect(await reached()).toBe(0);
    await send('lamp-1', { reported: { power: 'on' } });
    await until('it is counted', async () => (await reached()) === 1);
    const { body } = await rest.get('/fleet/convergence');
    expect(body['outOfSync']).toMatchObject({ devices: 1, oldest: [{ deviceId: 'lamp-3' }] });
  });

  it('shows the same while it is rebuilt over REST and the event store fails, and after a kill', async () => {
    const before = await rest.get('/fleet');
    const position = before.headers.get('x-projection-position');
    store.beginFaults();
    const asked = await rest.call('POST', '/ops/projections/rebuild', { body: '{}', headers: JSON_TYPE });
    expect(asked.status).toBe(202);
    await service.kill();
    await start();
    await until('it is rebuilt', async () => {
      expect((await rest.get('/fleet')).text).toBe(before.text);
      return isRebuilt();
    });
    await store.endFaults();
    await until('the rows are as far as they were', async () => {
      const { headers, text } = await rest.get('/fleet');
      expect(text).toBe(before.text);
      return Number(headers.get('x-projection-position')) >= Number(position);
    });
    expect(await reached()).toBe(1);
  });

  it('is rebuilt by the command beside the service, which goes on with the new rows', async () => {
    const before = await rest.get('/fleet');
    const { code, stdout } = await runCli(store.environment, 'projections', 'rebuild');
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^Rebuilt and swapped/) });
    expect((await rest.get('/fleet')).text).toBe(before.text);
    // By REST: Kafka gives the partitions of the killed one away only when its session has ended.
    await rest.report('lamp-4', { battery: 1 });
    await shows('reported.battery<5', 'lamp-4');
    expect(await reached()).toBe(1);
  });
});
