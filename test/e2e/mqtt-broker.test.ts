import { afterAll, beforeAll, expect, it } from '@jest/globals';
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

describeWithMosquitto('the service as a client of Mosquitto', () => {
  const folder = temporaryFolder();
  let mosquitto: Mosquitto;
  let service: Service;
  let rest: RestClient;

  const start = async (): Promise<void> => {
    service = await startService({
      DATA_DIR: folder.path,
      MQTT_URL: mosquitto.url,
      MQTT_SHARED: 'on',
      MAX_REQUEST_BYTES: '4096',
    });
    rest = new RestClient(service.url);
    await untilBrokerIsUsed(service);
  };

  beforeAll(async () => {
    mosquitto = await startMosquitto();
    await start();
  });
  afterAll(async () => {
    await service.stop();
    await mosquitto.remove();
    folder.remove();
  });

  const connected = (clientId: string, options: IClientOptions = {}): Promise<MqttPeer> =>
    MqttPeer.connect(mosquitto.address, { clientId, ...options });

  const desire = async (deviceId: string, ...states: object[]): Promise<void> => {
    for (const desired of states)
      expect((await rest.update(deviceId, { state: { desired } })).status).toBe(200);
  };

  /** What whoever subscribes now gets at once: there is nothing more when another retained message has come. */
  async function retainedOf(deviceId: string): Promise<Record<string, unknown>[]> {
    const topic = `state/${deviceId}/update/delta`;
    const marker = `marker/${deviceId}`;
    const reader = await connected(`reader-${deviceId}-${Math.random()}`);
    await reader.client.publishAsync(marker, '{}', { qos: 1, retain: true });
    await reader.client.subscribeAsync(topic, { qos: 1 });
    await reader.client.subscribeAsync(marker, { qos: 1 });
    await reader.has(1, marker);
    await reader.leave();
    return reader.got
      .filter((message) => message.topic === topic && message.retain)
      .map(({ text }) => JSON.parse(text) as Record<string, unknown>);
  }

  it('has no broker of its own then, and says by which version it is connected', async () => {
    expect(service.mqtt).toBe('off');
    await until('it is logged', () => service.lines.some((line) => line.includes('"version":"5"')));
  });

  it('tells what was refused, and each answer, and never what is no document', async () => {
    const component = await connected('watcher');
    await component.client.subscribeAsync('state/meter/#', { qos: 1 });
    const device = await connected('meter');
    await device.send('state/meter/update', { state: { reported: { kwh: 5 } } });
    await device.send('state/meter/update', 'no JSON');
    await device.send('state/meter/update', { state: { reported: { text: 'x'.repeat(5000) } } });
    const rejected = await component.has(2, 'state/meter/update/rejected');
    expect(rejected.map(({ code }) => code)).toEqual([400, 413]);
    await device.send('state/meter/delete', '');
    expect((await component.has(1, 'state/meter/delete/accepted'))[0]).toMatchObject({ version: 1 });
    expect(component.got.filter(({ topic, text }) => topic.endsWith('/delta') && text === '')).toEqual([]);
    await device.leave();
    await component.leave();
  });

  it('serves the named replicas of a device', async () => {
    const device = await connected('named');
    await device.client.subscribeAsync('state/named/name/config/update/accepted', { qos: 1 });
    await device.send('state/named/name/config/update', { state: { desired: { a: 1 } } });
    await device.has(1, 'state/named/name/config/update/accepted');
    await until('its delta is retained', async () => (await retainedOf('named/name/config')).length === 1);
    await device.leave();
  });

  it('keeps a device’s order, and takes each once', async () => {
    const device = await connected('ordered');
    await device.client.subscribeAsync('state/ordered/update/accepted', { qos: 1 });
    const sent = Array.from({ length: 200 }, (_, n) => n);
    await Promise.all(sent.map((n) => device.send('state/ordered/update', { state: { reported: { n } } })));
    const accepted = await device.has(200, 'state/ordered/update/accepted');
    expect(accepted.map((one) => (one['state'] as { reported: { n: number } }).reported.n)).toEqual(sent);
    expect((await rest.get('/state/ordered')).body).toMatchObject({ version: 200 });
    await device.leave();
  });

  it('sends the answer to the response topic, with the correlation data', async () => {
    const asker = await connected('asker', { protocolVersion: 5 });
    const answers: { text: string; correlation: string | undefined }[] = [];
    asker.client.on('message', (topic, payload, { properties }) => {
      if (topic === 'answers/asker')
        answers.push({ text: payload.toString(), correlation: properties?.correlationData?.toString() });
    });
    await asker.client.subscribeAsync(['answers/asker', 'state/asked/+/accepted', 'state/asked/update'], {
      qos: 1,
    });
    const ask = (topic: string, body: string, correlation: string, responseTopic: string): Promise<unknown> =>
      asker.client.publishAsync(topic, body, {
        qos: 1,
        properties: { responseTopic, correlationData: Buffer.from(correlation) },
      });
    await ask('state/asked/update', '{"state":{"reported":{"a":1}}}', 'one', 'answers/asker');
    await until('an answer', () => answers.length === 1);
    await ask('state/asked/update', '{"state":{"reported":{"a":2}},"version":9}', 'two', 'answers/asker');
    await until('a refusal', () => answers.length === 2);
    await ask('state/asked/get', '', 'three', 'answers/asker');
    await until('the state', () => answers.length === 3);
    expect(answers.map(({ correlation }) => correlation)).toEqual(['one', 'two', 'three']);
    expect(answers.map(({ text }) => JSON.parse(text) as object)).toMatchObject([
      { version: 1, state: { reported: { a: 1 } } },
      { code: 409 },
      { version: 1 },
    ]);
    // The ordinary topics as well.
    await asker.has(1, 'state/asked/update/accepted');
    await asker.has(1, 'state/asked/get/accepted');
    // Where no answer may go: to a command topic, which would make a command of it.
    await ask('state/asked/get', '', 'four', 'state/asked/update');
    await ask('state/asked/get', '', 'five', 'answers/asker');
    await until('the last answer', () => answers.length === 4);
    expect(answers[3]?.correlation).toBe('five');
    expect(
      asker.got.filter(({ topic, text }) => topic === 'state/asked/update' && text.includes('metadata')),
    ).toEqual([]);
    await asker.leave();
  });

  it('does what bears the same message-id once, and sends back what marks it', async () => {
    const device = await connected('once', { protocolVersion: 5 });
    const marks: unknown[] = [];
    device.client.on('message', (_, __, { properties }) => marks.push({ ...properties?.userProperties }));
    await device.client.subscribeAsync('state/once/update/accepted', { qos: 1 });
    const userProperties = { 'message-id': 'report-1', 'correlation-id': 'c-1', traceparent: '00-a' };
    const send = (): Promise<unknown> =>
      device.client.publishAsync('state/once/update', '{"state":{"reported":{"a":1}}}', {
        qos: 1,
        properties: { userProperties },
      });
    await send();
    const [first] = await device.has(1, 'state/once/update/accepted');
    await service.kill();
    await start();
    await send();
    const [, second] = await device.has(2, 'state/once/update/accepted');
    expect(second).toEqual(first);
    expect(marks).toEqual(Array(2).fill({ 'correlation-id': 'c-1', traceparent: '00-a' }));
    expect((await rest.get('/state/once')).body).toMatchObject({ version: 1 });
    await device.leave();
  });

  it('keeps the delta for those who come later, and no longer than something is outstanding', async () => {
    const device = await connected('sleeper');
    await desire('sleeper', { a: 1 }, { b: 2 });
    await until('all is retained', async () => (await retainedOf('sleeper'))[0]?.['version'] === 2);
    await device.send('state/sleeper/update', { state: { reported: { a: 1, b: 2 } } });
    await until('nothing is retained', async () => (await retainedOf('sleeper')).length === 0);
    await desire('sleeper', { a: 5 });
    await until('it is retained again', async () => (await retainedOf('sleeper')).length === 1);
    await rest.delete('sleeper');
    await until(
      'nothing is retained of a deleted one',
      async () => (await retainedOf('sleeper')).length === 0,
    );
    await device.leave();
  });

  it('after its own restart makes right what is retained', async () => {
    await desire('stale', { a: 1 });
    await desire('missing', { a: 1 });
    await until('both are retained', async () => {
      const both = [...(await retainedOf('stale')), ...(await retainedOf('missing'))];
      return both.length === 2;
    });
    await service.stop();
    const other = await connected('other');
    // As if it had been killed between recording and telling.
    await other.client.publishAsync('state/missing/update/delta', '', { qos: 1, retain: true });
    await other.client.publishAsync('state/gone/update/delta', '{"state":{"a":1},"version":1}', {
      qos: 1,
      retain: true,
    });
    await other.client.publishAsync('state/stale/update/delta', '{"state":{"a":0},"version":0}', {
      qos: 1,
      retain: true,
    });
    await start();
    await until('what is missing is there', async () => (await retainedOf('missing')).length === 1);
    await until('what is gone is not', async () => (await retainedOf('gone')).length === 0);
    await until('what was old is new', async () => (await retainedOf('stale'))[0]?.['version'] === 1);
    await other.leave();
  });

  it('gets, after its own restart, what came while it was away', async () => {
    await service.stop();
    const device = await connected('early');
    await device.send('state/early/update', { state: { reported: { a: 1 } } });
    await start();
    await until('it is recorded', async () => (await rest.get('/state/early')).status === 200);
    await device.leave();
  });

  it('says in readiness and in the log that the broker is away, goes on, and loses nothing', async () => {
    const device = await connected('patient', { reconnectPeriod: 100 });
    await device.client.subscribeAsync('state/patient/update/delta', { qos: 1 });
    await device.send('state/patient/update', { state: { reported: { n: 0 } } });
    await until('it is recorded', async () => (await rest.get('/state/patient')).status === 200);
    await mosquitto.end();
    await until('it is told', async () => {
      const ready = await rest.get('/health/ready');
      expect(ready.status).toBe(200);
      return ready.text.includes('"mqttBroker":{"status":"down"');
    });
    const line = `The MQTT broker cannot be used: ${mosquitto.url} is away`;
    await until('it is logged', () => service.lines.some((one) => one.includes(line)));
    await desire('patient', { n: 1 });
    await mosquitto.restart();
    await untilBrokerIsUsed(service);
    await until('the delta is told', () =>
      device.of('state/patient/update/delta').some((one) => one['version'] === 2),
    );
    // Where the broker ended before the acknowledgement came, it sends the report again, as QoS 1 says.
    const [retained] = await retainedOf('patient');
    expect(retained).toMatchObject({ state: { n: 1 } });
    expect([2, 3]).toContain(retained?.['version']);
    await device.leave();
  });

  it('has recorded all that it accepted, and goes on, while the broker is killed over and over', async () => {
    const device = await connected('steady', { reconnectPeriod: 50 });
    const topic = 'state/steady/update/accepted';
    device.client.on('connect', () => device.client.subscribe(topic, { qos: 1 }));
    await device.client.subscribeAsync(topic, { qos: 1 });
    // A device that sends a report until it is accepted, as one must where the broker forgets what it has.
    for (let n = 0; n < 30; n++) {
      if (n % 10 === 5) {
        await mosquitto.kill();
        await mosquitto.restart();
      }
      const isAccepted = (): boolean => device.of(topic).some((one) => one['clientToken'] === `t${n}`);
      await until(`${n} is accepted`, async () => {
        if (isAccepted()) return true;
        await device.send('state/steady/update', { state: { reported: { n } }, clientToken: `t${n}` });
        return isAccepted();
      });
      expect((await rest.get('/state/steady')).body).toMatchObject({ state: { reported: { n } } });
    }
    await device.leave();
  });
});

describeWithMosquitto('one instance, with an ordinary subscription', () => {
  const folder = temporaryFolder();
  let mosquitto: Mosquitto;
  let service: Service;
  let rest: RestClient;

  const start = async (): Promise<void> => {
    service = await startService({ DATA_DIR: folder.path, MQTT_URL: mosquitto.url });
    rest = new RestClient(service.url);
    await untilBrokerIsUsed(service);
  };

  beforeAll(async () => {
    mosquitto = await startMosquitto(() => ['allow_anonymous true', 'max_queued_messages 0']);
    await start();
  });
  afterAll(async () => {
    await service.stop();
    await mosquitto.remove();
    folder.remove();
  });

  it('loses nothing that the broker acknowledged, while the broker and the service end and start again', async () => {
    const device = await MqttPeer.connect(mosquitto.address, {
      clientId: 'many',
      clean: false,
      reconnectPeriod: 50,
    });
    let acknowledged = 0;
    const sending = Promise.all(
      Array.from({ length: 300 }, async (_, n) => {
        await device.send(`state/many-${n % 10}/update`, { state: { reported: { [`n${n}`]: n } } });
        acknowledged++;
      }),
    );
    for (let round = 0; round < 4; round++) {
      await until('some are acknowledged', () => acknowledged > round * 50);
      if (round % 2 === 0) {
        await mosquitto.end();
        await mosquitto.restart();
      } else {
        await service.kill();
        await start();
      }
    }
    await sending;
    await until('all are recorded', async () => {
      const states = await Promise.all(
        Array.from({ length: 10 }, async (_, i) => (await rest.get(`/state/many-${i}`)).body),
      );
      const keys = states.flatMap((body) => {
        const { reported = {} } = (body['state'] ?? {}) as { reported?: object };
        return Object.keys(reported);
      });
      return keys.length === 300;
    });
    await device.leave();
  });

  it('takes nothing for a command that is retained', async () => {
    const device = await MqttPeer.connect(mosquitto.address, { clientId: 'retaining' });
    const body = '{"state":{"reported":{"a":1}}}';
    await device.client.publishAsync('state/retaining/update', body, { qos: 1, retain: true });
    await until('it is recorded', async () => (await rest.get('/state/retaining')).status === 200);
    await service.stop();
    await start();
    await device.send('state/retaining/update', { state: { reported: { a: 2 } } });
    await until('the next one', async () => {
      const { body: state } = await rest.get('/state/retaining');
      return (state['state'] as { reported: { a: number } }).reported.a === 2;
    });
    expect((await rest.get('/state/retaining')).body).toMatchObject({ version: 2 });
    await device.leave();
  });
});
