import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import mqtt from 'mqtt';
import { RestClient, until } from '../support/http.js';
import { MqttPeer } from '../support/mqtt.js';
import { runToExit, type Service, startService, temporaryFolder } from '../support/service.js';

describe('the MQTT edge', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;
  let environment: Record<string, string> & { DATA_DIR: string };

  beforeAll(async () => {
    environment = { DATA_DIR: folder.path, MAX_REQUEST_BYTES: '4096', PUBLISH_DOCUMENTS: 'on' };
    service = await startService(environment);
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  const connected = (clientId: string, options = {}): Promise<MqttPeer> =>
    MqttPeer.connect(service.mqtt, { clientId, ...options });

  it('tells each document as REST has it', async () => {
    const component = await connected('watcher');
    await component.client.subscribeAsync('state/meter/#', { qos: 1 });
    const device = await connected('meter');
    await device.send('state/meter/update', { state: { reported: { kwh: 5 } } });
    const [documents] = await component.has(1, 'state/meter/update/documents');
    expect(documents).toMatchObject({ previous: null, current: { version: 1 } });

    await device.send('state/meter/delete', '');
    expect((await component.has(1, 'state/meter/delete/accepted'))[0]).toMatchObject({ version: 1 });
    // That there is no document any more.
    await until('the empty documents message', () =>
      component.got.some(({ topic, text }) => topic === 'state/meter/update/documents' && text === ''),
    );
    await device.send('state/meter/get', '');
    expect((await component.has(1, 'state/meter/get/rejected'))[0]).toMatchObject({ code: 404 });
    await device.leave();
    await component.leave();
  });

  it('keeps a named replica beside the main one', async () => {
    const device = await connected('twofold');
    await device.client.subscribeAsync(['state/twofold/#'], { qos: 1 });
    await device.send('state/twofold/update', { state: { reported: { on: true } } });
    await device.send('state/twofold/name/firmware/update', { state: { desired: { version: '2.1' } } });
    const [delta] = await device.has(1, 'state/twofold/name/firmware/update/delta');
    expect(delta).toMatchObject({ state: { version: '2.1' }, version: 1 });
    expect((await rest.get('/state/twofold')).body).toMatchObject({
      state: { reported: { on: true } },
      version: 1,
    });
    expect((await rest.get('/state/twofold/name/firmware')).body).toMatchObject({
      state: { delta: { version: '2.1' } },
    });
    await device.leave();
  });

  it('acknowledges a command only when it is recorded', async () => {
    const device = await connected('durable');
    for (let n = 1; n <= 30; n++) {
      await device.send('state/durable/update', { state: { reported: { n } } });
      expect((await rest.get('/state/durable')).body).toMatchObject({ version: n });
    }
    await device.leave();
  });

  it('keeps a device’s order, at whatever QoS', async () => {
    const device = await connected('ordered');
    await device.client.subscribeAsync('state/ordered/update/accepted', { qos: 1 });
    const sent = Array.from({ length: 200 }, (_, n) => n);
    await Promise.all(
      sent.map((n) =>
        device.client.publishAsync('state/ordered/update', JSON.stringify({ state: { reported: { n } } }), {
          qos: n % 2 === 0 ? 0 : 1,
        }),
      ),
    );
    const accepted = await device.has(200, 'state/ordered/update/accepted');
    expect(accepted.map((one) => (one['state'] as { reported: { n: number } }).reported.n)).toEqual(sent);
    await device.leave();
  });

  it.each([0, 1, 2] as const)(
    'tells each output of publishes at QoS %s to who sees those, too',
    async (qos) => {
      const id = `seen-${qos}`;
      const watcher = await connected('all-of-it');
      await watcher.client.subscribeAsync(`state/${id}/#`, { qos: 1 });
      const device = await connected('many');
      const sent = Array.from({ length: 100 }, (_, index) => index);
      await Promise.all(
        sent.map((a) =>
          device.client.publishAsync(`state/${id}/update`, JSON.stringify({ state: { desired: { a } } }), {
            qos,
          }),
        ),
      );
      const accepted = await watcher.has(sent.length, `state/${id}/update/accepted`);
      expect(accepted.map(({ version }) => version)).toEqual(sent.map((index) => index + 1));
      await watcher.has(sent.length, `state/${id}/update/delta`);
      await watcher.has(sent.length, `state/${id}/update`);
      await device.leave();
      await watcher.leave();
    },
  );

  it('tells a client once what several of its filters match, and its current delta for each', async () => {
    const filters = ['state/doubled/update/delta', 'state/doubled/#', 'state/+/update/delta'];
    const client = await connected('doubled');
    await client.client.subscribeAsync(filters, { qos: 1 });
    for (const n of [1, 2]) await client.send('state/doubled/update', { state: { desired: { n } } });
    await client.send('state/doubled/get', '');
    await client.has(1, 'state/doubled/get/accepted');
    expect(client.of('state/doubled/update/delta').map(({ version }) => version)).toEqual([1, 2]);
    await client.leave();
    const again = await connected('doubled');
    await again.client.subscribeAsync(filters, { qos: 1 });
    const [one, other] = await again.has(2, 'state/doubled/update/delta');
    expect([one?.['state'], other?.['state']]).toEqual([{ n: 2 }, { n: 2 }]);
    await again.leave();
  });

  it('takes a publish of QoS 2 once', async () => {
    const device = await connected('twice');
    await device.client.publishAsync('state/twice/update', '{"state":{"reported":{"a":1}}}', { qos: 2 });
    expect((await rest.get('/state/twice')).body).toMatchObject({ version: 1 });
    await device.leave();
  });

  it('tells what was refused on the rejected topic, and goes on', async () => {
    const device = await connected('clumsy');
    await device.client.subscribeAsync('state/clumsy/update/rejected', { qos: 1 });
    await device.send('state/clumsy/update', 'no JSON');
    await device.send('state/clumsy/update', { state: { reported: { text: 'x'.repeat(5000) } } });
    await device.send('state/clumsy/update', { state: { reported: { a: 1 } }, version: 7 });
    const rejected = await device.has(3, 'state/clumsy/update/rejected');
    expect(rejected.map(({ code }) => code)).toEqual([400, 413, 409]);

    // Where no command goes: acknowledged, told to nobody, and the session stays.
    await device.client.subscribeAsync('other/#');
    for (const topic of ['other/topic', 'state/clumsy/update/accepted', 'state/a b/update', '$SYS/x']) {
      await device.send(topic, { state: { reported: { a: 1 } } });
    }
    await device.send('state/clumsy/update', { state: { reported: { a: 1 } } });
    expect(device.client.connected).toBe(true);
    expect((await rest.get('/state/clumsy')).body).toMatchObject({ version: 1 });
    expect(device.got.filter(({ topic }) => topic.startsWith('other/'))).toEqual([]);
    const metrics = await (await fetch(`${service.url}/metrics`)).text();
    expect(metrics).toMatch(/^replica_mqtt_publishes_total\{outcome="refused"\} 4$/m);
    await device.leave();
  });

  it('ends the connection of a packet that is far too large before it has come', async () => {
    const [host = '', port = ''] = service.mqtt.split(':');
    const socket = connect(Number(port), host);
    const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => undefined);
    // Its end comes behind what was sent to it.
    socket.resume();
    // A CONNECT, and the header of a PUBLISH of 256 MiB.
    socket.write(Buffer.from('100c00044d5154540402003c0000', 'hex'));
    socket.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
    await ended;
  });

  it('refuses client ids and filters that are longer than any of use', async () => {
    const client = mqtt.connect(`mqtt://${service.mqtt}`, {
      clientId: 'x'.repeat(1025),
      protocolVersion: 4,
      reconnectPeriod: 0,
    });
    const error = await new Promise((resolve) => client.once('error', resolve));
    expect(error).toMatchObject({ code: 2 });
    const device = await connected('x'.repeat(1024));
    await expect(device.client.subscribeAsync(`state/${'x'.repeat(1020)}`)).rejects.toThrow('Subscribe');
    await device.client.subscribeAsync(`state/${'x'.repeat(1018)}`);
    await device.leave();
  });

  it('gives a client no more than 100 filters, also where it asks for them at once', async () => {
    for (const clean of [true, false]) {
      const device = await connected('greedy', { clean });
      const filters = Array.from({ length: 150 }, (_, index) => `state/device-${index}/update/delta`);
      // It is refused for those beyond.
      await expect(device.client.subscribeAsync(filters, { qos: 1 })).rejects.toThrow('Subscribe');
      const component = await connected('generous');
      for (const index of [0, 100, 149, 99])
        await component.send(`state/device-${index}/update`, { state: { reported: { clean } } });
      await device.has(1, 'state/device-99/update/delta');
      expect([...new Set(device.got.map(({ topic }) => topic))]).toEqual(
        [0, 99].map((index) => `state/device-${index}/update/delta`),
      );
      await component.leave();
      await device.leave();
    }
  });

  it('keeps no publish for those who subscribe later', async () => {
    const device = await connected('retaining');
    await device.client.publishAsync('state/retaining/update', '{"state":{"reported":{"a":1}}}', {
      qos: 1,
      retain: true,
    });
    const late = await connected('late');
    await late.client.subscribeAsync('state/retaining/update');
    await device.send('state/retaining/update', { state: { reported: { a: 2 } } });
    await until('the second update', () => late.got.length > 0);
    expect(late.got.map(({ text }) => text)).toEqual(['{"state":{"reported":{"a":2}}}']);
    expect((await rest.get('/state/retaining')).body).toMatchObject({ version: 2 });
    await device.leave();
    await late.leave();
  });

  it('takes a last will as the update that it is', async () => {
    const will = {
      topic: 'state/frail/update',
      payload: Buffer.from('{"state":{"reported":{"online":false}}}'),
      qos: 1 as const,
    };
    const device = await connected('frail', { will, reconnectPeriod: 0 });
    await device.send('state/frail/update', { state: { reported: { online: true } } });
    device.client.stream.destroy();
    await until('the will', async () => {
      const { body } = await rest.get('/state/frail');
      return (body as { version: number }).version === 2;
    });
    expect((await rest.get('/state/frail')).body).toMatchObject({ state: { reported: { online: false } } });
    await device.leave(true);
  });

  describe('a device that comes back', () => {
    const desire = async (deviceId: string, ...states: object[]): Promise<void> => {
      for (const desired of states) {
        const response = await fetch(`${service.url}/state/${deviceId}/update`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ state: { desired } }),
        });
        expect(response.status).toBe(200);
      }
    };

    it('with the session that it had gets one delta, without asking for it', async () => {
      const topic = 'state/sleeper/update/delta';
      const before = await connected('sleeper', { clean: false });
      await before.client.subscribeAsync([topic, 'state/sleeper/get/accepted'], { qos: 1 });
      await before.send('state/sleeper/update', { state: { reported: { a: 0, b: 0 } } });
      await before.has(1, topic);
      await before.leave();

      await desire('sleeper', { a: 1 }, { b: 2 }, { c: 3, a: 4 });
      const after = await connected('sleeper', { clean: false });
      const [delta] = await after.has(1, topic);
      expect(delta).toMatchObject({ state: { a: 4, b: 2, c: 3 }, version: 4 });
      // Whatever else was on its way would have come before the answer to this.
      await after.send('state/sleeper/get', '');
      await after.has(1, 'state/sleeper/get/accepted');
      expect(after.of(topic)).toHaveLength(1);
      await after.leave();
    });

    it('gets none where nothing is outstanding', async () => {
      await desire('content', { a: 1 });
      const device = await connected('content');
      await device.send('state/content/update', { state: { reported: { a: 1 } } });
      await device.client.subscribeAsync(['state/content/update/delta', 'state/content/get/accepted'], {
        qos: 1,
      });
      await device.send('state/content/get', '');
      await device.has(1, 'state/content/get/accepted');
      expect(device.of('state/content/update/delta')).toEqual([]);
      await device.leave();
    });

    it('after a restart of the service gets its delta, and what it could not send is sent again', async () => {
      const device = await connected('restarted', { reconnectPeriod: 100 });
      await device.client.subscribeAsync('state/restarted/update/delta', { qos: 1 });
      await device.send('state/restarted/update', { state: { reported: { a: 0 } } });
      await desire('restarted', { a: 1 });
      await device.has(2, 'state/restarted/update/delta');
      const port = service.mqtt.split(':')[1] ?? '';
      await service.kill();
      const sending = device.client.publishAsync('state/restarted/update', '{"state":{"reported":{"b":1}}}', {
        qos: 1,
      });
      service = await startService({ ...environment, MQTT: 'on', MQTT_PORT: port });
      rest = new RestClient(service.url);
      await sending;
      expect((await rest.get('/state/restarted')).body).toMatchObject({
        state: { reported: { a: 0, b: 1 } },
      });
      const deltas = await device.has(3, 'state/restarted/update/delta');
      expect(deltas[2]).toMatchObject({ state: { a: 1 } });
      await device.leave();
    });
  });

  it('does not start where MQTT is asked for and its port is taken; by default it runs without', async () => {
    const other = temporaryFolder();
    const port = service.mqtt.split(':')[1] ?? '';
    const exit = await runToExit({ DATA_DIR: other.path, MQTT: 'on', MQTT_PORT: port });
    expect(exit).toMatchObject({
      code: 1,
      stderr: `device-state-replica: MQTT_PORT: ${port} is in use by another program\n`,
    });
    const second = await startService({ DATA_DIR: other.path, MQTT_PORT: port });
    expect(second.mqtt).toBe('off');
    expect(second.lines.join('\n')).toContain('The service runs without MQTT');
    await second.stop();
    other.remove();
  });
});
