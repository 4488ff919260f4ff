import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CertificateAuthority, type IssuedFiles } from '../support/certificates.js';
import { RestClient, until } from '../support/http.js';
import {
  describeWithMosquitto,
  freePort,
  type Mosquitto,
  startMosquitto,
  untilBrokerIsUsed,
} from '../support/mosquitto.js';
import { MqttPeer } from '../support/mqtt.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

/** The service's own broker speaks 3.1.1 alone and has no shared subscriptions. */
describe('the service as a client of a broker of MQTT 3.1.1', () => {
  const folders = Array.from({ length: 4 }, () => temporaryFolder());
  const path = (n: number): string => folders[n]?.path ?? '';
  let broker: Service;
  let client: Service;

  beforeAll(async () => {
    broker = await startService({ DATA_DIR: path(0), TOPIC_PREFIX: 'other' });
  });
  afterAll(async () => {
    await client.stop();
    await broker.stop();
    for (const { remove } of folders) remove();
  });

  it('says in one line what to do where the broker refuses shared subscriptions', async () => {
    const refused = await startService({
      DATA_DIR: path(1),
      MQTT_URL: `mqtt://${broker.mqtt}`,
      MQTT_SHARED: 'on',
    });
    const line = (): string | undefined => refused.lines.find((one) => one.includes('$share/'));
    await until('it is told', () => line() !== undefined);
    expect(line()).toContain(
      `MQTT_URL: mqtt://${broker.mqtt} refuses the subscription $share/device-state-replica/state/+/update`,
    );
    expect(line()).toContain('set MQTT_SHARED=off');
    const { text, status } = await new RestClient(refused.url).get('/health/ready');
    expect({ status, isTold: text.includes('MQTT_SHARED=off') }).toEqual({ status: 200, isTold: true });
    await refused.stop();
  });

  it('says in one line what to do where the broker refuses the topics of AWS, and serves all others', async () => {
    const DATA_DIR = path(3);
    const service = await startService({
      DATA_DIR,
      MQTT_URL: `mqtt://${broker.mqtt}`,
      AWS_SHADOW_TOPICS: 'on',
    });
    const line = `MQTT_URL: mqtt://${broker.mqtt} refuses the subscription $aws/things/+/shadow/update`;
    await until('it is told', () => service.lines.some((one) => one.includes(line)));
    expect(service.lines.find((one) => one.includes(line))).toContain('set AWS_SHADOW_TOPICS=off');
    await service.stop();
  });

  it('comes down to 3.1.1 by itself, and works beside a broker of its own', async () => {
    client = await startService({
      DATA_DIR: path(2),
      MQTT_URL: `mqtt://${broker.mqtt}`,
      MQTT: 'on',
    });
    await untilBrokerIsUsed(client);
    await until('it is logged', () => client.lines.some((line) => line.includes('"version":"3.1.1"')));
    expect(client.lines.join('\n')).not.toContain('is away');
    const device = await MqttPeer.connect(client.mqtt, { clientId: 'own' });
    await device.client.subscribeAsync('state/own/update/accepted', { qos: 1 });
    await device.send('state/own/update', { state: { reported: { a: 1 } } });
    await device.has(1, 'state/own/update/accepted');
    await device.leave();
  });
});

/** Mosquitto grants a shared subscription to topics that begin with `$`, and sends nothing by it. */
describeWithMosquitto('the topics of AWS on a Mosquitto that shares subscriptions', () => {
  const folder = temporaryFolder();
  let mosquitto: Mosquitto;
  let service: Service;

  beforeAll(async () => {
    mosquitto = await startMosquitto();
    service = await startService({
      DATA_DIR: folder.path,
      MQTT_URL: mosquitto.url,
      MQTT_SHARED: 'on',
      AWS_SHADOW_TOPICS: 'on',
    });
  });
  afterAll(async () => {
    await service.stop();
    await mosquitto.remove();
    folder.remove();
  });

  it('are told, in one line, not to be served, and the native ones are', async () => {
    const line =
      `The MQTT broker cannot be used: MQTT_URL: ${mosquitto.url} grants the subscription ` +
      '$share/device-state-replica/$aws/things/+/shadow/update and sends nothing by it';
    await until('it is told', () => service.lines.some((one) => one.includes(line)));
    expect(service.lines.find((one) => one.includes(line))).toContain(
      'with one instance alone, set MQTT_SHARED=off, or set AWS_SHADOW_TOPICS=off',
    );
    const { text, status } = await new RestClient(service.url).get('/health/ready');
    expect({ status, isTold: text.includes('sends nothing by it') }).toEqual({ status: 200, isTold: true });

    const device = await MqttPeer.connect(mosquitto.address, { clientId: 'native' });
    await device.client.subscribeAsync('state/native/update/accepted', { qos: 1 });
    await device.send('state/native/update', { state: { reported: { a: 1 } } });
    await device.has(1, 'state/native/update/accepted');
    await device.leave();
  });
});

describeWithMosquitto('the service as a client of a Mosquitto that asks who it is', () => {
  const folder = temporaryFolder();
  let authority: CertificateAuthority;
  let client: IssuedFiles;
  let mosquitto: Mosquitto;
  const file = (name: string): string => join(folder.path, name);

  beforeAll(async () => {
    authority = CertificateAuthority.root(file('ca'));
    const server = authority.issue('server', { usage: 'serverAuth', alternative: 'IP:127.0.0.1' });
    client = authority.issue('client');
    const users = file('users');
    writeFileSync(users, 'replica:s3:cret@\n', { mode: 0o600 });
    spawnSync('mosquitto_passwd', ['-b', '-c', users, 'replica', 's3:cret@']);
    mosquitto = await startMosquitto(() => [
      'allow_anonymous false',
      `password_file ${users}`,
      `cafile ${authority.cert}`,
      `certfile ${server.cert}`,
      `keyfile ${server.key}`,
      'require_certificate true',
    ]);
  });
  afterAll(async () => {
    await mosquitto.remove();
    folder.remove();
  });

  const tls = (): Record<string, string> => ({
    MQTT_TLS_CA_FILE: authority.cert,
    MQTT_TLS_CERT_FILE: client.cert,
    MQTT_TLS_KEY_FILE: client.key,
  });
  const secure = (user: string): string => `mqtts://${user}${mosquitto.address}`;

  it.each([
    ['in the URL', () => ({ MQTT_URL: secure('replica:s3%3Acret%40@') })],
    ['in variables', () => ({ MQTT_URL: secure(''), MQTT_USERNAME: 'replica', MQTT_PASSWORD: 's3:cret@' })],
  ])('comes in by a certificate, with user and password %s, and logs neither', async (name, environment) => {
    const DATA_DIR = file(`data ${name}`);
    const service = await startService({ DATA_DIR, ...tls(), ...environment(), LOG_LEVEL: 'trace' });
    await untilBrokerIsUsed(service);
    await until('it is logged', () => service.lines.some((line) => line.includes(mosquitto.address)));
    expect(service.lines.join('\n')).not.toMatch(/s3:cret|s3%3Acret/);
    await service.stop();
  });

  it('says why it does not come in, and serves all others', async () => {
    const wrong = { MQTT_URL: secure('replica:wrong-word@'), DATA_DIR: file('data wrong') };
    const service = await startService({ ...tls(), ...wrong });
    const reason = `The MQTT broker cannot be used: mqtts://${mosquitto.address} is away: Connection refused:`;
    await until('it is told', () => service.lines.some((line) => line.includes(reason)));
    expect(service.lines.join('\n')).not.toContain('wrong-word');
    expect((await new RestClient(service.url).report('lamp', { a: 1 })).status).toBe(200);
    expect(await service.stop()).toBe(0);
  });

  it('starts where nobody listens, and says so', async () => {
    const port = await freePort();
    const service = await startService({ DATA_DIR: file('data away'), MQTT_URL: `mqtt://127.0.0.1:${port}` });
    await until('it is told', () => service.lines.some((line) => line.includes('ECONNREFUSED')));
    expect((await new RestClient(service.url).report('lamp', { a: 1 })).status).toBe(200);
    expect(await service.stop()).toBe(0);
  });
});
