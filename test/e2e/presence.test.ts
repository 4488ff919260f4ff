import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import mqttPacket from 'mqtt-packet';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { RestClient, until } from '../support/http.js';
import { MqttPeer } from '../support/mqtt.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

type Shown = Record<string, unknown>;

async function shown(rest: RestClient, deviceId: string): Promise<Shown | null> {
  const { status, body } = await rest.get(`/state/${deviceId}/presence`);
  return status === 200 ? body : null;
}

async function becomes(rest: RestClient, deviceId: string, wanted: Shown): Promise<Shown> {
  let now: Shown | null = null;
  await until(`${deviceId} to be ${JSON.stringify(wanted)}, it is ${JSON.stringify(now)}`, async () => {
    now = await shown(rest, deviceId);
    return Object.entries(wanted).every(([name, value]) => now?.[name] === value);
  });
  return now as unknown as Shown;
}

describe('presence, by the broker in the service', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;

  const start = async (): Promise<void> => {
    service = await startService({ DATA_DIR: folder.path });
    rest = new RestClient(service.url);
  };
  beforeAll(start);
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  const connected = (clientId: string, options = {}): Promise<MqttPeer> =>
    MqttPeer.connect(service.mqtt, { clientId, ...options });
  const will = (deviceId: string) => ({
    topic: `state/${deviceId}/update`,
    payload: Buffer.from('{"state":{"reported":{"online":false}}}'),
    qos: 1 as const,
    retain: false,
  });

  it('is not known of a device that never connected, and of what is no device', async () => {
    expect((await rest.get('/state/nobody/presence')).status).toBe(404);
    expect((await rest.get('/state/a%20b/presence')).status).toBe(400);
  });

  it('tells who is connected, and how it ended: by DISCONNECT', async () => {
    const before = Date.now();
    const device = await connected('clean', { will: will('clean') });
    const is = await becomes(rest, 'clean', { connected: true, clientId: 'clean' });
    expect(is).not.toHaveProperty('ended');
    expect(is['since']).toBeGreaterThanOrEqual(before);
    await device.leave();
    const was = await becomes(rest, 'clean', { connected: false, ended: 'clean', will: false });
    expect(was['since']).toBeGreaterThanOrEqual(Number(is['since']));
    // Also by its named replicas, which are its own.
    expect(await shown(rest, 'clean/name/firmware')).toEqual(was);
  });

  it('tells how it ended: a connection that broke, with and without a last will', async () => {
    const silent = await connected('lost');
    const willing = await connected('lost-with-will', { will: will('lost-with-will') });
    await becomes(rest, 'lost', { connected: true });
    await silent.leave(true);
    await willing.leave(true);
    await becomes(rest, 'lost', { connected: false, ended: 'lost', will: false });
    await becomes(rest, 'lost-with-will', { connected: false, ended: 'lost', will: true });
    await until('the last will', async () => (await rest.get('/state/lost-with-will')).status === 200);
  });

  it('tells how it ended: a device that says nothing for too long', async () => {
    const [host = '', port] = service.mqtt.split(':');
    const socket = connect(Number(port), host);
    const packet = { cmd: 'connect', clientId: 'silent', clean: true, keepalive: 1 } as const;
    socket.write(mqttPacket.generate({ ...packet, protocolId: 'MQTT', protocolVersion: 4 }));
    await becomes(rest, 'silent', { connected: true });
    await becomes(rest, 'silent', { connected: false, ended: 'lost' });
    socket.destroy();
  });

  it('goes on where a device connects again before its old connection has ended', async () => {
    const watcher = await connected('watcher of takeover');
    await watcher.client.subscribeAsync('state/takeover/presence', { qos: 1 });
    const first = await connected('takeover', { reconnectPeriod: 0 });
    const is = await becomes(rest, 'takeover', { connected: true });
    const second = await connected('takeover', { reconnectPeriod: 0 });
    await until('the first is ended', () => !first.client.connected);
    await until('a later time', async () => (await shown(rest, 'takeover'))?.['since'] !== is['since']);
    expect(await shown(rest, 'takeover')).toMatchObject({ connected: true });
    expect((await watcher.has(3, 'state/takeover/presence')).map((one) => one['ended'] ?? null)).toEqual([
      null,
      'taken-over',
      null,
    ]);
    await second.leave();
    await becomes(rest, 'takeover', { connected: false, ended: 'clean' });
    await watcher.leave();
  });

  it('tells those who subscribe, with the document of REST', async () => {
    const component = await connected('a component');
    await component.client.subscribeAsync('state/+/presence', { qos: 1 });
    const device = await connected('told');
    const is = await becomes(rest, 'told', { connected: true });
    await device.leave(true);
    const was = await becomes(rest, 'told', { connected: false });
    expect(await component.has(2, 'state/told/presence')).toEqual([is, was]);
    // Without an id of a device it is none.
    expect(component.got.some(({ topic }) => topic.includes('component'))).toBe(false);
    await component.leave();
  });

  it('takes from a device what it tells of itself elsewhere, and from nobody what others say of it', async () => {
    const component = await connected('an observer');
    await component.client.subscribeAsync('state/+/presence', { qos: 1 });
    const topic = 'state/portable/presence';
    const device = await connected('portable', {
      will: { topic, payload: Buffer.from('{"connected":false}'), qos: 1, retain: true },
    });
    await device.client.publishAsync(topic, '{"connected":true}', { qos: 1, retain: true });
    await component.client.publishAsync(topic, '{"connected":false}', { qos: 1 });
    await device.send('state/portable/update', { state: { reported: { a: 1 } } });
    expect(await becomes(rest, 'portable', { connected: true })).toHaveProperty('clientId');
    await device.leave(true);
    await becomes(rest, 'portable', { connected: false, ended: 'lost', will: true });
    const told = await component.has(2, topic);
    expect(told.map(({ connected: is }) => is)).toEqual([true, false]);
    expect(told.every((one) => 'since' in one)).toBe(true);
    await component.leave();
  });

  it('is asked for in fleet queries', async () => {
    const ids = ['fleet-away', 'fleet-here', 'fleet-never'];
    for (const id of ids) await rest.report(id, { a: 1 });
    await rest.report('fleet-here/name/part', { a: 1 });
    const away = await connected('fleet-away');
    const here = await connected('fleet-here');
    await becomes(rest, 'fleet-here', { connected: true });
    await away.leave();
    const was = await becomes(rest, 'fleet-away', { connected: false });
    const is = await shown(rest, 'fleet-here');
    const ask = async (query: Record<string, string>): Promise<unknown[]> => {
      const text = new URLSearchParams({ prefix: 'fleet-', ...query }).toString();
      const { status, body } = await rest.get(`/fleet?${text}`);
      expect(status).toBe(200);
      return (body['devices'] as Shown[]).map((one) => one['deviceId']);
    };
    await until('the devices', async () => (await ask({})).length === 4);
    expect(await ask({ connected: 'true' })).toEqual(['fleet-here', 'fleet-here/name/part']);
    expect(await ask({ connected: 'false' })).toEqual(['fleet-away']);
    const since = Number(was['since']);
    expect(await ask({ filter: `disconnectedSince <= ${since}` })).toEqual(['fleet-away']);
    expect(await ask({ filter: `disconnectedSince < "${new Date(since).toISOString()}"` })).toEqual([]);
    expect(await ask({ filter: 'not exists(connectedSince) and reported.a == 1' })).toEqual([
      'fleet-away',
      'fleet-never',
    ]);
    expect((await ask({ sort: '-connectedSince' }))[0]).toBe('fleet-here');
    expect(await ask({ sort: 'disconnectedSince', connected: 'false' })).toEqual(['fleet-away']);
    const count = await rest.get('/fleet/count?prefix=fleet-&connected=true');
    expect(count.body).toMatchObject({ devices: 2 });
    const { body } = await rest.get('/fleet?prefix=fleet-&limit=2');
    expect(body['devices']).toMatchObject([
      { deviceId: 'fleet-away', connected: false, connectedSince: null, disconnectedSince: since },
      { deviceId: 'fleet-here', connected: true, connectedSince: is?.['since'], disconnectedSince: null },
    ]);
    const fields = await rest.get('/fleet?prefix=fleet-never&fields=connected,connectedSince');
    expect(fields.body['devices']).toEqual([
      { deviceId: 'fleet-never', connected: null, connectedSince: null },
    ]);
    for (const query of ['connected=yes', 'connectedSince=5', 'filter=connected==true'])
      expect((await rest.get(`/fleet?${query}`)).status).toBe(400);
    await here.leave();
  });

  it('outlives a rebuild of the read model', async () => {
    const was = await shown(rest, 'lost');
    const init = { method: 'POST', headers: { 'content-type': 'application/json' } };
    expect((await rest.call('POST', '/ops/projections/rebuild', init)).status).toBeLessThan(300);
    await until('the rebuild', async () => {
      const { body } = await rest.get('/ops/projections');
      return body['rebuild'] === null;
    });
    expect(await shown(rest, 'lost')).toEqual(was);
  });

  it('counts who is connected', async () => {
    const peers = await Promise.all(['count-1', 'count-2'].map((id) => connected(id)));
    await until('the metric', async () => {
      const { text } = await rest.get('/metrics');
      return /^replica_connected_devices 2$/m.test(text);
    });
    for (const peer of peers) await peer.leave();
  });

  it('says so where the service has stopped, and where it was killed, before anybody connects anew', async () => {
    const device = await connected('restarts', { will: will('restarts') });
    const is = await becomes(rest, 'restarts', { connected: true });
    await service.stop();
    device.client.end(true);
    await start();
    expect(await shown(rest, 'restarts')).toMatchObject({ connected: false, ended: 'stopped', will: true });

    const again = await connected('restarts', { reconnectPeriod: 0 });
    const left = await connected('left-clean');
    await becomes(rest, 'restarts', { connected: true });
    await left.leave();
    await becomes(rest, 'left-clean', { connected: false });
    const before = Date.now();
    await service.kill();
    await start();
    const was = await shown(rest, 'restarts');
    expect(was).toMatchObject({ connected: false, ended: 'unknown', will: false });
    expect(was?.['since']).toBeGreaterThan(Number(is['since']));
    expect(was?.['since']).toBeLessThanOrEqual(before + 1000);
    expect(await shown(rest, 'left-clean')).toMatchObject({ ended: 'clean' });
    again.client.end(true);
    const back = await connected('restarts');
    await becomes(rest, 'restarts', { connected: true });
    await back.leave();
  });

  it('is not kept without a read model', async () => {
    const other = temporaryFolder();
    const without = await startService({ DATA_DIR: other.path, PROJECTIONS: 'off' });
    const device = await MqttPeer.connect(without.mqtt, { clientId: 'd' });
    expect((await new RestClient(without.url).get('/state/d/presence')).status).toBe(503);
    await device.leave();
    await without.stop();
    other.remove();
  });
});

describe('presence, where it is known who connects', () => {
  const folder = temporaryFolder();
  const keys = { device: newApiKey(), component: newApiKey(), operator: newApiKey() };
  let service: Service;
  let rest: RestClient;

  beforeAll(async () => {
    const file = join(folder.path, 'keys');
    const lines = [
      lineOf({ id: 'lamp-1', role: 'device', devices: ['lamp-1'] }, keys.device),
      lineOf({ id: 'panel', role: 'component', devices: ['lamp-*'] }, keys.component),
      lineOf({ id: 'ops', role: 'operator', devices: [] }, keys.operator),
    ];
    writeFileSync(file, lines.join('\n'));
    service = await startService({ DATA_DIR: join(folder.path, 'data'), API_KEYS_FILE: file });
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  const connected = (role: keyof typeof keys, clientId: string): Promise<MqttPeer> =>
    MqttPeer.connect(service.mqtt, { clientId, username: 'x', password: keys[role] });
  const ask = (role: keyof typeof keys, deviceId: string) =>
    rest.get(`/state/${deviceId}/presence`, { 'x-api-key': keys[role] });

  it('is a device’s own connection, and nobody else’s', async () => {
    const panel = await connected('component', 'lamp-2');
    await panel.client.subscribeAsync('state/lamp-1/presence', { qos: 1 });
    const device = await connected('device', 'lamp-1');
    expect((await panel.has(1, 'state/lamp-1/presence'))[0]).toMatchObject({ connected: true });
    await until('it is kept', async () => (await ask('device', 'lamp-1')).body['connected'] === true);
    expect((await ask('component', 'lamp-2')).status).toBe(404);
    expect((await ask('operator', 'lamp-1')).status).toBe(200);
    expect((await ask('device', 'lamp-2')).status).toBe(403);
    expect((await ask('device', 'pump-404')).status).toBe(403);
    await panel.client.publishAsync('state/lamp-1/presence', '{"connected":false}', { qos: 1 });
    await device.client.publishAsync('state/lamp-2/presence', '{"connected":true}', { qos: 1 });
    await device.leave(true);
    await panel.has(2, 'state/lamp-1/presence');
    expect((await ask('component', 'lamp-2')).status).toBe(404);
    const refused = await panel.client.subscribeAsync('state/pump-1/presence').catch(() => 'refused');
    expect(refused).toBe('refused');
    await panel.leave();
  });
});
