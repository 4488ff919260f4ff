import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { RestClient, until } from '../support/http.js';
import { describeWithMosquitto, type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { MqttPeer } from '../support/mqtt.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describeWithMosquitto('presence, by Mosquitto', () => {
  const folder = temporaryFolder();
  let mosquitto: Mosquitto;
  let service: Service;
  let rest: RestClient;
  const devices: ChildProcess[] = [];

  const start = async (): Promise<void> => {
    service = await startService({ DATA_DIR: folder.path, MQTT_URL: mosquitto.url });
    rest = new RestClient(service.url);
  };
  beforeAll(async () => {
    mosquitto = await startMosquitto();
    await start();
    // It has subscribed when a device is heard.
    const probe = await connected('probe');
    await until('the subscription', async () => {
      await probe.send('state/probe/presence', '{"connected":true}');
      return (await shown('probe')) !== null;
    });
    await probe.leave();
  });
  afterAll(async () => {
    for (const device of devices) device.kill('SIGKILL');
    await service.stop();
    await mosquitto.remove();
    folder.remove();
  });

  const connected = (clientId: string): Promise<MqttPeer> =>
    MqttPeer.connect(mosquitto.address, { clientId });
  const topicOf = (deviceId: string): string => `state/${deviceId}/presence`;

  async function shown(deviceId: string): Promise<Record<string, unknown> | null> {
    const { status, body } = await rest.get(`/state/${deviceId}/presence`);
    return status === 200 ? body : null;
  }
  const becomes = (deviceId: string, is: boolean): Promise<void> =>
    until(`${deviceId} is ${is}`, async () => (await shown(deviceId))?.['connected'] === is);

  /** A device in a process of its own, with a last will that says that it is gone; resolves when it has said it is there. */
  async function device(deviceId: string, isRetained: boolean): Promise<ChildProcess> {
    const port = mosquitto.address.split(':')[1] ?? '';
    const willing = [
      '--will-topic',
      topicOf(deviceId),
      '--will-payload',
      '{"connected":false}',
      '--will-qos',
      '1',
    ];
    const retained = isRetained ? ['--will-retain'] : [];
    const options = ['-p', port, '-i', deviceId, '-t', `state/${deviceId}/update/delta`, '-k', '60'];
    const child = spawn('stdbuf', ['-oL', 'mosquitto_sub', '-d', ...options, ...willing, ...retained], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    devices.push(child);
    await until(`${deviceId} is connected`, () => output.includes('SUBACK'));
    const peer = await connected(`by ${deviceId}`);
    await peer.client.publishAsync(topicOf(deviceId), '{"connected":true}', { qos: 1, retain: isRetained });
    await peer.leave();
    return child;
  }

  it.each([false, true])(
    'is what a device tells, and its last will when it is killed (retained: %s)',
    async (is) => {
      const deviceId = is ? 'retained' : 'plain';
      const before = Date.now();
      const child = await device(deviceId, is);
      await becomes(deviceId, true);
      const first = await shown(deviceId);
      expect(first).toEqual({ connected: true, since: expect.any(Number) });
      expect(first?.['since']).toBeGreaterThanOrEqual(before);
      child.kill('SIGKILL');
      await becomes(deviceId, false);
      expect(await shown(deviceId)).toEqual({ connected: false, since: expect.any(Number) });
    },
  );

  it('does not change where a device tells the same again', async () => {
    const peer = await connected('again');
    await peer.send(topicOf('again'), '{"connected":true}');
    await becomes('again', true);
    const is = await shown('again');
    await peer.send(topicOf('again'), '{"connected":true,"firmware":"2"}');
    await peer.send(topicOf('marker'), '{"connected":true}');
    await becomes('marker', true);
    expect(await shown('again')).toEqual(is);
    await peer.leave();
  });

  it('passes over what is something else', async () => {
    const peer = await connected('odd');
    for (const text of [
      '',
      '{',
      '{"connected":"yes"}',
      '[true]',
      'true',
      `{"connected":true,"x":"${'x'.repeat(5000)}"}`,
    ])
      await peer.send(topicOf('odd'), text);
    await peer.send('state/odd/name/part/presence', '{"connected":true}');
    await peer.send('state/a b/presence', '{"connected":true}');
    await peer.send(topicOf('marker-2'), '{"connected":true}');
    await becomes('marker-2', true);
    expect(await shown('odd')).toBeNull();
    await peer.leave();
  });

  it('is made right from what is retained, where the service or the broker was away', async () => {
    const stays = await device('stays', true);
    await becomes('stays', true);
    const is = await shown('stays');
    const peer = await connected('peer');
    await peer.client.publishAsync(topicOf('goes'), '{"connected":true}', { qos: 1, retain: true });
    await becomes('goes', true);
    await service.kill();
    await peer.client.publishAsync(topicOf('goes'), '{"connected":false}', { qos: 1, retain: true });
    await start();
    await becomes('goes', false);
    expect(await shown('stays')).toEqual(is);
    await peer.leave();

    await mosquitto.end();
    await mosquitto.restart();
    const later = await connected('later');
    await until('the service is back', async () => {
      await later.send(topicOf('later'), '{"connected":true}');
      return (await shown('later')) !== null;
    });
    await later.leave();
    stays.kill('SIGKILL');
  });

  it('is asked for in fleet queries', async () => {
    await rest.report('fleet-1', { a: 1 });
    const peer = await connected('fleet');
    await peer.send(topicOf('fleet-1'), '{"connected":true}');
    await until('it is listed', async () => {
      const { body } = await rest.get('/fleet?connected=true&prefix=fleet-');
      return (body['devices'] as unknown[]).length === 1;
    });
    await peer.leave();
  });
});

describe('presence, by a broker of MQTT 3.1.1', () => {
  it('is read there, too', async () => {
    const folders = [temporaryFolder(), temporaryFolder()];
    const [here = '', there = ''] = folders.map(({ path }) => path);
    const broker = await startService({ DATA_DIR: there });
    const service = await startService({
      DATA_DIR: here,
      MQTT_URL: `mqtt://${broker.mqtt}`,
      MQTT_SHARED: 'off',
    });
    const rest = new RestClient(service.url);
    await until('it is known', async () => {
      const peer = await MqttPeer.connect(broker.mqtt, { clientId: 'lamp' });
      await peer.leave();
      const { body } = await rest.get('/state/lamp/presence');
      return body['connected'] === false;
    });
    // As that broker tells it on the topic; the connection itself is not known here.
    expect((await rest.get('/state/lamp/presence')).body).not.toHaveProperty('clientId');
    await service.stop();
    await broker.stop();
    for (const { remove } of folders) remove();
  });

  it('is said once not to be known where the broker does not let it be read', async () => {
    const folders = [temporaryFolder(), temporaryFolder()];
    const [here = '', there = ''] = folders.map(({ path }) => path);
    const key = newApiKey();
    const keys = join(there, 'keys');
    writeFileSync(keys, lineOf({ id: 'lamp-1', role: 'device', devices: ['lamp-1'] }, key));
    const broker = await startService({ DATA_DIR: join(there, 'data'), API_KEYS_FILE: keys });
    const service = await startService({
      DATA_DIR: here,
      MQTT_URL: `mqtt://${broker.mqtt}`,
      // A device may connect under its own id alone, and not by a second connection.
      ...{ MQTT_CLIENT_ID: 'lamp-1', MQTT_USERNAME: 'x', MQTT_PASSWORD: key },
    });
    const said = (): readonly string[] =>
      service.lines.filter((line) => line.includes('It is not known which'));
    await until('it is said', () => said().length > 0);
    expect(said()[0]).toContain(`MQTT_URL: mqtt://${broker.mqtt} cannot be used as lamp-1-presence (`);
    expect((await new RestClient(service.url).get('/health/live')).status).toBe(200);
    await service.stop();
    await broker.stop();
    for (const { remove } of folders) remove();
  });
});
