import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { RestClient, until } from '../support/http.js';
import { MqttPeer } from '../support/mqtt.js';
import {
  connectPacket,
  DISCONNECT,
  packet,
  packetsIn,
  PINGREQ,
  publishPacket,
  subscribePacket,
  TYPES,
} from '../support/mqtt-bytes.js';
import { RawSocket } from '../support/raw-socket.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const sockets: RawSocket[] = [];
/** Those of one test alone, which end with it, however it ends. */
const services: Service[] = [];
const folders: { remove(): void }[] = [];
async function startForTest(start: () => Promise<Service>): Promise<Service> {
  const service = await start();
  services.push(service);
  return service;
}
async function open(address: string, from?: string): Promise<RawSocket> {
  const socket = await RawSocket.connect(address, from);
  sockets.push(socket);
  return socket;
}
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(services.splice(0).map((service) => service.stop()));
  for (const folder of folders.splice(0)) folder.remove();
});

const report = (n: number): string => JSON.stringify({ state: { reported: { n } } });
const bodiesOf = (socket: RawSocket, type: number): Buffer[] =>
  packetsIn(socket.bytes)
    .filter((one) => one.type === type)
    .map(({ body }) => body);
async function connack(socket: RawSocket): Promise<number | undefined> {
  await until('a CONNACK', () => bodiesOf(socket, TYPES.connack).length > 0 || socket.isClosed);
  return bodiesOf(socket, TYPES.connack)[0]?.[1];
}

function limited(metrics: string, limit: string): number {
  const found = new RegExp(`^replica_limited_total\\{edge="mqtt",limit="${limit}"\\} (\\d+)$`, 'm').exec(
    metrics,
  );
  return Number(found?.[1] ?? 0);
}

describe('limits of known callers, by MQTT', () => {
  const folder = temporaryFolder();
  const [panel, passing, lamp, ops] = [newApiKey(), newApiKey(), newApiKey(), newApiKey()];
  const file = join(folder.path, 'keys');
  let folderCount = 0;
  const start = (settings: Record<string, string>): Promise<Service> =>
    startService({ DATA_DIR: join(folder.path, `data-${folderCount++}`), API_KEYS_FILE: file, ...settings });
  beforeAll(() => {
    const lines = [
      lineOf({ id: 'panel', role: 'component', devices: ['*'] }, panel),
      lineOf({ id: 'passing', role: 'component', devices: ['*'] }, passing),
      lineOf({ id: 'lamp', role: 'device', devices: ['lamp'] }, lamp),
      lineOf({ id: 'ops', role: 'operator', devices: [] }, ops),
    ];
    writeFileSync(file, lines.join('\n'));
  });
  afterAll(() => folder.remove());

  /** Asks again where it was too soon: the operator is within the same rates. */
  async function get(
    { url }: Service,
    path: string,
  ): Promise<{ text: string; body: Readonly<Record<string, unknown>> }> {
    const client = new RestClient(url);
    for (;;) {
      const answer = await client.get(path, { 'x-api-key': ops });
      if (answer.status !== 429) return answer;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  describe('of requests a second', () => {
    const PER_SECOND = 20;
    let service: Service;
    beforeAll(async () => {
      service = await start({ MAX_REQUESTS_PER_SECOND_COUNT: String(PER_SECOND) });
    });
    afterAll(() => service.stop());

    it('read a caller’s connections no faster, lose nothing, and answer its pings meanwhile', async () => {
      const count = 60;
      const begin = performance.now();
      const both = [await open(service.mqtt), await open(service.mqtt)];
      for (const [index, socket] of both.entries()) {
        // It would be gone after half of what this takes, if it did not come through.
        socket.send(connectPacket(`hasty-${index}`, { password: panel, keepaliveSeconds: 2 }));
        expect(await connack(socket)).toBe(0);
      }
      for (const [index, socket] of both.entries()) {
        socket.send(
          Buffer.concat(
            Array.from({ length: count / 2 }, (_, n) =>
              publishPacket(`state/hasty-${index}-${n}/update`, report(n), n + 1),
            ),
          ),
        );
        socket.send(PINGREQ);
      }
      const timer = setInterval(() => both.forEach((one) => one.send(PINGREQ)), 1000);
      await until('all acknowledgements', () =>
        both.every((one) => bodiesOf(one, TYPES.puback).length === count / 2),
      );
      clearInterval(timer);
      // As many as in a second at once, and of the others each when it is its turn; a CONNECT is one, too.
      expect(performance.now() - begin).toBeGreaterThan(((count + 2 - PER_SECOND) / PER_SECOND) * 1000 - 20);
      for (const one of both) {
        const ids = bodiesOf(one, TYPES.puback).map((body) => body.readUInt16BE(0));
        expect(ids).toEqual(Array.from({ length: count / 2 }, (_, n) => n + 1));
        const types = packetsIn(one.bytes).map(({ type }) => type);
        expect(types.indexOf(TYPES.pingresp)).toBeGreaterThan(0);
        expect(types.indexOf(TYPES.pingresp)).toBeLessThan(types.lastIndexOf(TYPES.puback));
        expect(one.isClosed).toBe(false);
      }
      expect(limited((await get(service, '/metrics')).text, 'rate')).toBeGreaterThan(0);
    });

    it('hold for what a client leaves behind, of which nothing is lost', async () => {
      const socket = await open(service.mqtt);
      // A caller of its own: one that has used up its rate is not let in, and this one waits for no answer.
      socket.send(connectPacket('passing', { password: passing }));
      socket.send(
        Buffer.concat(
          Array.from({ length: 40 }, (_, n) => publishPacket(`state/passing-${n}/update`, report(n))),
        ),
      );
      socket.send(DISCONNECT);
      socket.socket.end();
      expect(await connack(socket)).toBe(0);
      await until(
        'the last of them',
        async () => (await get(service, '/state/passing-39')).body['version'] === 1,
      );
      for (let n = 0; n < 40; n++)
        expect((await get(service, `/state/passing-${n}`)).body['version']).toBe(1);
    });

    it('let nobody connect more often', async () => {
      const codes: (number | undefined)[] = [];
      await until('a refusal', async () => {
        const some = await Promise.all(Array.from({ length: 40 }, () => open(service.mqtt)));
        some.forEach((socket, n) => socket.send(connectPacket(`again-${n}`, { password: panel })));
        codes.push(...(await Promise.all(some.map(connack))));
        return codes.includes(3);
      });
      // Of one that another one took the place of nobody knows.
      expect(codes.filter((code) => code !== 0 && code !== 3 && code !== undefined)).toEqual([]);
    });
  });

  describe('of commands a second of a device', () => {
    let service: Service;
    beforeAll(async () => {
      service = await start({ MAX_DEVICE_COMMANDS_PER_SECOND_COUNT: '5' });
    });
    afterAll(() => service.stop());
    const connected = (clientId: string, password: string): Promise<MqttPeer> =>
      MqttPeer.connect(service.mqtt, { clientId, username: 'x', password });

    it('let the device’s own connection wait, in order and with its pings', async () => {
      const socket = await open(service.mqtt);
      socket.send(connectPacket('lamp', { password: lamp, keepaliveSeconds: 2 }));
      const count = 25;
      for (let n = 0; n < count; n++) socket.send(publishPacket('state/lamp/update', report(n), n + 1));
      const timer = setInterval(() => socket.send(PINGREQ), 500);
      await until(
        'all acknowledgements',
        () => bodiesOf(socket, TYPES.puback).length === count || socket.isClosed,
      );
      clearInterval(timer);
      expect(bodiesOf(socket, TYPES.pingresp).length).toBeGreaterThan(2);
      expect((await get(service, '/state/lamp')).body).toMatchObject({
        state: { reported: { n: count - 1 } },
        version: count,
      });
    });

    it('tell others 429, and hold up nothing of theirs for other devices', async () => {
      const component = await connected('panel', panel);
      const watcher = await connected('watcher', ops);
      await watcher.client.subscribeAsync('state/+/update/rejected', { qos: 1 });
      let sent = 0;
      await until('more than the rate', async () => {
        const some = Array.from({ length: 10 }, (_, n) =>
          component.send(n % 2 ? 'state/hot/update' : 'state/hot/name/a/update', report(n)),
        );
        // Acknowledged, whatever became of them.
        await Promise.all(some);
        sent += some.length;
        return component.got.length > 0;
      });
      for (const { topic, text } of component.got) {
        expect(topic).toMatch(/^state\/hot(\/name\/a)?\/update\/rejected$/);
        expect(JSON.parse(text)).toMatchObject({
          code: 429,
          message: expect.stringContaining('MAX_DEVICE_COMMANDS_PER_SECOND_COUNT'),
        });
      }
      const versions = await Promise.all(
        ['/state/hot', '/state/hot/name/a'].map(async (path) => (await get(service, path)).body['version']),
      );
      expect(versions.reduce((sum: number, one) => sum + Number(one ?? 0), 0)).toBe(
        sent - component.got.length,
      );
      // To the caller alone.
      expect(watcher.got).toEqual([]);
      await Promise.all(
        Array.from({ length: 20 }, (_, n) => component.send(`state/cold-${n}/update`, report(n))),
      );
      for (let n = 0; n < 20; n++) expect((await get(service, `/state/cold-${n}`)).body['version']).toBe(1);
      expect(limited((await get(service, '/metrics')).text, 'device-rate')).toBeGreaterThan(0);
      await component.leave();
      await watcher.leave();
    });
  });

  it('of connections of a caller', async () => {
    const service = await startForTest(() => start({ MAX_MQTT_CONNECTIONS_PER_CALLER_COUNT: '2' }));
    const connect = async (clientId: string, password: string): Promise<[RawSocket, number | undefined]> => {
      const socket = await open(service.mqtt);
      socket.send(connectPacket(clientId, { password }));
      return [socket, await connack(socket)];
    };
    const [first, code] = await connect('one', panel);
    expect(code).toBe(0);
    expect((await connect('two', panel))[1]).toBe(0);
    expect((await connect('three', panel))[1]).toBe(3);
    expect((await connect('lamp', lamp))[1]).toBe(0);
    // In place of the one that it has.
    expect((await connect('one', panel))[1]).toBe(0);
    await first.closed();
    expect((await connect('three', panel))[1]).toBe(3);
    for (const socket of sockets) socket.destroy();
    await until('a place', async () => (await connect('three', panel))[1] === 0);
    expect(limited((await get(service, '/metrics')).text, 'caller-connections')).toBeGreaterThanOrEqual(2);
  });
});

describe('limits of whoever comes, by MQTT', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;
  beforeAll(async () => {
    service = await startService({
      DATA_DIR: folder.path,
      MAX_REQUEST_BYTES: '65536',
      MAX_MQTT_CONNECTION_COUNT: '20',
      MAX_CONNECTIONS_PER_ADDRESS_COUNT: '15',
      MAX_IN_FLIGHT_BYTES: String(4 * 1024 * 1024),
      ARRIVAL_TIMEOUT_MS: '2000',
      FOLLOWER_STALL_MS: '2000',
    });
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });
  const metrics = async (): Promise<string> => (await rest.get('/metrics')).text;

  describe('of size', () => {
    it.each([
      ['a will', connectPacket('x', { will: { topic: 'state/x/update', payload: 'x'.repeat(16_400) } })],
      ['a password', connectPacket('x', { password: 'x'.repeat(17_000) })],
      ['a client id', connectPacket('x'.repeat(17_000))],
      ['something else', publishPacket('state/x/update', 'x'.repeat(17_000))],
    ])('ends a CONNECT with %s beyond, by its first bytes', async (_, bytes) => {
      const before = limited(await metrics(), 'size');
      const socket = await open(service.mqtt);
      socket.send(bytes.subarray(0, 5));
      await socket.closed();
      expect(limited(await metrics(), 'size')).toBe(before + 1);
    });

    it('takes a CONNECT with all that there may be', async () => {
      const will = { topic: 'state/large/update', payload: 'x'.repeat(6000) };
      const socket = await open(service.mqtt);
      socket.send(connectPacket('large', { will, password: 'x'.repeat(8000) }));
      expect(await connack(socket)).toBe(0);
    });

    it('reads nothing behind a CONNECT before it is accepted, but loses none of it', async () => {
      const socket = await open(service.mqtt);
      socket.send(
        Buffer.concat([
          connectPacket('eager'),
          subscribePacket(['state/eager/update/accepted']),
          publishPacket('state/eager/update', report(1), 7),
        ]),
      );
      await until('the acknowledgement', () => bodiesOf(socket, TYPES.puback).length === 1);
      expect(bodiesOf(socket, TYPES.suback)).toHaveLength(1);
    });

    it.each([
      ['a publish of twice MAX_REQUEST_BYTES', Buffer.from([0x30, 0x81, 0x80, 0x08])],
      ['a subscribe', Buffer.from([0x82, 0x81, 0x80, 0x02])],
      ['an acknowledgement', Buffer.from([0x40, 0x81, 0x80, 0x02])],
      ['a length that is none', Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01])],
    ])('ends %s and more by its first bytes', async (_, bytes) => {
      const socket = await open(service.mqtt);
      socket.send(connectPacket('big'));
      expect(await connack(socket)).toBe(0);
      socket.send(bytes);
      await socket.closed();
    });

    it('grants a client a hundred filters, however many it asks for at once', async () => {
      const socket = await open(service.mqtt);
      socket.send(connectPacket('curious'));
      socket.send(subscribePacket(Array.from({ length: 3000 }, (_, n) => `a/${n}`)));
      await until('the answer', () => bodiesOf(socket, TYPES.suback).length === 1);
      const [granted] = bodiesOf(socket, TYPES.suback);
      expect(granted?.subarray(2).filter((code) => code !== 128)).toHaveLength(100);
      expect(limited(await metrics(), 'subscriptions')).toBeGreaterThan(0);
    });
  });

  describe('of time', () => {
    it.each([
      ['nothing', Buffer.alloc(0), ''],
      ['half a CONNECT', connectPacket('slow').subarray(0, 10), ''],
      [
        'a CONNECT byte by byte',
        connectPacket('s'.repeat(60)).subarray(0, 2),
        connectPacket('s'.repeat(60)).subarray(2).toString('latin1'),
      ],
      [
        'half a publish',
        Buffer.concat([
          connectPacket('slow', { keepaliveSeconds: 0 }),
          publishPacket('state/slow/update', report(1)).subarray(0, 20),
        ]),
        '',
      ],
      [
        'a publish byte by byte',
        Buffer.concat([
          connectPacket('slow', { keepaliveSeconds: 0 }),
          packet(0x30, Buffer.alloc(100)).subarray(0, 2),
        ]),
        'x'.repeat(90),
      ],
    ])('cuts what sends %s', async (_, begin, slowly) => {
      const before = limited(await metrics(), 'slow');
      const socket = await open(service.mqtt);
      socket.send(begin);
      void socket.trickle(slowly, 100);
      await socket.closed();
      expect(limited(await metrics(), 'slow')).toBe(before + 1);
    });

    it('cuts a client without a sign of life for one and a half times its keep-alive, and no other', async () => {
      const [silent, alive, any] = [
        await open(service.mqtt),
        await open(service.mqtt),
        await open(service.mqtt),
      ];
      silent.send(connectPacket('silent', { keepaliveSeconds: 1 }));
      alive.send(connectPacket('alive', { keepaliveSeconds: 1 }));
      any.send(connectPacket('any', { keepaliveSeconds: 0 }));
      void alive.trickle(PINGREQ.toString('latin1').repeat(15), 100);
      await silent.closed();
      expect([alive.isClosed, any.isClosed]).toEqual([false, false]);
    });

    it('cuts a reader that takes nothing', async () => {
      const before = limited(await metrics(), 'slow');
      const state = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`k${n}`, 'x'.repeat(100)]));
      expect((await rest.report('wide', state)).status).toBe(200);
      const reader = await open(service.mqtt);
      reader.send(connectPacket('reader'));
      reader.send(subscribePacket(['state/wide/get/accepted']));
      await until('the subscription', () => bodiesOf(reader, TYPES.suback).length === 1);
      reader.pause();
      const asker = await MqttPeer.connect(service.mqtt, { clientId: 'asker' });
      await until('the cut', async () => {
        await Promise.all(Array.from({ length: 50 }, () => asker.send('state/wide/get', '')));
        return limited(await metrics(), 'slow') > before;
      });
      reader.resume();
      await reader.closed();
      await asker.leave();
    });
  });

  describe('of what is not acknowledged', () => {
    it('keeps for a session as much as there may be, and drops the oldest', async () => {
      const [filter, count] = ['state/unheard/update/accepted', 1200];
      const session = (): Promise<RawSocket> =>
        open(service.mqtt).then((socket) => {
          socket.send(connectPacket('deaf', { clean: false }));
          return socket;
        });
      const deaf = await session();
      deaf.send(subscribePacket([filter]));
      await until('the subscription', () => bodiesOf(deaf, TYPES.suback).length === 1);
      const asker = await MqttPeer.connect(service.mqtt, { clientId: 'asker' });
      for (let n = 0; n < count; n += 100) {
        const some = Array.from({ length: 100 }, (_, k) => asker.send('state/unheard/update', report(n + k)));
        await Promise.all(some);
      }
      // Each was sent, also of those that are not kept.
      await until('all messages', () => bodiesOf(deaf, TYPES.publish).length === count);
      deaf.destroy();
      await until('its end', async () => /^replica_mqtt_connections 1$/m.test(await metrics()));
      // Nor is anything kept of what comes while nobody is there.
      await asker.send('state/unheard/update', report(-1));
      const again = await session();
      await until('what was kept', () => bodiesOf(again, TYPES.publish).length >= 1000);
      again.send(PINGREQ);
      await until('what comes behind it', () => bodiesOf(again, TYPES.pingresp).length === 1);
      const values = bodiesOf(again, TYPES.publish).map((body) =>
        Number(/"n":(-?\d+)/.exec(body.toString())?.[1]),
      );
      expect(values).toEqual(Array.from({ length: 1000 }, (_, n) => count - 1000 + n));
      expect(limited(await metrics(), 'unacknowledged')).toBe(200);
      await asker.leave();
    });

    it('ends a client that releases nothing of QoS 2, before it does more of it', async () => {
      const socket = await open(service.mqtt);
      socket.send(connectPacket('keeps-all'));
      for (let n = 1; n <= 1200; n++) socket.send(publishPacket('state/keeps-all/update', report(n), n, 2));
      await socket.closed();
      const version = Number((await rest.get('/state/keeps-all')).body['version']);
      // Those that were in hand when the last place was taken.
      expect(version).toBeGreaterThanOrEqual(1000);
      expect(version).toBeLessThan(1150);
      expect(limited(await metrics(), 'unreleased')).toBeGreaterThan(0);
    });
  });

  it('takes a flood in parts, and loses nothing of it', async () => {
    const [connections, count] = [12, 500];
    // More than may be in hand of each, and of all.
    const flooding = await Promise.all(Array.from({ length: connections }, () => open(service.mqtt)));
    for (const [index, socket] of flooding.entries()) {
      socket.send(connectPacket(`flood-${index}`));
      const publishes = Array.from({ length: count }, (_, n) =>
        publishPacket(`state/flood-${index}/update`, report(n), n + 1),
      );
      socket.send(Buffer.concat(publishes));
    }
    const other = await MqttPeer.connect(service.mqtt, { clientId: 'other' });
    await other.send('state/other/update', report(1));
    const isDone = (socket: RawSocket): boolean => bodiesOf(socket, TYPES.puback).length === count;
    await until('all acknowledgements', () => flooding.every(isDone));
    for (let index = 0; index < connections; index++) {
      expect((await rest.get(`/state/flood-${index}`)).body).toMatchObject({
        state: { reported: { n: count - 1 } },
        version: count,
      });
    }
    await other.leave();
  });

  it('bounds the connections of one address, and all; who is silent makes room', async () => {
    const ended = (list: readonly RawSocket[]): number => list.filter(({ isClosed }) => isClosed).length;
    const opened = await Promise.all(Array.from({ length: 20 }, () => open(service.mqtt)));
    await until('the end of those beyond', () => ended(opened) >= 5);
    expect(ended(opened)).toBe(5);
    const others = await Promise.all(Array.from({ length: 10 }, () => open(service.mqtt, '127.0.0.2')));
    await until('the end of those beyond', () => ended(others) >= 5);
    // Those that say nothing go for one that comes later.
    await until('a place for somebody who speaks', async () => {
      const socket = await open(service.mqtt, '127.0.0.3');
      socket.send(connectPacket('polite'));
      return (await connack(socket)) === 0;
    });
    expect(limited(await metrics(), 'address-connections')).toBeGreaterThanOrEqual(5);
    expect(limited(await metrics(), 'connections')).toBeGreaterThan(0);
  });
});

describe('a rate where nobody authenticates', () => {
  it('is of each client id', async () => {
    const folder = temporaryFolder();
    folders.push(folder);
    const service = await startForTest(() =>
      startService({ DATA_DIR: folder.path, MAX_REQUESTS_PER_SECOND_COUNT: '10' }),
    );
    const [one, other] = [await open(service.mqtt), await open(service.mqtt)];
    const begin = performance.now();
    one.send(connectPacket('one'));
    other.send(connectPacket('other'));
    for (let n = 0; n < 29; n++) one.send(publishPacket('state/one/update', report(n), n + 1));
    for (let n = 0; n < 5; n++) other.send(publishPacket('state/other/update', report(n), n + 1));
    await until('those of the other', () => bodiesOf(other, TYPES.puback).length === 5);
    expect(bodiesOf(one, TYPES.puback).length).toBeLessThan(29);
    await until('all acknowledgements', () => bodiesOf(one, TYPES.puback).length === 29);
    expect(performance.now() - begin).toBeGreaterThan(1980);
  });
});

describe('MQTT.js', () => {
  it('keeps its connection at a rate that holds it up for longer than its keep-alive', async () => {
    const folder = temporaryFolder();
    folders.push(folder);
    const service = await startForTest(() =>
      startService({ DATA_DIR: folder.path, MAX_REQUESTS_PER_SECOND_COUNT: '5' }),
    );
    const client = mqtt.connect(`mqtt://${service.mqtt}`, {
      clientId: 'patient',
      protocolVersion: 4,
      keepalive: 1,
      reschedulePings: false,
    });
    let connects = 0;
    client.on('connect', () => connects++);
    const sending = Array.from({ length: 40 }, (_, n) =>
      client.publishAsync('state/patient/update', report(n), { qos: 1 }),
    );
    await Promise.all(sending);
    expect(connects).toBe(1);
    expect((await new RestClient(service.url).get('/state/patient')).body['version']).toBe(40);
    await client.endAsync(true);
  });
});
