import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type IClientOptions } from 'mqtt';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { type Caller } from '../../src/application/access/rules.js';
import { until } from '../support/http.js';
import { answerToConnect, MqttPeer } from '../support/mqtt.js';
import { OidcIssuer } from '../support/oidc-issuer.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const CALLERS = {
  lamp: { id: 'lamp-1', role: 'device', devices: ['lamp-1'] },
  panel: { id: 'panel', role: 'component', devices: ['lamp-*'] },
  other: { id: 'other', role: 'component', devices: ['lamp-*'] },
  ops: { id: 'ops', role: 'operator', devices: [] },
} as const satisfies Record<string, Caller>;

describe('credentials that end while an MQTT client is connected', () => {
  const folder = temporaryFolder();
  const file = join(folder.path, 'keys');
  const keys = { lamp: newApiKey(), panel: newApiKey(), other: newApiKey(), ops: newApiKey() };
  let issuer: OidcIssuer;
  let service: Service;
  let operator: MqttPeer;

  beforeAll(async () => {
    letIn(CALLERS);
    issuer = await OidcIssuer.start();
    service = await startService({
      DATA_DIR: join(folder.path, 'data'),
      API_KEYS_FILE: file,
      OIDC_ISSUER: issuer.url,
      OIDC_AUDIENCE: 'replica',
    });
    operator = await connected(keys.ops, { clientId: 'watcher' });
    await operator.client.subscribeAsync('state/#', { qos: 1 });
  });
  afterAll(async () => {
    await operator.leave();
    await service.stop();
    await issuer.leave();
    folder.remove();
  });

  function letIn(callers: Partial<Record<keyof typeof CALLERS, Caller>>): void {
    const lines = Object.entries(callers).map(([name, caller]) =>
      lineOf(caller, keys[name as keyof typeof CALLERS]),
    );
    writeFileSync(file, lines.join('\n'));
  }

  function connected(password: string, options: IClientOptions): Promise<MqttPeer> {
    const all = { username: 'any', password, reconnectPeriod: 0, ...options };
    return MqttPeer.connect(service.mqtt, all);
  }

  const answer = (password: string, clientId: string): Promise<number | string> =>
    answerToConnect(service.mqtt, { clientId, username: 'any', password });
  const out = (peer: MqttPeer): Promise<void> => until('it is out', () => !peer.client.connected);

  it('end it, with its last will and no others, when a key is removed or may do something else', async () => {
    const will = {
      topic: 'state/lamp-1/update',
      payload: Buffer.from('{"state":{"reported":{"online":false}}}'),
      qos: 1 as const,
    };
    const lamp = await connected(keys.lamp, { clientId: 'lamp-1', will });
    const panel = await connected(keys.panel, { clientId: 'panel', clean: false });
    await panel.client.subscribeAsync('state/lamp-1/#', { qos: 1 });
    const other = await connected(keys.other, { clientId: 'other' });
    letIn({ panel: { ...CALLERS.panel, devices: ['lamp-2'] }, other: CALLERS.other, ops: CALLERS.ops });
    await out(lamp);
    await out(panel);
    await until('the will is done', () =>
      operator
        .of('state/lamp-1/update/accepted')
        .some(({ state }) => JSON.stringify(state).includes('online')),
    );
    expect(other.client.connected).toBe(true);
    expect(operator.client.connected).toBe(true);
    expect(service.lines.filter((line) => line.includes('credentials do not do any more'))).toHaveLength(2);

    expect(await answer(keys.lamp, 'lamp-1')).toBe(4);
    // As what it is now, without what it had subscribed to.
    const again = await connected(keys.panel, { clientId: 'panel', clean: false });
    await again.send('state/lamp-1/get', '');
    expect(await again.has(1, 'state/lamp-1/get/rejected')).toMatchObject([{ code: 403 }]);
    await again.client.subscribeAsync('state/lamp-2/update/accepted', { qos: 1 });
    await operator.send('state/lamp-1/update', { state: { reported: { a: 1 } } });
    await again.send('state/lamp-2/update', { state: { reported: { a: 1 } } });
    await again.has(1, 'state/lamp-2/update/accepted');
    expect(again.got.map(({ topic }) => topic).filter((topic) => topic.includes('lamp-1/update'))).toEqual(
      [],
    );
    await again.leave();
    await other.leave();
  });

  it('leave a session that nobody else can go on with', async () => {
    letIn(CALLERS);
    await until('the keys count', async () => (await answer(keys.lamp, 'lamp-1')) === 0);
    const panel = await connected(keys.panel, { clientId: 'shared', clean: false });
    await panel.client.subscribeAsync('state/lamp-1/update/accepted', { qos: 1 });
    // It acknowledges nothing, so that what it is sent would be sent again.
    panel.client.handleMessage = () => undefined;
    await operator.send('state/lamp-1/update', { state: { reported: { secret: 1 } } });
    await panel.has(1, 'state/lamp-1/update/accepted');
    letIn({ lamp: CALLERS.lamp, other: CALLERS.other, ops: CALLERS.ops });
    await out(panel);
    expect(await answer(keys.panel, 'shared')).toBe(4);
    const other = await connected(keys.other, { clientId: 'shared', clean: false });
    await other.client.subscribeAsync('state/lamp-2/update/accepted', { qos: 1 });
    await operator.send('state/lamp-1/update', { state: { reported: { secret: 2 } } });
    await operator.send('state/lamp-2/update', { state: { reported: { a: 1 } } });
    await other.has(1, 'state/lamp-2/update/accepted');
    expect(other.got.map(({ topic }) => topic)).toEqual(['state/lamp-2/update/accepted']);
    await other.leave();
  });

  it('end it when its token ends, and with the next token its session goes on', async () => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: 'lamp-3', role: 'device', devices: 'lamp-3' };
    const options = { clientId: 'lamp-3', clean: false };
    const brief = await issuer.token({ ...claims, exp: now + 6 });
    const lamp = await connected(brief, options);
    await lamp.client.subscribeAsync('state/lamp-3/update/accepted', { qos: 1 });
    const stays = await connected(await issuer.token({ sub: 'p', role: 'component', devices: '*' }), {
      clientId: 'long',
    });
    await out(lamp);
    // Not before its time, the tolerance for clocks included.
    expect(Date.now() / 1000).toBeGreaterThan(now + 6);
    expect(await answer(brief, 'lamp-3')).toBe(4);
    const again = await connected(await issuer.token(claims), options);
    await again.send('state/lamp-3/update', { state: { reported: { a: 1 } } });
    await again.has(1, 'state/lamp-3/update/accepted');
    expect(stays.client.connected).toBe(true);
    await again.leave();
    await stays.leave();
  });
});
