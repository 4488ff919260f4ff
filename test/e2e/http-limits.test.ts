import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { type Answer, RestClient, until } from '../support/http.js';
import { RawSocket } from '../support/raw-socket.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const sockets: RawSocket[] = [];
async function open(url: string, from?: string): Promise<RawSocket> {
  const socket = await RawSocket.connect(url, from);
  sockets.push(socket);
  return socket;
}
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** The head of an update whose body does not come. */
function headOf(deviceId: string, length: number, key?: string): string {
  const credential = key === undefined ? '' : `x-api-key: ${key}\r\n`;
  return `POST /state/${deviceId}/update HTTP/1.1\r\nhost: x\r\n${credential}content-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;
}

function limited(metrics: string, limit: string): number {
  const found = new RegExp(`^replica_limited_total\\{edge="http",limit="${limit}"\\} (\\d+)$`, 'm').exec(
    metrics,
  );
  return Number(found?.[1] ?? 0);
}

describe('limits of known callers, by HTTP', () => {
  const folder = temporaryFolder();
  const [panel, ana, ops] = [newApiKey(), newApiKey(), newApiKey()];
  let service: Service;
  let client: RestClient;
  beforeAll(async () => {
    const file = join(folder.path, 'keys');
    const lines = [
      lineOf({ id: 'panel', role: 'component', devices: ['*'] }, panel),
      lineOf({ id: 'other', role: 'component', devices: ['*'] }, ana),
      lineOf({ id: 'ops', role: 'operator', devices: [] }, ops),
    ];
    writeFileSync(file, lines.join('\n'));
    service = await startService({
      DATA_DIR: join(folder.path, 'data'),
      API_KEYS_FILE: file,
      MQTT: 'off',
      AWS_SHADOW_TOPICS: 'on',
      MAX_REQUEST_BYTES: '921600',
      MAX_IN_FLIGHT_BYTES: String(4 * 1024 * 1024),
      MAX_REQUESTS_IN_FLIGHT_COUNT: '3',
      MAX_FOLLOWERS_PER_CALLER_COUNT: '2',
      MAX_DEVICE_COMMANDS_PER_SECOND_COUNT: '1',
    });
    client = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  const as = (key: string): Record<string, string> => ({ 'x-api-key': key });
  const metrics = async (): Promise<string> => (await client.get('/metrics', as(ops))).text;
  const ask = (key: string) => client.get('/state/none/delta', as(key));
  /** Requests whose bodies do not come; resolves when they are in flight. */
  async function occupy(count: number, length: number, key: string): Promise<RawSocket[]> {
    const opened: RawSocket[] = [];
    for (let index = 0; index < count; index++) {
      const socket = await open(service.url);
      // The answer to 100-continue says that it was let in.
      socket.send(
        headOf(`busy-${index}`, length, key).replace('\r\n\r\n', '\r\nexpect: 100-continue\r\n\r\n'),
      );
      await socket.has('100 Continue');
      opened.push(socket);
    }
    return opened;
  }

  it('refuses with 429 what one caller has too many of at once, and nobody else', async () => {
    const busy = await occupy(3, 10, panel);
    const refused = await ask(panel);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(refused.body).toMatchObject({
      code: 429,
      message: expect.stringContaining('MAX_REQUESTS_IN_FLIGHT_COUNT'),
    });
    // AWS's clients know it by its name.
    const shadow = await client.get('/things/none/shadow', as(panel));
    expect([shadow.status, shadow.headers.get('x-amzn-errortype')]).toEqual([429, 'ThrottlingException']);
    expect(refused.headers.get('x-amzn-errortype')).toBeNull();
    // Before its body is asked for, too.
    const socket = await open(service.url);
    socket.send(headOf('late', 10, panel).replace('\r\n\r\n', '\r\nexpect: 100-continue\r\n\r\n'));
    expect(await socket.has('"code":429')).not.toContain('100 Continue');
    expect((await ask(ana)).status).toBe(404);
    for (const one of busy) one.destroy();
    await until('room again', async () => (await ask(panel)).status === 404);
    expect(limited(await metrics(), 'in-flight')).toBeGreaterThanOrEqual(2);
  });

  it('gives a place back with its answer', async () => {
    for (let count = 0; count < 20; count++) expect((await ask(panel)).status).toBe(404);
    const [busy] = await occupy(1, 36, panel);
    busy?.send('{"state":{"reported":{"filled":true}}}'.slice(0, 36));
    await busy?.has('"code":400');
    await occupy(3, 10, panel);
  });

  it('sheds what all together have too much of with 503, and is there for a supervisor', async () => {
    // Of one caller, half of what there is; so nobody has all of it.
    await occupy(2, 900_000, panel);
    expect((await client.report('a', {}, as(panel))).status).toBe(200);
    const [large] = [await open(service.url)];
    large?.send(headOf('large', 900_000, panel));
    expect(await large?.has('"code":429')).toContain('MAX_IN_FLIGHT_BYTES');
    await occupy(2, 900_000, ana);
    const shed = await open(service.url);
    shed.send(headOf('shed', 900_000, ops));
    const answer = await shed.has('"code":503');
    expect(answer).toMatch(/retry-after: 1\r\n/);
    expect(answer).toContain('Too many requests at once');
    expect((await client.get('/health/live')).status).toBe(200);
    expect((await client.get('/health/ready', as(panel))).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await until('room again', async () => (await client.report('b', {}, as(ops))).status !== 503);
    expect(limited(await metrics(), 'overload')).toBe(1);
  });

  it('bounds the commands of one device, whoever sends them, and not those of its neighbours', async () => {
    const send = (deviceId: string, index: number) =>
      client.report(deviceId, { n: index }, as(index % 2 ? panel : ana));
    // On a machine that takes its time, all of some are within the rate.
    const refused: Answer[] = [];
    await until('more than the rate', async () => {
      const names = ['hot', 'hot', 'hot/name/a', 'hot/name/b'];
      const answers = await Promise.all(names.map((name, index) => send(name, index)));
      const body = JSON.stringify({ state: { reported: { n: 1 } } });
      const headers = { ...as(panel), 'content-type': 'application/json' };
      answers.push(await client.call('POST', '/things/hot/shadow', { body, headers }));
      expect(answers.filter(({ status }) => status !== 429 && status !== 200)).toEqual([]);
      refused.push(...answers.filter(({ status }) => status === 429));
      return refused.length > 0;
    });
    for (const { headers, body } of refused) {
      expect(headers.get('retry-after')).toBe('1');
      expect(body).toMatchObject({
        message: expect.stringContaining('MAX_DEVICE_COMMANDS_PER_SECOND_COUNT'),
      });
    }
    for (const one of ['cold-1', 'cold-2', 'cold-3']) expect((await send(one, 1)).status).toBe(200);
    await until('the device’s next second', async () => (await send('hot', 9)).status === 200);
    expect(limited(await metrics(), 'device-rate')).toBeGreaterThan(0);
    // To read it is no command.
    for (let n = 0; n < 5; n++) expect((await client.get('/state/hot', as(panel))).status).toBe(200);
  });

  it('bounds the open event streams of a caller, which hold no place of its requests', async () => {
    const follow = async (key: string): Promise<RawSocket> => {
      const socket = await open(service.url);
      socket.send(`GET /state/lamp/events HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\n\r\n`);
      return socket;
    };
    const [first] = [await follow(panel), await follow(panel)];
    for (const socket of sockets) await socket.has('retry: 2000');
    const third = await follow(panel);
    const answer = await third.has('"code":429');
    expect(answer).toContain('MAX_FOLLOWERS_PER_CALLER_COUNT');
    expect(answer).toMatch(/retry-after: 1\r\n/);
    await (await follow(ana)).has('retry: 2000');
    // All three places are free.
    for (const one of await occupy(3, 10, panel)) one.destroy();
    first?.destroy();
    await until('a stream’s place', async () => {
      const socket = await follow(panel);
      await socket.has(/retry: 2000|"code":429/);
      return socket.text.includes('retry: 2000');
    });
    expect(limited(await metrics(), 'caller-streams')).toBeGreaterThan(0);
  });
});

describe('limits of whoever comes, by HTTP', () => {
  const folder = temporaryFolder();
  let service: Service;
  let client: RestClient;
  beforeAll(async () => {
    service = await startService({
      DATA_DIR: folder.path,
      MQTT: 'off',
      MAX_REQUEST_BYTES: '65536',
      MAX_CONNECTION_COUNT: '20',
      MAX_CONNECTIONS_PER_ADDRESS_COUNT: '15',
    });
    client = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });
  const metrics = async (): Promise<string> => (await client.get('/metrics')).text;

  describe('of size', () => {
    const ends = async (request: string | Uint8Array): Promise<string> => {
      const socket = await open(service.url);
      socket.send(request);
      return socket.closed();
    };

    it.each([
      ['a header', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(17_000)}\r\n\r\n`],
      ['a URL', `GET /state/${'a'.repeat(17_000)} HTTP/1.1\r\nhost: x\r\n\r\n`],
      ['a header that never ends', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(300_000)}`],
      ['headers that never end', `GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(50_000)}`],
    ])('ends what sends %s beyond with 431', async (_, request) => {
      const answer = await ends(request);
      expect(answer).toMatch(/^HTTP\/1.1 431 /);
      expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 431 });
    });

    it('refuses more than a hundred headers, of which Node would pass over some', async () => {
      const headers = (count: number): string =>
        Array.from({ length: count - 1 }, (_, n) => `x-${n}: 1\r\n`).join('');
      const socket = await open(service.url);
      for (const count of [100, 101, 1000]) {
        socket.send(`GET /state/none HTTP/1.1\r\nhost: x\r\n${headers(count)}\r\n`);
        await until(
          'the answer',
          () => (socket.text.match(/"code":/g) ?? []).length === [100, 101, 1000].indexOf(count) + 1,
        );
      }
      expect(socket.text.match(/"code":\d+/g)).toEqual(['"code":404', '"code":431', '"code":431']);
    });

    it('refuses a path that is no device’s with 414', async () => {
      expect((await client.get(`/state/${'a'.repeat(600)}`)).status).toBe(414);
    });

    it('refuses a body that says that it is too large before it is read', async () => {
      const answer = await ends(headOf('lamp', 65_537));
      expect(answer).toMatch(/^HTTP\/1.1 413 /);
    });

    it('cuts a body that does not say so where it is too large', async () => {
      const socket = await open(service.url);
      socket.send(headOf('lamp', 0).replace('content-length: 0', 'transfer-encoding: chunked'));
      const chunk = `1000\r\n${'a'.repeat(4096)}\r\n`;
      let sent = 0;
      // For as long as it is let.
      while (!socket.isClosed && sent < 10_000) {
        socket.send(chunk);
        sent++;
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(socket.isClosed).toBe(true);
      expect((await metrics()).includes('replica_limited_total{edge="http",limit="size"}')).toBe(true);
    });

    it('refuses a compressed body, whatever is in it', async () => {
      const bomb = gzipSync(Buffer.alloc(10_000_000, 0x20));
      const answer = await client.update('lamp', new Uint8Array(bomb), { 'content-encoding': 'gzip' });
      expect(answer.status).toBe(415);
      expect(answer.headers.get('accept-encoding')).toBe('identity');
      expect((await client.report('lamp', { on: 1 }, { 'content-encoding': 'identity' })).status).toBe(200);
    });

    it('lets nothing be gathered in the extensions of chunks', async () => {
      const head = headOf('lamp', 0).replace('content-length: 0', 'transfer-encoding: chunked');
      expect(await ends(`${head}1;${'a'.repeat(100_000)}`)).toMatch(/^HTTP\/1.1 413 /);
    });
  });

  it('answers many requests that are sent at once in their order, or says that they are too many', async () => {
    const socket = await open(service.url);
    const count = 3000;
    for (let n = 0; n < count; n++) {
      const body = JSON.stringify({ state: { reported: { n } } });
      socket.send(headOf(`flood-${n % 50}`, body.length) + body);
    }
    const statuses = (): string[] => socket.text.match(/^HTTP\/1.1 \d+/gm) ?? [];
    await until('all answers', () => statuses().length === count || socket.isClosed);
    const codes = new Set(statuses().map((line) => line.slice(-3)));
    expect([...codes].filter((code) => code !== '200' && code !== '429' && code !== '503')).toEqual([]);
    expect(statuses()[0]).toBe('HTTP/1.1 200');
    expect((await client.report('after', { ok: true })).status).toBe(200);
  });

  it('bounds the connections of one address, and all; who is silent makes room', async () => {
    // Those of the client that asks for metrics may be open, too.
    const opened = await Promise.all(Array.from({ length: 20 }, () => open(service.url)));
    const ended = (list: readonly RawSocket[]): RawSocket[] => list.filter(({ isClosed }) => isClosed);
    await until('the end of those beyond', () => ended(opened).length >= 5);
    expect(ended(opened).every(({ text }) => text === '')).toBe(true);
    const others = await Promise.all(Array.from({ length: 10 }, () => open(service.url, '127.0.0.2')));
    await until('the end of those beyond', () => ended(others).length >= 5);
    // Those that say nothing go for one that comes later.
    await until('a place for somebody who speaks', async () => {
      const socket = await open(service.url, '127.0.0.3');
      socket.send('GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
      return (await socket.closed()).startsWith('HTTP/1.1 200');
    });
    for (const socket of [...opened, ...others]) socket.destroy();
    await until('room again', async () => {
      const answer = await client.get('/metrics').catch(() => null);
      return (
        answer !== null &&
        limited(answer.text, 'address-connections') > 0 &&
        limited(answer.text, 'connections') > 0
      );
    });
    const lines = service.lines.filter((line) => line.includes('A limit was reached'));
    expect(lines.map((line) => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({
        level: 'warn',
        edge: 'http',
        limit: 'address-connections',
        who: '127.0.0.1',
      }),
    );
    // Not a line for each.
    expect(lines.filter((line) => line.includes('"address-connections"')).length).toBeLessThan(3);
  });
});

describe('limits of time, by HTTP', () => {
  const folder = temporaryFolder();
  let service: Service;
  let client: RestClient;
  beforeAll(async () => {
    service = await startService({
      DATA_DIR: folder.path,
      MQTT: 'off',
      ARRIVAL_TIMEOUT_MS: '1000',
      FOLLOWER_STALL_MS: '3000',
    });
    client = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });
  const metrics = async (): Promise<string> => (await client.get('/metrics')).text;
  it.each([
    ['nothing', '', ''],
    ['a head that does not end', 'GET /state/lamp HTTP/1.1\r\nhost: x\r\n', ''],
    ['a head byte by byte', 'GET /state/lamp HTTP/1.1\r\n', `x: ${'a'.repeat(100)}`],
    ['a body that does not end', headOf('lamp', 100), ''],
    ['a body byte by byte', headOf('lamp', 100), '{"state":{"reported":{}, '.padEnd(100)],
  ])('ends what sends %s with 408', async (_, start, slowly) => {
    const socket = await open(service.url);
    socket.send(start);
    void socket.trickle(slowly, 50);
    expect(await socket.closed()).toMatch(/^HTTP\/1.1 408 /);
    expect(limited(await metrics(), 'slow')).toBeGreaterThan(0);
  });

  it('cuts who does not read the answers, and holds little for them', async () => {
    const deviceId = 'wide';
    const state = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`k${n}`, 'x'.repeat(100)]));
    expect((await client.report(deviceId, state)).status).toBe(200);
    const before = limited(await metrics(), 'slow');
    const socket = await open(service.url);
    socket.pause();
    // Answers of 40 MB, in one go.
    socket.send(`GET /state/${deviceId} HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(1000));
    await until('the cut', async () => limited(await metrics(), 'slow') > before);
    socket.resume();
    await socket.closed();
    expect(socket.bytes.length).toBeLessThan(30_000_000);
  });

  it('leaves who reads slowly but steadily', async () => {
    const socket = await open(service.url);
    const before = limited(await metrics(), 'slow');
    socket.pause();
    const count = 400;
    socket.send(`GET /state/wide HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(count));
    // For longer than a reader may take nothing. Systems hold some megabytes ready, and tell of what was read in
    // large parts.
    for (let turn = 1; turn <= 12; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      socket.resume();
      await until('some of it', () => socket.isClosed || socket.bytes.length >= turn * 900_000);
      socket.pause();
    }
    socket.resume();
    await until(
      'all answers',
      () => socket.isClosed || (socket.text.match(/HTTP\/1.1 200/g) ?? []).length === count,
    );
    expect(socket.isClosed).toBe(false);
    expect(limited(await metrics(), 'slow')).toBe(before);
  });
});

describe('a rate where nobody authenticates', () => {
  it('is of each address', async () => {
    const folder = temporaryFolder();
    const service = await startService({
      DATA_DIR: folder.path,
      MQTT: 'off',
      MAX_REQUESTS_PER_SECOND_COUNT: '1',
    });
    const ask = async (from: string): Promise<string> => {
      const socket = await open(service.url, from);
      socket.send('GET /state/none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
      return (await socket.closed()).slice(9, 12);
    };
    const answers: string[] = [];
    await until('more than the rate', async () => {
      answers.push(...(await Promise.all(Array.from({ length: 10 }, () => ask('127.0.0.3')))));
      return answers.includes('429');
    });
    expect([...new Set(answers)].sort()).toEqual(['404', '429']);
    expect(await ask('127.0.0.4')).toBe('404');
    await service.stop();
    folder.remove();
  });
});
