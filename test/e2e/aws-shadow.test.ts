import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type IClientOptions } from 'mqtt';
import { RestClient, until } from '../support/http.js';
import {
  describeWithMosquitto,
  type Mosquitto,
  startMosquitto,
  untilBrokerIsUsed,
} from '../support/mosquitto.js';
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
  function send(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: object | string): Promise<Response> {
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
    // Before a shadow is looked at, too; at no other address.
    const large = { state: { reported: { x: 'x'.repeat(200_000) } } };
    for (const [response, status, type] of [
      [send('POST', '/things/x/shadow', large), 413, 'RequestEntityTooLargeException'],
      [send('PUT', '/things/x/shadow', {}), 405, 'MethodNotAllowedException'],
      [
        fetch(`${service.url}/things/x/shadow`, {
          method: 'POST',
          headers: { 'content-type': 'text/plain' },
          body: '{}',
        }),
        415,
        'UnsupportedDocumentEncodingException',
      ],
      [fetch(`${service.url}/state/x`), 404, null],
    ] as const) {
      const answer = await response;
      expect([answer.status, answer.headers.get('x-amzn-errortype')]).toEqual([status, type]);
      await answer.text();
    }
    for (const query of ['pageSize=0', 'pageSize=101', 'pageSize=x', 'nextToken=%20']) {
      expect((await rest.get(`/api/things/shadow/ListNamedShadowsForThing/x?${query}`)).status).toBe(400);
    }
  });

  it('do not open the other addresses to what is no JSON', async () => {
    expect((await send('POST', '/state/x/update', { state: {} })).status).toBe(415);
  });
});

/** The topics, in one of the forms that they are served in. */
function servesTopics(isWithMosquitto: boolean, versions: readonly (4 | 5)[]): void {
  const folder = temporaryFolder();
  let mosquitto: Mosquitto | null = null;
  let service: Service;

  beforeAll(async () => {
    mosquitto = isWithMosquitto ? await startMosquitto() : null;
    service = await startService({
      DATA_DIR: folder.path,
      AWS_SHADOW_TOPICS: 'on',
      PUBLISH_DOCUMENTS: 'on',
      ...(mosquitto === null ? {} : { MQTT_URL: mosquitto.url }),
    });
    if (mosquitto !== null) await untilBrokerIsUsed(service);
  });
  afterAll(async () => {
    await service.stop();
    await mosquitto?.remove();
    folder.remove();
  });

  const connected = (clientId: string, options: IClientOptions = {}): Promise<MqttPeer> =>
    MqttPeer.connect(mosquitto?.address ?? service.mqtt, { clientId, ...options });
  const desire = async (path: string, desired: object): Promise<void> => {
    const response = await fetch(`${service.url}/things/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ state: { desired } }),
    });
    expect(response.status).toBe(200);
  };

  it.each(
    versions.flatMap((version) => [
      [version, 'the classic shadow', 'shadow', 'shadow'] as const,
      [version, 'a named shadow', 'shadow/name/config', 'shadow?name=config'] as const,
    ]),
  )('carry, in version %i, the flow of %s, in the form of AWS', async (version, name, below, path) => {
    const thing = `thing-${version}-${name.split(' ')[1]}`;
    const at = `$aws/things/${thing}/${below}`;
    const device = await connected(thing, { protocolVersion: version });
    await device.client.subscribeAsync(`${at}/#`, { qos: 1 });
    await device.send(`${at}/update`, { state: { reported: { on: false } }, clientToken: 'd' });
    const [accepted] = await device.has(1, `${at}/update/accepted`);
    expect(accepted).toMatchObject({ version: 1, clientToken: 'd' });
    expect(accepted?.['timestamp']).toBeLessThan(1e11);
    const [documents] = await device.has(1, `${at}/update/documents`);
    expect(documents).toMatchObject({ previous: { state: {} }, current: { version: 1 } });
    await desire(`${thing}/${path}`, { on: true });
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
    const [state] = await device.has(1, `${at}/get/accepted`);
    expect(state).toMatchObject({ version: 3, state: { reported: { on: true } } });
    expect(state).not.toHaveProperty('state.delta');
    await device.send(`${at}/update`, { state: { reported: {} }, version: 1 });
    expect((await device.has(1, `${at}/update/rejected`))[0]).toMatchObject({ code: 409 });
    await device.send(`${at}/delete`, '');
    await device.has(1, `${at}/delete/accepted`);
    await device.send(`${at}/get`, '');
    expect((await device.has(1, `${at}/get/rejected`))[0]).toMatchObject({
      code: 404,
      message: expect.stringContaining('No shadow exists with name'),
    });
    // Of the native form there is a delta for each report, too; here nothing was outstanding.
    expect(
      device.of(`${at}/update/delta`).filter((one) => Object.keys(one['state'] as object).length > 0),
    ).toEqual([delta]);
    // The native topic is told of a delete by an empty document; AWS has none.
    expect(device.of(`${at}/update/documents`)).toHaveLength(3);
    await device.leave();
  });

  it('bring a device that comes back up to date, and one that has nothing to do not', async () => {
    const topic = '$aws/things/away/shadow/name/config/update/delta';
    for (const desired of [{ a: 1 }, { b: 2 }, { c: 3 }]) await desire('away/shadow?name=config', desired);
    const device = await connected('away');
    await device.client.subscribeAsync(topic, { qos: 1 });
    expect((await device.has(1, topic))[0]).toMatchObject({ state: { a: 1, b: 2, c: 3 }, version: 3 });
    await device.send('$aws/things/away/shadow/name/config/update', {
      state: { reported: { a: 1, b: 2, c: 3 } },
    });
    await until('nothing is outstanding', async () => {
      const late = await connected(`late-${Math.random()}`);
      await late.client.subscribeAsync([topic, '$aws/things/away/shadow/name/config/get/accepted'], {
        qos: 1,
      });
      await late.send('$aws/things/away/shadow/name/config/get', '');
      await late.has(1, '$aws/things/away/shadow/name/config/get/accepted');
      await late.leave();
      return late.of(topic).length === 0;
    });
    await device.leave();
  });
}

describe('the topics of AWS IoT Device Shadow, of the service’s own broker', () => servesTopics(false, [4]));
describeWithMosquitto('the topics of AWS IoT Device Shadow, on Mosquitto', () => servesTopics(true, [4, 5]));
