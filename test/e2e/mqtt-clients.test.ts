import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RestClient, until } from '../support/http.js';
import {
  describeWithMosquitto,
  type Mosquitto,
  startMosquitto,
  untilBrokerIsUsed,
} from '../support/mosquitto.js';
import {
  type ClientOptions,
  type ConnectedClient,
  MQTT_CLIENTS,
  type MqttClientKind,
} from '../support/mqtt-clients.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

/** What devices connect to: the service's own broker, or a Mosquitto that the service is a client of. */
interface Form {
  readonly name: string;
  readonly withMosquitto: boolean;
  readonly versions: readonly (4 | 5)[];
}

const OWN: Form = { name: 'the service’s own broker', withMosquitto: false, versions: [4] };
const MOSQUITTO: Form = { name: 'Mosquitto', withMosquitto: true, versions: [4, 5] };

/** Both flows, and the way back of a device that was away, with each client in each version. */
function matrixOf({ withMosquitto, versions }: Form): void {
  const folder = temporaryFolder();
  let mosquitto: Mosquitto | null = null;
  let service: Service;
  let rest: RestClient;

  beforeAll(async () => {
    mosquitto = withMosquitto ? await startMosquitto() : null;
    service = await startService({
      DATA_DIR: folder.path,
      ...(mosquitto === null ? {} : { MQTT_URL: mosquitto.url }),
    });
    if (mosquitto !== null) await untilBrokerIsUsed(service);
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    await mosquitto?.remove();
    folder.remove();
  });

  const cells = MQTT_CLIENTS.flatMap((client) => versions.map((version) => ({ client, version })));
  for (const { client, version } of cells) {
    const isNeeded = process.env['REQUIRE_DEVICE_TOOLS'] === '1' || process.env['REQUIRE_MOSQUITTO'] === '1';
    const isSkipped = client.missing !== null && !isNeeded;
    const name = `with ${client.name}, MQTT ${version === 5 ? '5' : '3.1.1'}`;
    if (isSkipped) describe.skip(`${name} (skipped: ${client.missing})`, () => flowsOf(client, version));
    else describe(name, () => flowsOf(client, version));
  }

  function flowsOf(client: MqttClientKind, version: 4 | 5): void {
    const mark = `${MQTT_CLIENTS.indexOf(client)}-${version}`;
    const connected = (clientId: string, options: Partial<ClientOptions> = {}): Promise<ConnectedClient> =>
      client.connect(mosquitto?.address ?? service.mqtt, {
        clientId: `${clientId}-${mark}`,
        version,
        clean: true,
        topics: [],
        qos: 1,
        ...options,
      });
    const isOutstanding = ({ state }: Record<string, unknown>): boolean =>
      Object.keys(state as object).length > 0;

    /** What whoever subscribes now is sent at once, looking so long until it is so much. */
    async function untilSentAtOnce(deviceId: string, count: number): Promise<void> {
      const topic = `state/${deviceId}/update/delta`;
      await until(`${count} at once of ${topic}`, async () => {
        const reader = await connected(`reader-${Math.random()}`, {
          topics: [topic, `state/${deviceId}/get/accepted`],
        });
        await reader.send(`state/${deviceId}/get`, '');
        await reader.has(1, `state/${deviceId}/get/accepted`);
        await reader.leave();
        return reader.of(topic).length === count;
      });
    }

    it('a component changes a device', async () => {
      const id = `lamp-${mark}`;
      const at = `state/${id}`;
      const device = await connected(id, { topics: [`${at}/update/delta`] });
      const component = await connected('panel', { topics: [`${at}/update/accepted`, `${at}/get/accepted`] });
      await device.send(`${at}/update`, { state: { reported: { on: false, level: 1 } } });
      await component.has(1, `${at}/update/accepted`);

      await component.send(`${at}/update`, { state: { desired: { on: true } }, clientToken: 'p' });
      const [first, delta] = await device.has(2, `${at}/update/delta`);
      expect(first).toMatchObject({ state: {}, version: 1 });
      expect(delta).toMatchObject({ state: { on: true }, version: 2, clientToken: 'p' });
      await untilSentAtOnce(id, 1);

      await device.send(`${at}/update`, { state: { reported: { on: true } } });
      const accepted = await component.has(3, `${at}/update/accepted`);
      expect(accepted.map((one) => one['version'])).toEqual([1, 2, 3]);
      const cleared = (await device.has(3, `${at}/update/delta`))[2];
      expect(cleared).toMatchObject({ state: {}, changed: { reported: { on: true } }, version: 3 });
      await untilSentAtOnce(id, 0);

      const gets = component.of(`${at}/get/accepted`).length;
      await component.send(`${at}/get`, '');
      const state = (await component.has(gets + 1, `${at}/get/accepted`)).at(-1);
      expect(state).toMatchObject({
        state: { desired: { on: true }, reported: { on: true, level: 1 } },
        version: 3,
      });
      expect(state).not.toHaveProperty('state.delta');
      await device.leave();
      await component.leave();
    });

    it('a device tells a component what has changed', async () => {
      const id = `meter-${mark}`;
      const at = `state/${id}`;
      const component = await connected('watcher', { topics: [`${at}/update/delta`] });
      const device = await connected(id);
      await device.send(`${at}/update`, { state: { reported: { kwh: 5, unit: 'kWh' } } });
      await device.send(`${at}/update`, { state: { reported: { kwh: 6, unit: 'kWh' } } });
      const deltas = await component.has(2, `${at}/update/delta`);
      expect(deltas.map(({ changed, version: v }) => ({ changed, v }))).toEqual([
        { changed: { reported: { kwh: 5, unit: 'kWh' } }, v: 1 },
        { changed: { reported: { kwh: 6 } }, v: 2 },
      ]);
      await device.leave();
      await component.leave();
    });

    /** A device that was away while three changes were desired, and all deltas that it is sent when it is back. */
    async function deltasOfOneThatWasAway(id: string, session: Partial<ClientOptions>): Promise<unknown[]> {
      const at = `state/${id}`;
      const topics = [`${at}/update/delta`, `${at}/get/accepted`];
      const before = await connected(id, { topics, ...session });
      await before.send(`${at}/update`, { state: { reported: { a: 0, b: 0 } } });
      await before.has(1, `${at}/update/delta`);
      await before.leave();

      const component = await connected('panel');
      for (const desired of [{ a: 1 }, { b: 2 }, { c: 3, a: 4 }])
        await component.send(`${at}/update`, { state: { desired } });
      await component.leave();
      await until('all are recorded', async () => (await rest.get(`/state/${id}`)).body['version'] === 4);
      await untilSentAtOnce(id, 1);

      const after = await connected(id, { topics, ...session });
      await after.has(1, `${at}/update/delta`);
      // Whatever else was on its way would have come before the answer to this; what it sends is no sign of life.
      const asker = await connected('asker');
      await asker.send(`${at}/get`, '');
      await asker.leave();
      await after.has(1, `${at}/get/accepted`);
      await after.leave();
      return after.of(`${at}/update/delta`);
    }

    const ALL = { state: { a: 4, b: 2, c: 3 }, version: 4 };

    it.each([
      ['a new session', { clean: true }],
      // A broker between keeps messages of QoS 1 for a session that is away; those of QoS 0 it does not.
      ['the session that it had', { clean: false, qos: withMosquitto ? 0 : 1 }],
    ] as const)('a device that was away gets one delta with all, by %s', async (name, session) => {
      const deltas = await deltasOfOneThatWasAway(`away-${name.length}-${mark}`, session);
      expect(deltas).toHaveLength(1);
      expect(deltas[0]).toMatchObject(ALL);
    });

    if (withMosquitto) {
      it('a device whose session gathers deltas of QoS 1 gets those, and the one with all is the last', async () => {
        const deltas = await deltasOfOneThatWasAway(`gathers-${mark}`, { clean: false, qos: 1 });
        const outstanding = (deltas as Record<string, unknown>[]).filter(isOutstanding);
        expect(outstanding.at(-1)).toMatchObject(ALL);
        const versions = outstanding.map((one) => Number(one['version']));
        expect(versions).toEqual([...versions].sort((one, other) => one - other));
      });
    }
  }
}

describe(`every client with ${OWN.name}`, () => matrixOf(OWN));
describeWithMosquitto(`every client with ${MOSQUITTO.name}`, () => matrixOf(MOSQUITTO));
