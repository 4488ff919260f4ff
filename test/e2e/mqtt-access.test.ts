import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type IClientOptions } from 'mqtt';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { type Caller, type Role, ROLES } from '../../src/application/access/rules.js';
import { until } from '../support/http.js';
import { answerToConnect, MqttPeer } from '../support/mqtt.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const CALLERS: Readonly<Record<Role, Caller>> = {
  device: { id: 'lamp-1', role: 'device', devices: ['lamp-1'] },
  component: { id: 'panel', role: 'component', devices: ['lamp-*'] },
  analyst: { id: 'ana', role: 'analyst', devices: [] },
  operator: { id: 'ops', role: 'operator', devices: [] },
};
const OWN = 'lamp-1';
const FOREIGN = 'pump-1';
const NOBODYS = 'pump-404';

/** What each role may do with its own device, and with another one. */
const COMMANDS: readonly [name: string, channel: string, body: object | '', own: string, foreign: string][] =
  [
    ['report', 'update', { state: { reported: { a: 1 } } }, 'device component operator', 'operator'],
    ['desire', 'update', { state: { desired: { a: 2 } } }, 'component operator', 'operator'],
    [
      'do both',
      'update',
      { state: { reported: { a: 1 }, desired: { a: 2 } } },
      'component operator',
      'operator',
    ],
    ['clear', 'update', { state: null }, 'component operator', 'operator'],
    ['get', 'get', '', 'device component analyst operator', 'analyst operator'],
    ['delete', 'delete', '', 'component operator', 'operator'],
  ];

const ALL = 'analyst operator';
const FILTERS: readonly [filter: string, who: string][] = [
  [`state/${OWN}/update/delta`, `device component ${ALL}`],
  [`state/${OWN}/#`, `device component ${ALL}`],
  [`state/${OWN}/name/+/update/+`, `device component ${ALL}`],
  [`$aws/things/${OWN}/shadow/#`, `device component ${ALL}`],
  [`state/${FOREIGN}/update/delta`, ALL],
  [`state/${NOBODYS}/update/delta`, ALL],
  [`$aws/things/${FOREIGN}/shadow/update/delta`, ALL],
  ['state/+/update/delta', ALL],
  ['state/#', ALL],
  ['+/lamp-1/update/delta', ALL],
  ['$aws/things/+/shadow/#', ALL],
  ['#', ALL],
  ['$SYS/#', ''],
  ['$share/a/state/#', ''],
];

describe('who may do what, by MQTT', () => {
  const folder = temporaryFolder();
  const keys = Object.fromEntries(ROLES.map((role) => [role, newApiKey()])) as Record<Role, string>;
  let service: Service;
  let operator: MqttPeer;

  beforeAll(async () => {
    const file = join(folder.path, 'keys');
    writeFileSync(file, ROLES.map((role) => lineOf(CALLERS[role], keys[role])).join('\n'));
    service = await startService({
      DATA_DIR: join(folder.path, 'data'),
      API_KEYS_FILE: file,
      AWS_SHADOW_TOPICS: 'on',
    });
    operator = await connected('operator', 'watcher');
    await operator.client.subscribeAsync(['state/+/+/+'], { qos: 1 });
  });
  afterAll(async () => {
    await operator.leave();
    await service.stop();
    folder.remove();
  });

  function connected(role: Role, clientId = role === 'device' ? OWN : `${role}-client`): Promise<MqttPeer> {
    return MqttPeer.connect(service.mqtt, { clientId, username: 'any', password: keys[role] });
  }

  const codeOf = (options: IClientOptions): Promise<number | string> =>
    answerToConnect(service.mqtt, options);

  it.each([
    ['nothing', {}, 4],
    ['a user name alone', { username: 'x' }, 4],
    ['a wrong key', { username: 'x', password: newApiKey() }, 4],
    ['an empty password', { username: 'x', password: '' }, 4],
  ])('lets nobody in with %s', async (_, credentials, code) => {
    expect(await codeOf({ clientId: 'stranger', ...credentials })).toBe(code);
  });

  it('lets a device in under its own id alone, and nobody under the id of another who is there', async () => {
    expect(await codeOf({ clientId: 'pump-1', username: 'x', password: keys.device })).toBe(5);
    expect(await codeOf({ clientId: OWN, username: 'x', password: keys.device })).toBe(0);
    const device = await connected('device');
    expect(await codeOf({ clientId: OWN, username: 'x', password: keys.component })).toBe(5);
    expect(device.client.connected).toBe(true);
    await device.leave();
  });

  describe.each(ROLES)('a %s', (role) => {
    it.each(COMMANDS)('may %s where it is its own to do so', async (_, channel, body, own, foreign) => {
      const peer = await connected(role);
      for (const [deviceId, who] of [
        [OWN, own],
        [`${OWN}/name/part`, own],
        [FOREIGN, foreign],
        [NOBODYS, foreign],
      ] as const) {
        const may = who.split(' ').includes(role);
        const before = peer.got.length;
        const seen = operator.got.length;
        await peer.send(`state/${deviceId}/${channel}`, body);
        if (may) {
          // What came of it, accepted or not, is told on the topics that all see.
          const answered = new RegExp(`^state/${deviceId}/${channel}/(accepted|rejected)$`);
          if (!deviceId.includes('/')) {
            await until('an answer', () =>
              operator.got.slice(seen).some(({ topic }) => answered.test(topic)),
            );
          }
          expect(peer.got.slice(before).filter(({ text }) => text.includes('"code":403'))).toEqual([]);
        } else {
          const topic = `state/${deviceId}/${channel}/rejected`;
          await until('the refusal', () => peer.got.slice(before).some((message) => message.topic === topic));
          const refusals = peer.got.slice(before).filter((message) => message.topic === topic);
          expect(refusals.map(({ text }) => JSON.parse(text) as object)).toEqual([
            { code: 403, message: 'This caller may not do so', timestamp: expect.any(Number) },
          ]);
          // Nobody else hears of it, and nothing was done.
          expect(operator.got.slice(seen).filter((message) => message.topic === topic)).toEqual([]);
          expect(peer.client.connected).toBe(true);
        }
      }
      await peer.leave();
    });

    it.each(FILTERS)('subscribes to %s where all of it is for it', async (filter, who) => {
      const peer = await connected(role);
      const may = who.split(' ').includes(role);
      const granted = await peer.client.subscribeAsync(filter, { qos: 1 }).then(
        ([one]) => one?.qos,
        () => 128,
      );
      expect({ filter, isGranted: granted !== 128 && granted !== undefined }).toEqual({
        filter,
        isGranted: may,
      });
      await peer.leave();
    });
  });

  describe('a session', () => {
    const kept = (role: Role, clientId: string): Promise<MqttPeer> =>
      MqttPeer.connect(service.mqtt, { clientId, clean: false, username: 'x', password: keys[role] });

    /** Leaves and comes again, since what is gathered for a session is sent then. */
    async function comeAgain(role: Role, peer: MqttPeer): Promise<MqttPeer> {
      await peer.leave(true);
      const again = await kept(role, peer.client.options.clientId ?? '');
      await again.client.subscribeAsync(`state/${OWN}/get/accepted`, { qos: 1 });
      await again.send(`state/${OWN}/get`, '');
      await again.has(1, `state/${OWN}/get/accepted`);
      return again;
    }

    const foreign = (peer: MqttPeer): string[] =>
      peer.got.map(({ topic }) => topic).filter((topic) => topic.includes(FOREIGN));

    it('gathers nothing for filters that were refused', async () => {
      const device = await kept('device', OWN);
      const filters = [`state/${OWN}/#`, `state/${FOREIGN}/#`, 'state/#', '#'];
      await expect(device.client.subscribeAsync(filters, { qos: 1 })).rejects.toThrow('Subscribe');
      await operator.send(`state/${OWN}/update`, { state: { reported: { mine: 1 } } });
      await device.has(1, `state/${OWN}/update/accepted`);
      await operator.send(`state/${FOREIGN}/update`, { state: { reported: { secret: 1 } } });
      const again = await comeAgain('device', device);
      expect([...foreign(device), ...foreign(again)]).toEqual([]);
      await again.client.unsubscribeAsync(filters);
      await again.leave();
    });

    it('is not for another caller who comes under its client id', async () => {
      const first = await kept('operator', 'shared-name');
      await first.client.subscribeAsync('state/#', { qos: 1 });
      await first.leave();
      const second = await kept('component', 'shared-name');
      await operator.send(`state/${FOREIGN}/update`, { state: { reported: { secret: 1 } } });
      await second.client.subscribeAsync(`state/${OWN}/update/accepted`, { qos: 1 });
      await operator.send(`state/${OWN}/update`, { state: { reported: { mine: 1 } } });
      await second.has(1, `state/${OWN}/update/accepted`);
      const again = await comeAgain('component', second);
      expect([...foreign(second), ...foreign(again)]).toEqual([]);
      // Nor is its first owner's again.
      await again.leave();
      const third = await kept('operator', 'shared-name');
      await operator.send(`state/${FOREIGN}/update`, { state: { reported: { secret: 2 } } });
      await third.client.subscribeAsync(`state/${OWN}/update/accepted`, { qos: 1 });
      await operator.send(`state/${OWN}/update`, { state: { reported: { mine: 2 } } });
      await third.has(1, `state/${OWN}/update/accepted`);
      expect(foreign(third)).toEqual([]);
      await third.leave();
    });

    it('leaves nothing that was not acknowledged to another caller', async () => {
      const first = await kept('operator', 'unread');
      let received = 0;
      // Never calls back, so nothing is acknowledged.
      first.client.handleMessage = () => received++;
      await first.client.subscribeAsync(`state/${FOREIGN}/#`, { qos: 1 });
      await operator.send(`state/${FOREIGN}/update`, { state: { reported: { secret: 3 } } });
      await until('a message', () => received > 0);
      const again = await comeAgain('component', first);
      expect(foreign(again)).toEqual([]);
      await again.leave();
    });
  });

  it('lets a device in under its id also where another caller is there under it', async () => {
    const other = await MqttPeer.connect(service.mqtt, {
      clientId: OWN,
      username: 'x',
      password: keys.component,
      reconnectPeriod: 0,
    });
    const device = await connected('device');
    await until('the other to go', () => !other.client.connected);
    expect(device.client.connected).toBe(true);
    await device.leave();
    await other.leave(true);
  });

  it('takes the last will of a device only where it may say so', async () => {
    const seen = operator.got.length;
    for (const [topic, isTaken] of [
      [`state/${OWN}/update`, true],
      [`state/${FOREIGN}/update`, false],
    ] as const) {
      const will = { topic, payload: Buffer.from('{"state":{"reported":{"gone":true}}}'), qos: 1 as const };
      const device = await MqttPeer.connect(service.mqtt, {
        clientId: OWN,
        username: 'x',
        password: keys.device,
        will,
        reconnectPeriod: 0,
      });
      device.client.stream.destroy();
      if (isTaken) {
        await until('the will', () =>
          operator.got
            .slice(seen)
            .some((one) => one.topic === `${topic}/accepted` && one.text.includes('gone')),
        );
      }
      await device.leave(true);
    }
    await operator.send(`state/${FOREIGN}/get`, '');
    await until('the answer', () =>
      operator.got.slice(seen).some(({ topic }) => topic.includes(`${FOREIGN}/get`)),
    );
    expect(
      operator.got.slice(seen).filter(({ topic }) => topic === `state/${FOREIGN}/update/accepted`),
    ).toEqual([]);
  });
});
