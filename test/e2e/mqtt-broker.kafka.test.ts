import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type EventStoreServer, startEventStoreServer } from '../support/eventstore-server/index.js';
import { RestClient, until } from '../support/http.js';
import { describeWithKafka } from '../support/kafka.js';
import {
  describeWithMosquitto,
  type Mosquitto,
  startMosquitto,
  untilBrokerIsUsed,
} from '../support/mosquitto.js';
import { MqttPeer } from '../support/mqtt.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const DEVICE_COUNT = 40;

describeWithMosquitto('two instances on Kafka, as clients of one Mosquitto', () => {
  describeWithKafka('in one group', (brokers) => {
    const prefix = `mqtt-${randomUUID().slice(0, 8)}`;
    const folders = [temporaryFolder(), temporaryFolder()];
    let store: EventStoreServer;
    let mosquitto: Mosquitto;
    let services: Service[];

    beforeAll(async () => {
      [store, mosquitto] = await Promise.all([startEventStoreServer(), startMosquitto()]);
      services = await Promise.all(
        folders.map(({ path }) =>
          startService({
            DATA_DIR: path,
            TOPIC_PREFIX: prefix,
            KAFKA_BROKERS: brokers,
            KAFKA_GROUP_ID: prefix,
            KAFKA_PARTITION_COUNT: '6',
            EVENTSTORE_CONNECTION_STRING: store.connectionString,
            MQTT_URL: mosquitto.url,
          }),
        ),
      );
      for (const service of services) {
        const { url } = service;
        await untilBrokerIsUsed(service);
        await until(
          'it is ready',
          async () => (await new RestClient(url).get('/health/ready')).status === 200,
        );
      }
    });
    afterAll(async () => {
      for (const service of services) await service.stop();
      await mosquitto.remove();
      await store.stop();
      for (const folder of folders) folder.remove();
    });

    const taken = async ({ url }: Service): Promise<number> => {
      const { text } = await new RestClient(url).get('/metrics');
      return Number(/^replica_mqtt_publishes_total\{outcome="taken"\} (\d+)$/m.exec(text)?.[1] ?? 0);
    };

    it('share the commands, and tell each output once', async () => {
      const peer = await MqttPeer.connect(mosquitto.address, { clientId: 'all', protocolVersion: 5 });
      await peer.client.subscribeAsync([`${prefix}/+/update/accepted`, `${prefix}/+/update/delta`], {
        qos: 1,
      });
      const ids = Array.from({ length: DEVICE_COUNT }, (_, n) => `d${n}`);
      await Promise.all(
        ids.map((id) => peer.send(`${prefix}/${id}/update`, { state: { desired: { a: 1 } } })),
      );
      await Promise.all(ids.map((id) => peer.has(1, `${prefix}/${id}/update/accepted`)));
      await Promise.all(
        ids.map((id) => peer.send(`${prefix}/${id}/update`, { state: { desired: { a: 2 } } })),
      );
      for (const id of ids) {
        const accepted = await peer.has(2, `${prefix}/${id}/update/accepted`);
        expect(accepted.map((one) => one['version'])).toEqual([1, 2]);
        const deltas = await peer.has(2, `${prefix}/${id}/update/delta`);
        expect(deltas.at(-1)).toMatchObject({ state: { a: 2 }, version: 2 });
      }
      const counts = await Promise.all(services.map(taken));
      expect(Math.min(...counts)).toBeGreaterThan(0);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(2 * DEVICE_COUNT);
      await peer.leave();

      const late = await MqttPeer.connect(mosquitto.address, { clientId: 'late' });
      await late.client.subscribeAsync(`${prefix}/+/update/delta`, { qos: 1 });
      for (const id of ids)
        expect((await late.has(1, `${prefix}/${id}/update/delta`))[0]).toMatchObject({ version: 2 });
      await late.leave();
    });
  });
});
