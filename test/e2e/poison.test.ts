import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { raw, RestClient, until } from '../support/http.js';
import { MqttPeer } from '../support/mqtt.js';
import { type Expected, ILLEGAL_IDS, LEGAL_IDS, poisonCases } from '../support/poison/index.js';
import { HTTP_ATTACKS, MQTT_ATTACKS } from '../support/poison/wires.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const CASES = poisonCases();
const LANES = 8;
/** Of a service that holds some thousands of small devices; what a bomb would take is far beyond. */
const MAX_RSS_MIB = 700;

/** A device whose updates must all be taken, in order, whatever is sent beside them. */
class Neighbour {
  private count = 0;
  constructor(
    private readonly rest: RestClient,
    private readonly id: string,
  ) {}

  async lives(): Promise<void> {
    const answer = await this.rest.update(this.id, {
      state: { reported: { n: this.count } },
      version: this.count,
    });
    this.count++;
    expect({ status: answer.status, version: answer.body['version'] }).toEqual({
      status: 200,
      version: this.count,
    });
  }
}

describe('bad input', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;

  beforeAll(async () => {
    service = await startService({ DATA_DIR: folder.path });
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    expect(await service.stop()).toBe(0);
    folder.remove();
  });
  afterEach(async () => {
    expect((await rest.get('/health/ready')).status).toBe(200);
    const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${service.pid}/status`, 'utf8'))?.[1];
    expect(Number(rss) / 1024).toBeLessThan(MAX_RSS_MIB);
    expect(service.lines.filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
  });

  /** All cases, side by side in lanes, each lane with a neighbour of its own. */
  async function inLanes<T>(all: readonly T[], act: (one: T, index: number) => Promise<void>): Promise<void> {
    const lanes = Array.from({ length: LANES }, async (_, lane) => {
      const neighbour = new Neighbour(rest, `neighbour-${lane}-${Math.random().toString(36).slice(2)}`);
      for (let at = lane, count = 0; at < all.length; at += LANES, count++) {
        await act(all[at] as T, at);
        if (count % 10 === 0) await neighbour.lives();
      }
      await neighbour.lives();
    });
    await Promise.all(lanes);
  }

  const isAsExpected = (expected: Expected, code: unknown, message: unknown): boolean =>
    expected === 'accepted'
      ? code === undefined
      : code === expected.code && String(message).startsWith(expected.says);

  describe('by REST', () => {
    it('has its answer, each case its own, and its neighbours have theirs', async () => {
      const wrong: unknown[] = [];
      await inLanes(CASES, async ({ name, bytes, expected, kept }, index) => {
        const id = `rest-${index}`;
        const { status, body } = await rest.update(id, Uint8Array.from(bytes));
        // A body that is too long is refused before it is read.
        const isTooLong =
          expected !== 'accepted' && expected.says.startsWith('The request is ') && expected.code === 413;
        const isRight = isTooLong
          ? status === 413
          : isAsExpected(expected, body['code'], body['message']) && status === (body['code'] ?? 200);
        if (!isRight) wrong.push({ name, expected, status, body });
        if (kept === undefined) return;
        const now = await rest.get(`/state/${id}`);
        let value: unknown = now.body['state'];
        for (const key of kept.path) value = (value as Record<string, unknown> | undefined)?.[key];
        if (JSON.stringify(value) !== JSON.stringify(kept.value)) wrong.push({ name, kept, value });
      });
      expect(wrong).toEqual([]);
    });

    it('in the place of an id is no device, and a device that exists where it only looks so', async () => {
      const body = '{"state":{"reported":{"a":1}}}';
      await inLanes(LEGAL_IDS, async (id) => {
        const { status } = await rest.update(encodeURIComponent(id), body);
        expect({ id, status }).toEqual({ id, status: 200 });
        expect((await rest.get(`/state/${encodeURIComponent(id)}`)).body).toMatchObject({ version: 1 });
      });
      // What is longer is refused by the head's size, before all of it has come.
      const short = ILLEGAL_IDS.filter((id) => id.length < 10_000);
      await inLanes(short, async (id) => {
        const encoded = [...Buffer.from(id)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
        const head = `content-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\nhost: 127.0.0.1`;
        const answer = await raw(
          service.url,
          `POST /state/${encoded}/update HTTP/1.1\r\n${head}\r\n\r\n${body}`,
        );
        expect({ id: String(id).slice(0, 50), isRefused: /^HTTP\/1.1 4(00|04|14|31) /.test(answer) }).toEqual(
          {
            id: String(id).slice(0, 50),
            isRefused: true,
          },
        );
      });
    });

    it.each(HTTP_ATTACKS)('on the wire: $name', async ({ request, expected }) => {
      const neighbour = new Neighbour(rest, `wire-${Math.random().toString(36).slice(2)}`);
      await neighbour.lives();
      const answer = await raw(service.url, request);
      expect(answer).toMatch(expected);
      expect(answer).not.toMatch(/^(x-)?injected:/im);
      expect(answer.match(/^HTTP\/1\.1 /gm)?.length ?? 0).toBeLessThanOrEqual(1);
      await neighbour.lives();
    });
  });

  describe('by MQTT', () => {
    it('is told on the rejected topic, each case once, and acknowledged', async () => {
      const watcher = await MqttPeer.connect(service.mqtt, { clientId: 'watcher' });
      await watcher.client.subscribeAsync(['state/+/update/accepted', 'state/+/update/rejected'], { qos: 1 });
      const peers = await Promise.all(
        Array.from({ length: LANES }, (_, lane) =>
          MqttPeer.connect(service.mqtt, { clientId: `lane-${lane}` }),
        ),
      );
      // A packet of more than twice a request's size ends its connection: test/e2e/mqtt.test.ts.
      const all = CASES.map((each, index) => ({ ...each, id: `mqtt-${index}` })).filter(
        ({ bytes }) => bytes.length < 250_000,
      );
      await inLanes(all, async ({ id, bytes }, index) => {
        await peers[index % LANES]?.client.publishAsync(`state/${id}/update`, bytes, {
          qos: index % 5 === 0 ? 2 : 1,
        });
      });
      const told = (): Map<string, Record<string, unknown>[]> => {
        const by = new Map<string, Record<string, unknown>[]>();
        for (const { topic, text } of watcher.got) {
          const [, id = ''] = topic.split('/');
          by.set(id, [...(by.get(id) ?? []), JSON.parse(text) as Record<string, unknown>]);
        }
        return by;
      };
      await until('all are told', () =>
        all.every(({ id }) => watcher.got.some(({ topic }) => topic.includes(`/${id}/`))),
      );
      const outcomes = told();
      const wrong = all.filter(({ id, expected }) => {
        const [one, ...more] = outcomes.get(id) ?? [];
        return more.length > 0 || !isAsExpected(expected, one?.['code'], one?.['message']);
      });
      expect(wrong.map(({ name, id, expected }) => ({ name, expected, told: outcomes.get(id) }))).toEqual([]);
      await Promise.all([watcher, ...peers].map((peer) => peer.leave()));
    });

    it('in a topic is nobody’s command', async () => {
      const peer = await MqttPeer.connect(service.mqtt, { clientId: 'topics' });
      const strings = ILLEGAL_IDS.filter((id): id is string => typeof id === 'string');
      for (const id of strings.filter((each) => !/[+#\0]/.test(each) && each.length < 60_000)) {
        await peer.client.publishAsync(`state/${id}/update`, '{"state":{"reported":{"a":1}}}', { qos: 1 });
      }
      expect(peer.client.connected).toBe(true);
      const marker = `after-${Date.now()}`;
      await rest.report(marker, { a: 1 });
      await until('what came is listed', async () => {
        const { body } = await rest.get(`/fleet?prefix=${marker}`);
        return (body['devices'] as unknown[]).length === 1;
      });
      const { body } = await rest.get('/fleet?prefix=a&limit=1000&fields=deviceId');
      const ids = (body['devices'] as { deviceId: string }[]).map(({ deviceId }) => deviceId);
      expect(ids.filter((id) => id !== marker && !LEGAL_IDS.includes(id))).toEqual([]);
      await peer.leave();
    });

    it.each(MQTT_ATTACKS)('on the wire: $name', async ({ bytes, isEnded }) => {
      const healthy = await MqttPeer.connect(service.mqtt, { clientId: 'healthy' });
      const [host = '', port = ''] = service.mqtt.split(':');
      const socket = connect(Number(port), host);
      socket.on('error', () => undefined);
      socket.resume();
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      for (const part of bytes) socket.write(part);
      if (isEnded) await closed;
      await healthy.send('state/healthy/update', { state: { reported: { a: 1 } } });
      expect(healthy.client.connected).toBe(true);
      socket.destroy();
      await healthy.leave();
    });
  });
});
