import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import mqtt, { type IClientOptions } from 'mqtt';
import { CertificateAuthority } from '../support/certificates.js';
import { RestClient, until } from '../support/http.js';
import {
  describeWithMosquitto,
  freePort,
  type Mosquitto,
  runMosquitto,
  untilBrokerIsUsed,
} from '../support/mosquitto.js';
import { MqttPeer } from '../support/mqtt.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const DEPLOYED = fileURLToPath(new URL('../../deploy/mosquitto', import.meta.url));
const PASSWORD = 'a-secret';
const USERS = ['replica', 'panel', 'lamp-1', 'lamp-2', '+'];
const NOT_AUTHORIZED = 135;

function setPassword(folder: string, user: string): void {
  const args = ['-b', 'passwords', user, PASSWORD];
  const { status, stderr } = spawnSync('mosquitto_passwd', args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

/** The configuration of docker-compose.mqtt.yml, with other ports and paths alone, and with its lines on TLS. */
describeWithMosquitto('deploy/mosquitto, with the service as its client', () => {
  const folder = temporaryFolder();
  const files = temporaryFolder();
  let authority: CertificateAuthority;
  let mosquitto: Mosquitto;
  let service: Service;
  let rest: RestClient;
  let inner: number;
  let secure: number;

  beforeAll(async () => {
    [inner, secure] = [await freePort(), await freePort()];
    authority = CertificateAuthority.root(join(files.path, 'authority'));
    const { cert, key } = authority.issue('server', { usage: 'serverAuth', alternative: 'IP:127.0.0.1' });
    copyFileSync(authority.cert, join(files.path, 'ca.crt'));
    copyFileSync(cert, join(files.path, 'server.crt'));
    copyFileSync(key, join(files.path, 'server.key'));
    copyFileSync(join(DEPLOYED, 'access.acl'), join(files.path, 'access.acl'));
    writeFileSync(join(files.path, 'passwords'), '', { mode: 0o600 });
    for (const user of USERS) setPassword(files.path, user);
    const text = readFileSync(join(DEPLOYED, 'mosquitto.conf'), 'utf8');
    mosquitto = await runMosquitto((data, port) =>
      text
        .replaceAll(/^#(?=[a-z])/gm, '')
        .replace('listener 1883', `listener ${port} 127.0.0.1`)
        .replace('listener 1884', `listener ${inner} 127.0.0.1`)
        .replace('listener 8883', `listener ${secure} 127.0.0.1`)
        .replace('/mosquitto/data/', `${data}/`)
        .replaceAll(/\/mosquitto\/(auth|config|certs)/g, files.path),
    );
    service = await startService({
      DATA_DIR: folder.path,
      MQTT_URL: `mqtt://127.0.0.1:${inner}`,
      MQTT_USERNAME: 'replica',
      MQTT_PASSWORD: PASSWORD,
      AWS_SHADOW_TOPICS: 'on',
    });
    await untilBrokerIsUsed(service);
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    await mosquitto.remove();
    folder.remove();
    files.remove();
  });

  const connected = (username: string, options: IClientOptions = {}): Promise<MqttPeer> =>
    MqttPeer.connect(mosquitto.address, {
      username,
      password: PASSWORD,
      protocolVersion: 5,
      ...options,
    });
  const component = (): Promise<MqttPeer> =>
    MqttPeer.connect(`127.0.0.1:${inner}`, { username: 'panel', password: PASSWORD, protocolVersion: 5 });

  /** With what code Mosquitto answers a publish; 0: with none. */
  async function publishCode(peer: MqttPeer, topic: string): Promise<number> {
    try {
      await peer.client.publishAsync(topic, '{"state":{"reported":{"evil":1}}}', { qos: 1 });
      return 0;
    } catch (error) {
      return (error as { code: number }).code;
    }
  }

  it.each([
    ['the pattern’s', 'state/lamp-1'],
    ['a named replica’s', 'state/lamp-1/name/config'],
    ['a shadow’s', '$aws/things/lamp-1/shadow'],
    ['a named shadow’s', '$aws/things/lamp-1/shadow/name/config'],
  ])('lets a device at its own topics: %s', async (_, at) => {
    const device = await connected('lamp-1');
    await device.client.subscribeAsync(`${at}/#`, { qos: 1 });
    const before = device.of(`${at}/update/accepted`).length;
    await device.send(`${at}/update`, { state: { reported: { on: false } } });
    await device.has(before + 1, `${at}/update/accepted`);
    await device.send(`${at}/get`, '');
    expect((await device.has(1, `${at}/get/accepted`))[0]).toMatchObject({
      state: { reported: { on: false } },
    });
    await device.leave();
  });

  it('lets a component at all devices, and answers it where it asks', async () => {
    const panel = await component();
    const device = await connected('lamp-2');
    await device.client.subscribeAsync('state/lamp-2/update/delta', { qos: 1 });
    await panel.client.subscribeAsync(['state/+/update/accepted', 'answers/panel/1'], { qos: 1 });
    await panel.client.publishAsync('state/lamp-2/update', '{"state":{"desired":{"on":true}}}', {
      qos: 1,
      properties: { responseTopic: 'answers/panel/1' },
    });
    await panel.has(1, 'state/lamp-2/update/accepted');
    await panel.has(1, 'answers/panel/1');
    expect((await device.has(1, 'state/lamp-2/update/delta'))[0]).toMatchObject({ state: { on: true } });
    await panel.leave();
    await device.leave();
  });

  it.each([4, 5] as const)('lets no device at another’s topics, by MQTT %i', async (protocolVersion) => {
    const version = (await rest.update('lamp-2', { state: { desired: { on: protocolVersion } } })).body[
      'version'
    ];
    const thief = await connected('lamp-1', { protocolVersion });
    const filters = ['#', '+/#', 'state/#', 'state/+/#', 'state/lamp-2/#', 'state/lamp-2/update/delta'];
    const shadows = ['$aws/#', '$aws/things/#', '$aws/things/lamp-2/shadow/update/delta'];
    const shared = ['$share/device-state-replica/state/+/update', '$share/x/state/#'];
    await thief.client.subscribeAsync([...filters, ...shadows, ...shared], { qos: 1 });
    const topics = ['update', 'get', 'delete', 'update/delta', 'update/accepted', 'name/config/update'];
    const all = [
      ...topics.map((topic) => `state/lamp-2/${topic}`),
      '$aws/things/lamp-2/shadow/update',
      'state/lamp-1/delete',
      'state/lamp-1/update/delta',
      'answers/panel/1',
    ];
    for (const topic of all) {
      const code = await publishCode(thief, topic);
      expect({ topic, code }).toEqual({ topic, code: protocolVersion === 5 ? NOT_AUTHORIZED : 0 });
    }
    const desired = { on: protocolVersion + 10 };
    expect((await rest.update('lamp-2', { state: { desired } })).body).toMatchObject({
      version: (version as number) + 1,
    });
    // What another was told came before this.
    await thief.send('state/lamp-1/update', { state: { reported: { n: protocolVersion } } });
    await until('its own', () => thief.got.some(({ topic }) => topic === 'state/lamp-1/update/accepted'));
    expect(thief.got.filter(({ topic }) => !/^(state|\$aws\/things)\/lamp-1\//.test(topic))).toEqual([]);
    expect((await rest.get('/state/lamp-2')).text).not.toContain('evil');
    await thief.leave();
  });

  it('takes no command away by a group that somebody joins', async () => {
    const thief = await connected('lamp-1');
    await thief.client.subscribeAsync('$share/device-state-replica/state/+/update', { qos: 1 });
    const device = await connected('lamp-2');
    await device.client.subscribeAsync('state/lamp-2/update/accepted', { qos: 1 });
    for (let n = 0; n < 10; n++) await device.send('state/lamp-2/update', { state: { reported: { n } } });
    await device.has(10, 'state/lamp-2/update/accepted');
    await thief.leave();
    await device.leave();
  });

  it('lets a user whose name is a wildcard at nothing', async () => {
    const peer = await connected('+');
    await peer.client.subscribeAsync(['#', '$aws/#'], { qos: 1 });
    expect(await publishCode(peer, 'state/lamp-1/update')).toBe(NOT_AUTHORIZED);
    await rest.update('lamp-1', { state: { desired: { seen: '+' } } });
    const device = await connected('lamp-1');
    await device.client.subscribeAsync('state/lamp-1/update/delta', { qos: 1 });
    await device.has(1, 'state/lamp-1/update/delta');
    expect(peer.got).toEqual([]);
    await device.leave();
    await peer.leave();
  });

  it('lets a device tell its presence, and no other one', async () => {
    const device = await connected('lamp-1');
    await device.client.publishAsync('state/lamp-1/presence', '{"connected":true}', { qos: 1, retain: true });
    await until('it is known', async () =>
      (await rest.get('/state/lamp-1/presence')).text.includes('"connected":true'),
    );
    expect(await publishCode(device, 'state/lamp-2/presence')).toBe(NOT_AUTHORIZED);
    const panel = await component();
    await panel.client.subscribeAsync('state/+/presence', { qos: 1 });
    await panel.has(1, 'state/lamp-1/presence');
    await panel.leave();
    await device.leave();
  });

  it('lets nobody in by no password, or by a wrong one, and ends no other device’s connection', async () => {
    const device = await connected('lamp-1', { reconnectPeriod: 0 });
    for (const options of [{}, { username: 'lamp-1' }, { username: 'lamp-1', password: 'wrong' }]) {
      const refused = mqtt.connectAsync(`mqtt://${mosquitto.address}`, { ...options, reconnectPeriod: 0 });
      await expect(refused).rejects.toThrow(/[Nn]ot authorized/);
    }
    // By the client id of another.
    const other = await connected('lamp-2', { clientId: 'lamp-1' });
    await device.send('state/lamp-1/update', { state: { reported: { still: 'here' } } });
    expect(device.client.connected).toBe(true);
    await device.leave();
    await other.leave();
  });

  it('lets a device in that is added while it runs', async () => {
    setPassword(files.path, 'lamp-3');
    mosquitto.reload();
    const device = await connected('lamp-3', { reconnectPeriod: 50 });
    await device.client.subscribeAsync('state/lamp-3/update/accepted', { qos: 1 });
    await device.send('state/lamp-3/update', { state: { reported: { on: false } } });
    await device.has(1, 'state/lamp-3/update/accepted');
    await device.leave();
  });

  it('lets a device in by its certificate, at its own topics alone', async () => {
    const { cert, key } = authority.issue('lamp-1');
    const client = await mqtt.connectAsync(`mqtts://127.0.0.1:${secure}`, {
      ca: readFileSync(authority.cert),
      cert: readFileSync(cert),
      key: readFileSync(key),
      protocolVersion: 5,
    });
    const got: string[] = [];
    client.on('message', (topic) => got.push(topic));
    await client.subscribeAsync(['#', 'state/lamp-1/update/accepted'], { qos: 1 });
    await client.publishAsync('state/lamp-1/update', '{"state":{"reported":{"tls":1}}}', { qos: 1 });
    await until('the answer', () => got.includes('state/lamp-1/update/accepted'));
    await expect(client.publishAsync('state/lamp-2/update', '{}', { qos: 1 })).rejects.toMatchObject({
      code: NOT_AUTHORIZED,
    });
    await client.endAsync();
  });

  it('keeps what a device was acknowledged for while the service and Mosquitto end and start again', async () => {
    const device = await connected('lamp-1');
    await service.stop();
    await device.send('state/lamp-1/update', { state: { reported: { kept: true } } });
    await device.leave();
    await mosquitto.end();
    await mosquitto.restart();
    service = await startService({
      DATA_DIR: folder.path,
      MQTT_URL: `mqtt://127.0.0.1:${inner}`,
      MQTT_USERNAME: 'replica',
      MQTT_PASSWORD: PASSWORD,
      AWS_SHADOW_TOPICS: 'on',
    });
    rest = new RestClient(service.url);
    await until('it is recorded', async () => (await rest.get('/state/lamp-1')).text.includes('"kept":true'));
  });
});
