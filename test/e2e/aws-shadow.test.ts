import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RestClient, until } from '../support/http.js';
import { MqttPeer } from '../support/mqtt.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describe('the addresses of AWS IoT Device Shadow', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;

  beforeAll(async () => {
    service = await startService({ DATA_DIR: folder.path, AWS_SHADOW_TOPICS: 'on', PUBLISH_DOCUMENTS: 'on' });
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  /** As AWS's own clients send it: as bytes. */
  function send(method: 'POST' | 'DELETE', path: string, body?: object | string): Promise<Response> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const headers = { 'content-type': 'application/octet-stream' };
    return fetch(`${service.url}${path}`, { method, ...(body === undefined ? {} : { headers, body: text }) });
  }

  it('take an update, show the shadow and delete it', async () => {
    const before = Math.floor(Date.now() / 1000);
    const update = await send('POST', '/things/lamp/shadow', {
      state: { reported: { on: false }, desired: { on: true } },
      clientToken: 'c',
    });
    expect(update.status).toBe(200);
    const accepted = (await update.json()) as { timestamp: number };
    expect(accepted).toMatchObject({ version: 1, clientToken: 'c' });
    expect(accepted.timestamp).toBeGreaterThanOrEqual(before);
    expect(accepted.timestamp).toBeLessThan(before + 1000);

    const { status, body } = await rest.get('/things/lamp/shadow');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      state: { reported: { on: false }, desired: { on: true }, delta: { on: true } },
      metadata: { reported: { on: { timestamp: accepted.timestamp } } },
    });
    // It is the device's own replica.
    expect((await rest.get('/state/lamp')).body).toMatchObject({ version: 1 });

    const gone = await send('DELETE', '/things/lamp/shadow');
    expect([gone.status, await gone.json()]).toEqual([200, { version: 1, timestamp: expect.any(Number) }]);
    const missing = await fetch(`${service.url}/things/lamp/shadow`);
    expect(missing.status).toBe(404);
    expect(missing.headers.get('x-amzn-errortype')).toBe('ResourceNotFoundException');
    expect(await missing.json()).toMatchObject({ message: "No shadow exists with name: 'lamp'" });
  });

  it('keep named shadows, and list them page by page', async () => {
    for (const name of ['config', 'firmware', 'location']) {
      const path = `/things/many/shadow?name=${name}`;
      expect((await send('POST', path, { state: { desired: { is: name } } })).status).toBe(200);
    }
    expect((await rest.get('/things/many/shadow?name=config')).body).toMatchObject({
      state: { desired: { is: 'config' } },
    });
    expect((await rest.get('/state/many/name/config')).body).toMatchObject({ version: 1 });
    expect((await rest.get('/things/many/shadow')).status).toBe(404);
    const list = '/api/things/shadow/ListNamedShadowsForThing/many';
    await until('all are listed', async () => {
      const { body } = await rest.get(list);
      return (body as { results?: string[] }).results?.join() === 'config,firmware,location';
    });
    const first = (await rest.get(`${list}?pageSize=2`)).body as { results: string[]; nextToken: string };
    expect(first.results).toEqual(['config', 'firmware']);
    const second = (await rest.get(`${list}?pageSize=2&nextToken=${first.nextToken}`)).body;
    expect(second).toEqual({ results: ['location'], timestamp: expect.any(Number) });
  });

  it('refuse as AWS does', async () => {
    const refusals: [Promise<Response>, number, string, string][] = [
      [send('POST', '/things/x/shadow', 'no JSON'), 400, 'InvalidRequestException', 'Invalid JSON'],
      [send('POST', '/things/x/shadow', {}), 400, 'InvalidRequestException', 'Missing required node: state'],
      [
        send('POST', '/things/x/shadow', { state: {}, version: 9 }),
        409,
        'ConflictException',
        'Version conflict',
      ],
      [send('POST', '/things/a%20b/shadow', { state: {} }), 400, 'InvalidRequestException', 'Invalid thing'],
      [
        send('POST', '/things/x/shadow?name=a%2Fb', { state: {} }),
        400,
        'InvalidRequestException',
        'Invalid thing',
      ],
      [send('DELETE', '/things/x/shadow'), 404, 'ResourceNotFoundException', 'No shadow exists'],
      [fetch(`${service.url}/things/x/shadow?name=y`), 404, 'ResourceNotFoundException', "with name: 'y'"],
    ];
    for (const [response, status, type, message] of refusals) {
      const answer = await response;
      const text = await answer.text();
      expect([answer.status, answer.headers.get('x-amzn-errortype'), text]).toEqual([
        status,
        type,
        expect.stringContaining(message),
      ]);
      expect((JSON.parse(text) as { timestamp: number }).timestamp).toBeLessThan(1e11);
    }
    for (const query of ['pageSize=0', 'pageSize=101', 'pageSize=x', 'nextToken=%20']) {
      expect((await rest.get(`/api/things/shadow/ListNamedShadowsForThing/x?${query}`)).status).toBe(400);
    }
  });

  it('carry a device’s flow by MQTT, with documents in the form of AWS', async () => {
    const device = await MqttPeer.connect(service.mqtt, { clientId: 'thing' });
    const at = '$aws/things/thing/shadow';
    await device.client.subscribeAsync([`${at}/update/#`, `${at}/get/+`], { qos: 1 });
    await device.send(`${at}/update`, { state: { reported: { on: false } }, clientToken: 'd' });
    const [accepted] = await device.has(1, `${at}/update/accepted`);
    expect(accepted).toMatchObject({ version: 1, clientToken: 'd' });
    expect(accepted?.['timestamp']).toBeLessThan(1e11);
    await send('POST', '/things/thing/shadow', { state: { desired: { on: true } } });
    const [delta] = await device.has(1, `${at}/update/delta`);
    expect(delta).toEqual({
      state: { on: true },
      metadata: { on: { timestamp: expect.any(Number) } },
      version: 2,
      timestamp: expect.any(Number),
    });
    await device.send(`${at}/update`, { state: { reported: { on: true } } });
    await device.has(3, `${at}/update/accepted`);
    await device.send(`${at}/get`, '');
    expect((await device.has(1, `${at}/get/accepted`))[0]).toMatchObject({ version: 3 });
    await device.send(`${at}/update`, { state: { reported: {} }, version: 1 });
    expect((await device.has(1, `${at}/update/rejected`))[0]).toMatchObject({ code: 409 });
    // Of the native form there is a delta for each report, too; here nothing was outstanding.
    expect(device.of(`${at}/update/delta`)).toHaveLength(1);
    // The native topic is told of a delete by an empty document; AWS has none.
    await device.client.subscribeAsync(`${at}/delete/+`, { qos: 1 });
    await device.send(`${at}/delete`, '');
    await device.has(1, `${at}/delete/accepted`);
    expect(device.of(`${at}/update/documents`)).toHaveLength(3);
    await device.leave();
  });

  it('bring a device that comes back up to date', async () => {
    const topic = '$aws/things/away/shadow/name/config/update/delta';
    for (const desired of [{ a: 1 }, { b: 2 }, { c: 3 }]) {
      await send('POST', '/things/away/shadow?name=config', { state: { desired } });
    }
    const device = await MqttPeer.connect(service.mqtt, { clientId: 'away' });
    await device.client.subscribeAsync(topic, { qos: 1 });
    expect((await device.has(1, topic))[0]).toMatchObject({ state: { a: 1, b: 2, c: 3 }, version: 3 });
    await device.leave();
  });

  it('do not open the other addresses to what is no JSON', async () => {
    expect((await send('POST', '/state/x/update', { state: {} })).status).toBe(415);
  });
});
