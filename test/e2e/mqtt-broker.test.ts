import { execFile } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type IClientOptions } from 'mqtt';
import { RestClient, until } from '../support/http.js';
import { describeWithMosquitto, type Mosquitto, startMosquitto } from '../support/mosquitto.js';
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
      MAX_REQUEST_BYTES: '4096',
    });
    rest = new RestClient(service.url);
    await isUsable();
  };
  const isUsable = (): Promise<void> =>
    until('the broker is used', async () =>
      /^replica_mqtt_broker_up 1$/m.test((await rest.get('/metrics')).text),
    );

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

  it.each([4, 5] as const)(
    'carries the flow from a component to a device, in version %i',
    async (version) => {
      const id = `lamp-${version}`;
      const device = await connected(id, { protocolVersion: version });
      const component = await connected(`panel-${version}`, { protocolVersion: version });
      await device.client.subscribeAsync(`state/${id}/update/delta`, { qos: 1 });
      await component.client.subscribeAsync(['state/+/update/accepted', 'state/+/get/+'], { qos: 1 });

      await device.send(`state/${id}/update`, { state: { reported: { on: false } } });
      await component.has(1, `state/${id}/update/accepted`);
      await component.send(`state/${id}/update`, { state: { desired: { on: true } }, clientToken: 'p' });
      await until('the delta', () =>
        device.of(`state/${id}/update/delta`).some((one) => one['clientToken'] === 'p'),
      );
      const delta = device.of(`state/${id}/update/delta`).at(-1);
      expect(delta).toMatchObject({ state: { on: true }, version: 2 });
      await device.send(`state/${id}/update`, { state: { reported: { on: true } } });
      const accepted = await component.has(3, `state/${id}/update/accepted`);
      expect(accepted.map((one) => one['version'])).toEqual([1, 2, 3]);

      await component.send(`state/${id}/get`, '');
      const [state] = await component.has(1, `state/${id}/get/accepted`);
      expect(state).toMatchObject({ state: { desired: { on: true }, reported: { on: true } }, version: 3 });
      await device.leave();
      await component.leave();
    },
  );

  it.each([4, 5] as const)(
    'carries the flow from a device to a component, in version %i',
    async (version) => {
      const id = `meter-${version}`;
      const component = await connected(`watcher-${version}`, { protocolVersion: version });
      await component.client.subscribeAsync(`state/${id}/#`, { qos: 1 });
      const device = await connected(id, { protocolVersion: version });
      await device.send(`state/${id}/update`, { state: { reported: { kwh: 5 } } });
      const [delta] = await component.has(1, `state/${id}/update/delta`);
      expect(delta).toMatchObject({ state: {}, changed: { reported: { kwh: 5 } } });
      await device.send(`state/${id}/update`, 'no JSON');
      await device.send(`state/${id}/update`, { state: { reported: { text: 'x'.repeat(5000) } } });
      const rejected = await component.has(2, `state/${id}/update/rejected`);
      expect(rejected.map(({ code }) => code)).toEqual([400, 413]);
      await device.send(`state/${id}/delete`, '');
      expect((await component.has(1, `state/${id}/delete/accepted`))[0]).toMatchObject({ version: 1 });
      // No device ever gets what is no document.
      expect(component.got.filter(({ topic, text }) => topic.endsWith('/delta') && text === '')).toEqual([]);
      await device.leave();
      await component.leave();
    },
  );

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

  it('gives a device that was away one delta with all that was asked for meanwhile, and none afterwards', async () => {
    const topic = 'state/sleeper/update/delta';
    const before = await connected('sleeper');
    await before.client.subscribeAsync(topic, { qos: 1 });
    await before.send('state/sleeper/update', { state: { reported: { a: 0, b: 0 } } });
    await before.has(1, topic);
    await before.leave();

    await desire('sleeper', { a: 1 }, { b: 2 }, { c: 3, a: 4 });
    const after = await connected('sleeper');
    await after.client.subscribeAsync([topic, 'state/sleeper/get/accepted'], { qos: 1 });
    await after.has(1, topic);
    await after.send('state/sleeper/get', '');
    await after.has(1, 'state/sleeper/get/accepted');
    // The service may tell it again while it looks through what the broker has retained, as after each connection.
    for (const delta of after.of(topic)) {
      expect(delta).toMatchObject({ state: { a: 4, b: 2, c: 3 }, version: 4 });
    }
    await after.send('state/sleeper/update', { state: { reported: { a: 4, b: 2, c: 3 } } });
    await until('nothing is retained', async () => (await retainedOf('sleeper')).length === 0);
    await after.leave();

    await desire('sleeper', { a: 5 });
    await until('it is retained again', async () => (await retainedOf('sleeper')).length === 1);
    await rest.delete('sleeper');
    await until(
      'nothing is retained of a deleted one',
      async () => (await retainedOf('sleeper')).length === 0,
    );
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
    await isUsable();
    await until('the delta is told', () =>
      device.of('state/patient/update/delta').some((one) => one['version'] === 2),
    );
    expect((await retainedOf('patient'))[0]).toMatchObject({ state: { n: 1 }, version: 2 });
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

  describe('with the clients of Mosquitto', () => {
    function run(program: string, ...args: string[]): Promise<string> {
      const [host = '', port = ''] = mosquitto.address.split(':');
      return new Promise((resolve, reject) =>
        execFile(program, ['-h', host, '-p', port, ...args], { timeout: 90_000 }, (error, stdout) =>
          error === null ? resolve(stdout) : reject(new Error(error.message)),
        ),
      );
    }

    it.each(['mqttv311', 'mqttv5'])('runs both flows, in %s', async (version) => {
      const id = `pump-${version}`;
      const publish = async (body: object): Promise<void> => {
        const args = ['-V', version, '-t', `state/${id}/update`, '-q', '1', '-m', JSON.stringify(body)];
        await run('mosquitto_pub', ...args);
      };
      const hears = run(
        'mosquitto_sub',
        '-V',
        version,
        '-t',
        `state/${id}/update/accepted`,
        '-q',
        '1',
        '-C',
        '2',
      );
      await until('it listens', async () => {
        await publish({ state: { reported: { speed: 1 } } });
        const { body } = await rest.get(`/state/${id}`);
        return body['version'] === 1 || (body['version'] as number) > 1;
      });
      await publish({ state: { desired: { speed: 3 } } });
      const delta = await run(
        'mosquitto_sub',
        '-V',
        version,
        '-t',
        `state/${id}/update/delta`,
        '-q',
        '1',
        '-C',
        '1',
      );
      expect(JSON.parse(delta)).toMatchObject({ state: { speed: 3 } });
      await publish({ state: { reported: { speed: 3 } } });
      await until('it is in sync', async () => {
        const { body } = await rest.get(`/state/${id}`);
        return (body['state'] as { reported?: { speed: number } }).reported?.speed === 3;
      });
      expect((await hears).trim().split('\n')).toHaveLength(2);
      const args = ['-V', version, '-t', `state/${id}/get`, '-e', `state/${id}/get/accepted`, '-n'];
      expect(JSON.parse(await run('mosquitto_rr', ...args))).toMatchObject({
        state: { reported: { speed: 3 } },
      });
    });
  });
});

describeWithMosquitto('one instance with an ordinary subscription (MQTT_SHARED=off)', () => {
  const folder = temporaryFolder();
  let mosquitto: Mosquitto;
  let service: Service;
  let rest: RestClient;

  const start = async (): Promise<void> => {
    service = await startService({ DATA_DIR: folder.path, MQTT_URL: mosquitto.url, MQTT_SHARED: 'off' });
    rest = new RestClient(service.url);
    await until('the broker is used', async () =>
      (await rest.get('/metrics')).text.includes('replica_mqtt_broker_up 1'),
    );
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
