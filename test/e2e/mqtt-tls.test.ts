import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type PeerCertificate } from 'node:tls';
import { type IClientOptions } from 'mqtt';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import {
  CertificateAuthority,
  describeWithOpenssl,
  type IssuedFiles,
  type Wanted,
} from '../support/certificates.js';
import { RestClient, until } from '../support/http.js';
import { answerToConnect, MqttPeer } from '../support/mqtt.js';
import { OidcIssuer } from '../support/oidc-issuer.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const PYTHON = process.env['DEVICE_PYTHON'] ?? 'python3';
/** Longer than a stop takes, in which no handshake may be waited for. */
const ARRIVAL_MS = 15_000;
const DAY_MS = 86_400_000;

describeWithOpenssl('MQTT by TLS, with client certificates', () => {
  const folder = temporaryFolder();
  const file = (name: string): string => join(folder.path, name);
  const authority = CertificateAuthority.root(file('ours'));
  const between = authority.under('between');
  const player = authority.under('player', false);
  const foreign = CertificateAuthority.root(file('theirs'), 'another authority');
  const namesake = CertificateAuthority.root(file('namesake'));
  const ownSigned = CertificateAuthority.root(file('own'), 'lamp-1');
  const server = authority.issue('server', { usage: 'serverAuth', alternative: 'IP:127.0.0.1' });
  const device = (name: string, wanted?: Wanted): IssuedFiles => authority.issue(name, wanted);
  const lamp = device('lamp-1');
  const revoked = device('lost', { subject: '/CN=lamp-1' });
  authority.revoke(revoked);
  const keys = { lamp: newApiKey(), pump: newApiKey(), panel: newApiKey() };
  const settings = {
    DATA_DIR: file('data'),
    API_KEYS_FILE: file('keys'),
    MQTT_TLS_CERT_FILE: file('server.pem'),
    MQTT_TLS_KEY_FILE: file('server.key'),
    MQTT_TLS_CA_FILE: file('ca.pem'),
    MQTT_TLS_CRL_FILE: file('crl.pem'),
    OIDC_AUDIENCE: 'replica',
  };
  let issuer: OidcIssuer;
  let service: Service;
  let ops: RestClient;
  let token = '';

  beforeAll(async () => {
    serve(server);
    writeFileSync(settings.MQTT_TLS_CA_FILE, readFileSync(authority.cert));
    writeFileSync(settings.MQTT_TLS_CRL_FILE, lists());
    const operator = newApiKey();
    writeFileSync(
      settings.API_KEYS_FILE,
      [
        lineOf({ id: 'by-key', role: 'device', devices: ['lamp-1'] }, keys.lamp),
        lineOf({ id: 'pump-1', role: 'device', devices: ['pump-1'] }, keys.pump),
        lineOf({ id: 'lamp-1', role: 'component', devices: ['*'] }, keys.panel),
        lineOf({ id: 'ops', role: 'operator', devices: [] }, operator),
      ].join('\n'),
    );
    issuer = await OidcIssuer.start();
    token = await issuer.token({ role: 'device', devices: 'lamp-1' });
    service = await startService({ ...settings, OIDC_ISSUER: issuer.url });
    ops = new RestClient(service.url, 'state', { 'x-api-key': operator });
  });
  afterAll(async () => {
    await service.stop();
    await issuer.leave();
    folder.remove();
  });

  function lists(): string {
    return authority.list() + between.list() + player.list();
  }

  function serve({ cert, key }: IssuedFiles): void {
    writeFileSync(settings.MQTT_TLS_KEY_FILE, readFileSync(key));
    writeFileSync(settings.MQTT_TLS_CERT_FILE, readFileSync(cert));
  }

  /** What a client connects with: a certificate, a password, both or neither. */
  function by(files: IssuedFiles | null, password?: string): IClientOptions {
    return {
      protocol: 'mqtts',
      clientId: 'lamp-1',
      ca: readFileSync(authority.cert),
      ...(files === null ? {} : { cert: readFileSync(files.cert), key: readFileSync(files.key) }),
      ...(password === undefined ? {} : { username: 'any', password }),
    };
  }

  const answer = (options: IClientOptions): Promise<number | string> =>
    answerToConnect(service.mqtt, options);

  describe.each([
    ['a key', () => by(null, keys.lamp)],
    ['a token', () => by(null, token)],
    ['a certificate', () => by(lamp)],
    ['a certificate of an authority below', () => by(between.issue('below', { subject: '/CN=lamp-1' }))],
    ['a certificate and a key of the same device', () => by(lamp, keys.lamp)],
    ['a certificate and a token of the same device', () => by(lamp, token)],
  ])('a device with %s', (_, options) => {
    it('is let in, and may do what a device may', async () => {
      const peer = await MqttPeer.connect(service.mqtt, options());
      const own = 'state/lamp-1/update';
      const granted = async (filter: string): Promise<boolean> =>
        peer.client.subscribeAsync(filter, { qos: 1 }).then(
          ([one]) => one?.qos !== 128,
          () => false,
        );
      for (const filter of [`${own}/+`, 'state/lamp-1/#', 'state/lamp-1/name/part/update/delta']) {
        expect({ filter, isGranted: await granted(filter) }).toEqual({ filter, isGranted: true });
      }
      for (const filter of [
        'state/pump-1/#',
        'state/+/update/delta',
        'state/#',
        '#',
        '+/lamp-1/#',
        '$SYS/#',
      ]) {
        expect({ filter, isGranted: await granted(filter) }).toEqual({ filter, isGranted: false });
      }
      const clientToken = String(Math.random());
      await peer.send(own, { state: { reported: { a: 1 } }, clientToken });
      await until('it is accepted', () =>
        peer.of(`${own}/accepted`).some((one) => one['clientToken'] === clientToken),
      );
      for (const [topic, body] of [
        [own, { state: { desired: { a: 2 } } }],
        ['state/pump-1/update', { state: { reported: { a: 1 } } }],
        ['state/pump-1/get', ''],
        ['state/lamp-1/delete', ''],
      ] as const) {
        const before = peer.of(`${topic}/rejected`).length;
        await peer.send(topic, body);
        const refusals = await peer.has(before + 1, `${topic}/rejected`);
        expect(refusals.at(-1)).toMatchObject({ code: 403 });
      }
      expect((await ops.get('/state/pump-1')).status).toBe(404);
      await peer.leave();
    });

    it('connects under its own id alone', async () => {
      expect(await answer({ ...options(), clientId: 'pump-1' })).toBe(5);
    });
  });

  it.each([
    ['nothing', () => by(null), 4],
    ['a wrong key', () => by(null, newApiKey()), 4],
    ['a certificate of another authority', () => by(foreign.issue('lamp-1')), 5],
    [
      'a certificate that it signed itself',
      () => by({ cert: ownSigned.cert, key: join(ownSigned.folder, 'ca.key') }),
      5,
    ],
    ['a certificate that a device signed', () => by(player.issue('played', { subject: '/CN=lamp-1' })), 5],
    [
      'a certificate that has ended',
      () =>
        by(device('old', { subject: '/CN=lamp-1', from: new Date(0), to: new Date(Date.now() - DAY_MS) })),
      5,
    ],
    [
      'a certificate that has not begun',
      () =>
        by(
          device('early', {
            subject: '/CN=lamp-1',
            from: new Date(Date.now() + DAY_MS),
            to: new Date(Date.now() + 2 * DAY_MS),
          }),
        ),
      5,
    ],
    ['a certificate that was taken back', () => by(revoked), 5],
    [
      'a certificate of a server',
      () => by(device('server-too', { subject: '/CN=lamp-1', usage: 'serverAuth' })),
      5,
    ],
    ['a certificate of another device', () => by(device('pump-1')), 5],
    [
      'a certificate that may sign others',
      () => by(device('above', { subject: '/CN=lamp-1', isAuthority: true })),
      5,
    ],
    ['a certificate without a name', () => by(device('nameless', { subject: '/O=lamp-1' })), 5],
    ['a certificate with two names', () => by(device('twofold', { subject: '/CN=lamp-1/CN=pump-1' })), 5],
    ['a certificate with a device in another part', () => by(device('part', { subject: '/O=CN=lamp-1' })), 5],
    ['a certificate for all devices', () => by(device('all', { subject: '/CN=*' })), 5],
    ['a certificate for many devices', () => by(device('many', { subject: '/CN=lamp-*' })), 5],
    [
      'a certificate for a named replica',
      () => by(device('named', { subject: '/CN=lamp-1\\/name\\/part' })),
      5,
    ],
    ['a certificate of no device id', () => by(device('spaced', { subject: '/CN=lamp 1' })), 5],
    ['a good certificate and a wrong key', () => by(lamp, newApiKey()), 4],
    ['a good certificate and the key of another device', () => by(lamp, keys.pump), 4],
    ['a good certificate and the key of a component of its name', () => by(lamp, keys.panel), 4],
    ['a good certificate and an empty password', () => by(lamp, ''), 4],
    ['a certificate that was taken back, and a good key', () => by(revoked, keys.lamp), 5],
  ])('lets nobody in with %s', async (_, options, code) => {
    expect(await answer(options())).toBe(code);
  });

  it('lets nobody in with a certificate of another authority of the same name', async () => {
    // OpenSSL ends some of these connections by itself.
    expect(await answer(by(namesake.issue('lamp-1')))).not.toBe(0);
  });

  it('says in the log why a certificate is refused', async () => {
    await until('it is told', async () => {
      await answer(by(revoked));
      return service.lines.some((line) => line.includes('"problem":"CERT_REVOKED"'));
    });
  });

  it('ends what is no TLS, and what is an old one', async () => {
    expect(typeof (await answer({ protocol: 'mqtt', clientId: 'lamp-1' }))).toBe('string');
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    expect(await answer({ ...by(null, keys.lamp), ...old })).toBe('EPROTO');
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const options = { ...by(lamp), minVersion: version, maxVersion: version };
      expect({ version, code: await answer(options) }).toEqual({ version, code: 0 });
    }
  });

  it('resumes no TLS session, for which a certificate would not be looked at again', async () => {
    const [host, port] = service.mqtt.split(':');
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const connect = (session?: Buffer): Promise<{ isReused: boolean; session: Buffer | undefined }> =>
        new Promise((resolve, reject) => {
          let ticket: Buffer | undefined;
          const { cert, key } = lamp;
          const socket = connectTls({
            ...{ host, port: Number(port), minVersion: version, maxVersion: version, session },
            ...{ ca: readFileSync(authority.cert), cert: readFileSync(cert), key: readFileSync(key) },
          });
          socket.on('session', (one: Buffer) => (ticket = one));
          socket.on('error', reject);
          // A CONNECT, so that an answer comes, behind whatever ticket there is.
          socket.write(Buffer.from('101200044d5154540402003c00066c616d702d31', 'hex'));
          socket.once('data', () => {
            resolve({ isReused: socket.isSessionReused(), session: ticket ?? socket.getSession() });
            socket.destroy();
          });
        });
      const { session } = await connect();
      expect({ version, isReused: (await connect(session)).isReused }).toEqual({ version, isReused: false });
    }
  });

  it('keeps the session of a device that changes from a key to a certificate', async () => {
    const topic = 'state/lamp-1/update/accepted';
    const first = await MqttPeer.connect(service.mqtt, { ...by(null, keys.lamp), clean: false });
    await first.client.subscribeAsync(topic, { qos: 1 });
    await first.leave();
    const second = await MqttPeer.connect(service.mqtt, { ...by(lamp), clean: false });
    await second.send('state/lamp-1/update', { state: { reported: { a: 1 } } });
    await second.has(1, topic);
    await second.leave();
  });

  describe('with the clients of Mosquitto and Paho', () => {
    function run(program: string, ...args: string[]): Promise<string> {
      return new Promise((resolve, reject) =>
        execFile(program, args, { timeout: 90_000 }, (error, stdout, stderr) =>
          error === null ? resolve(stdout) : reject(new Error(`${error.message} ${stderr}`)),
        ),
      );
    }
    function mosquitto(program: string, files: IssuedFiles, ...args: string[]): Promise<string> {
      const [host = '', port = ''] = service.mqtt.split(':');
      const tls = ['--cafile', authority.cert, '--cert', files.cert, '--key', files.key];
      return run(program, '-h', host, '-p', port, '-i', 'lamp-1', ...tls, ...args);
    }

    const hasMosquitto = spawnSync('mosquitto_pub', ['--help']).error === undefined;
    const itMosquitto = hasMosquitto || process.env['REQUIRE_MOSQUITTO'] === '1' ? it : it.skip;
    itMosquitto(
      'lets mosquitto_pub and mosquitto_sub in (skipped where Debian’s mosquitto-clients is missing)',
      async () => {
        const body = '{"state":{"reported":{"by":"mosquitto"}}}';
        await mosquitto('mosquitto_pub', lamp, '-t', 'state/lamp-1/update', '-q', '1', '-m', body);
        await ops.update('lamp-1', { state: { desired: { on: true } } });
        const delta = await mosquitto('mosquitto_sub', lamp, '-t', 'state/lamp-1/update/delta', '-C', '1');
        expect(JSON.parse(delta)).toMatchObject({ state: { on: true } });
        expect((await ops.get('/state/lamp-1')).body).toMatchObject({
          state: { reported: { by: 'mosquitto' } },
        });
        await expect(
          mosquitto('mosquitto_pub', revoked, '-t', 'state/lamp-1/update', '-q', '1', '-m', body),
        ).rejects.toThrow(/not authori[sz]ed/i);
      },
    );

    const hasPaho = spawnSync(PYTHON, ['-c', 'import paho.mqtt.client as m; m.CallbackAPIVersion.VERSION2']);
    const itPaho = hasPaho.status === 0 || process.env['REQUIRE_DEVICE_TOOLS'] === '1' ? it : it.skip;
    itPaho('lets Paho in (skipped where DEVICE_PYTHON, or python3, has no paho-mqtt 2)', async () => {
      const program = file('device.py');
      writeFileSync(program, PAHO);
      const port = service.mqtt.split(':')[1] ?? '';
      const say = ({ cert, key }: IssuedFiles): Promise<string> =>
        run(PYTHON, program, port, authority.cert, cert, key);
      expect(await say(lamp)).toBe('Success\n');
      expect((await ops.get('/state/lamp-1')).body).toMatchObject({ state: { reported: { by: 'paho' } } });
      expect(await say(revoked)).toBe('Not authorized\n');
    });
  });

  it('takes renewed files without a restart, and keeps those before where the new ones are broken', async () => {
    const seen = async (): Promise<string> => (await serverCertificate(service.mqtt)).serialNumber;
    const before = await seen();
    const stays = await MqttPeer.connect(service.mqtt, { ...by(lamp), reconnectPeriod: 0 });
    serve(authority.issue('renewed', { usage: 'serverAuth', alternative: 'IP:127.0.0.1' }));
    await until('the new certificate is shown', async () => (await seen()) !== before);
    const renewed = await seen();
    for (const [name, text, complaint] of [
      ['server.key', 'broken', 'MQTT_TLS_KEY_FILE'],
      ['server.key', readFileSync(server.key, 'utf8'), 'is not the one of the first certificate'],
      ['ca.pem', '', 'MQTT_TLS_CA_FILE'],
      ['crl.pem', 'broken', 'MQTT_TLS_CRL_FILE'],
    ] as const) {
      const good = readFileSync(file(name));
      writeFileSync(file(name), text);
      await until('it is told', () => service.lines.some((line) => line.includes(complaint)));
      expect(await seen()).toBe(renewed);
      expect(await answer(by(revoked))).toBe(5);
      writeFileSync(file(name), good);
    }
    expect(stays.client.connected).toBe(true);
    // As devices do whose session would be another's if it were resumed.
    expect(await answer(by(lamp))).toBe(0);
    await stays.leave(true);
  });

  it('ends connections whose certificate is taken back or ends, or whose authority goes, and no others', async () => {
    const connected = (files: IssuedFiles, clientId: string): Promise<MqttPeer> =>
      MqttPeer.connect(service.mqtt, { ...by(files), clientId, reconnectPeriod: 0 });
    const lost = device('stolen');
    const lostPeer = await connected(lost, 'stolen');
    const stays = await connected(device('kept'), 'kept');
    const brief = device('brief', { to: new Date(Date.now() + 20_000) });
    const briefPeer = await connected(brief, 'brief');
    const byKey = await MqttPeer.connect(service.mqtt, { ...by(null, keys.pump), clientId: 'pump-1' });
    const both = device('both', { subject: '/CN=lamp-1' });
    const options = { ...by(both, keys.lamp), reconnectPeriod: 0 };
    const bothPeer = await MqttPeer.connect(service.mqtt, options);
    authority.revoke(lost);
    authority.revoke(both);
    writeFileSync(settings.MQTT_TLS_CRL_FILE, lists());
    await until('the stolen one is out', () => !lostPeer.client.connected);
    await until('so is the one that has a password, too', () => !bothPeer.client.connected);
    expect(await answer(options)).toBe(5);
    expect(await answer({ ...by(lost), clientId: 'stolen' })).toBe(5);
    await until('the brief one is out', () => !briefPeer.client.connected);
    expect(await answer({ ...by(brief), clientId: 'brief' })).toBe(5);
    const again = await connected(device('brief-2', { subject: '/CN=brief' }), 'brief');
    await again.leave();
    // The authority is renewed under its key, and then another one takes its place.
    expect(stays.client.connected).toBe(true);
    writeFileSync(settings.MQTT_TLS_CA_FILE, readFileSync(foreign.cert));
    writeFileSync(settings.MQTT_TLS_CRL_FILE, foreign.list());
    await until('the others are out', () => !stays.client.connected);
    expect(byKey.client.connected).toBe(true);
    expect(await answer(by(lamp))).toBe(5);
    expect(await answer(by(foreign.issue('lamp-1-b', { subject: '/CN=lamp-1' })))).toBe(0);
    const line = service.lines.find((one) => one.includes('"clientId":"stolen"')) ?? '';
    expect(line).toContain('its credentials do not do any more');
    await byKey.leave();
  });
});

const PAHO = `
import ssl, sys
import paho.mqtt.client as mqtt
port, ca, cert, key = sys.argv[1:]
device = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="lamp-1", protocol=mqtt.MQTTv311)
device.tls_set(ca_certs=ca, certfile=cert, keyfile=key)
def on_connect(client, userdata, flags, reason, properties):
    print(reason)
    if reason.is_failure: client.disconnect()
    else: client.publish("state/lamp-1/update", '{"state":{"reported":{"by":"paho"}}}', qos=1)
device.on_connect = on_connect
device.on_publish = lambda client, *rest: client.disconnect()
device.connect("127.0.0.1", int(port))
device.loop_forever(retry_first_connection=False)
`;

function serverCertificate(address: string): Promise<PeerCertificate> {
  const [host, port] = address.split(':');
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate());
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

describeWithOpenssl('handshakes of TLS that are never completed', () => {
  const folder = temporaryFolder();
  let service: Service;
  beforeAll(async () => {
    const { cert, key } = CertificateAuthority.root(join(folder.path, 'ca')).issue('server', {
      usage: 'serverAuth',
    });
    service = await startService({
      DATA_DIR: join(folder.path, 'data'),
      MQTT_TLS_CERT_FILE: cert,
      MQTT_TLS_KEY_FILE: key,
      MAX_MQTT_CONNECTION_COUNT: '2',
      ARRIVAL_TIMEOUT_MS: String(ARRIVAL_MS),
    });
  });
  afterAll(async () => {
    expect(await service.stop()).toBe(0);
    folder.remove();
  });

  const stalled = async (): Promise<Socket> => {
    const socket = connectTcp(Number(service.mqtt.split(':')[1]), '127.0.0.1');
    socket.on('error', () => undefined).resume();
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  };
  const answer = (): Promise<number | string> =>
    answerToConnect(service.mqtt, { protocol: 'mqtts', rejectUnauthorized: false, clientId: 'lamp' });
  const count = async (): Promise<string> =>
    /^replica_mqtt_connections (\d+)$/m.exec((await new RestClient(service.url).get('/metrics')).text)?.[1] ??
    '';

  it('count as connections, and are cut in a while', async () => {
    expect(await answer()).toBe(0);
    await until('it has gone', async () => (await count()) === '0');
    const [one, other] = [await stalled(), await stalled()];
    // The beginning of a record, and nothing more.
    one.write(Buffer.from('16030102', 'hex'));
    await until('they are counted', async () => (await count()) === '2');
    expect(typeof (await answer())).toBe('string');
    await Promise.all([one, other].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    await until('they are counted no more', async () => (await count()) === '0');
    expect(await answer()).toBe(0);
  });

  it('do not hold up a stop', async () => {
    const socket = await stalled();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await until('it is counted', async () => (await count()) === '1');
    const began = Date.now();
    expect(await service.stop()).toBe(0);
    expect(Date.now() - began).toBeLessThan(ARRIVAL_MS);
    await closed;
  });
});
