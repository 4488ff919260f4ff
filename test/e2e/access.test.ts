import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { type Caller, type Reach, type Role, ROLES } from '../../src/application/access/rules.js';
import { raw, until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const CALLERS: Readonly<Record<Role, Caller>> = {
  device: { id: 'lamp-1', role: 'device', devices: ['lamp-1'] },
  component: { id: 'panel', role: 'component', devices: ['lamp-*'] },
  analyst: { id: 'ana', role: 'analyst', devices: [] },
  operator: { id: 'ops', role: 'operator', devices: [] },
};
const OWN = 'lamp-1';
/** One that exists, and one that does not. */
const FOREIGN = ['pump-1', 'pump-404'];

interface Try {
  readonly address: string;
  readonly path: (deviceId: string) => string;
  readonly body?: (deviceId: string) => object;
  readonly reach: Readonly<Record<Role, Reach>>;
}

/** In the order of the roles: device, component, analyst, operator. */
function reach(...[device, component, analyst, operator]: [Reach, Reach, Reach, Reach]): Try['reach'] {
  return { device, component, analyst, operator };
}

const ofDevice = (method: string, below: string, allowed: Try['reach'], body?: object, query = ''): Try => ({
  address: `${method} /state/{deviceId}${below}`,
  path: (id) => `/state/${id}${below}${query}`,
  ...(body === undefined ? {} : { body: () => body }),
  reach: allowed,
});
const ofThing = (method: string, allowed: Try['reach'], body?: object): Try => ({
  address: `${method} /things/{thing}/shadow`,
  path: (id) => `/things/${id}/shadow`,
  ...(body === undefined ? {} : { body: () => body }),
  reach: allowed,
});
const ofFleet = (address: string, allowed: Try['reach']): Try => ({
  address,
  path: (id) => `${address.split(' ')[1] ?? ''}?prefix=${id.slice(0, 5)}`,
  reach: allowed,
});
const ofService = (address: string, allowed: Try['reach']): Try => ({
  address,
  path: () => address.split(' ')[1] ?? '',
  ...(address.startsWith('POST') ? { body: () => ({}) } : {}),
  reach: allowed,
});

const READ = reach('own', 'own', 'all', 'all');
const PAST = reach('none', 'own', 'all', 'all');
const REPORT = reach('own', 'own', 'none', 'all');
const DESIRE = reach('none', 'own', 'none', 'all');
const FLEET = reach('none', 'own', 'all', 'all');

const TRIES: readonly Try[] = [
  ofDevice('POST', '/update', REPORT, { state: { reported: { a: 1 } } }),
  ofDevice('POST', '/update', DESIRE, { state: { desired: { a: 2 } } }),
  ofDevice('POST', '/update', DESIRE, { state: { reported: { a: 1 }, desired: null } }),
  ofDevice('POST', '/update', DESIRE, { state: null }),
  ofDevice('GET', '', READ),
  ofDevice('GET', '', PAST, undefined, '?version=1'),
  ofDevice('GET', '', PAST, undefined, '?at=2026-05-01T12:00:00Z'),
  ofDevice('GET', '/get', READ),
  ofDevice('GET', '/get', PAST, undefined, '?version=1'),
  ofDevice('GET', '/delta', READ),
  ofDevice('GET', '/presence', READ),
  ofDevice('GET', '/events', READ),
  ofDevice('GET', '/history', PAST),
  ofDevice('GET', '/convergence', PAST),
  ofDevice('GET', '/diff', PAST, undefined, '?from=1&to=2'),
  ofDevice('GET', '/explain', PAST, undefined, '?path=reported.a'),
  ofDevice('POST', '/revert', DESIRE, { to: 1 }),
  ofThing('GET', READ),
  ofThing('POST', REPORT, { state: { reported: { a: 1 } } }),
  ofThing('POST', DESIRE, { state: { desired: { a: 2 } } }),
  {
    address: 'GET /api/things/shadow/ListNamedShadowsForThing/{thing}',
    path: (id) => `/api/things/shadow/ListNamedShadowsForThing/${id}`,
    reach: READ,
  },
  ofFleet('GET /fleet', FLEET),
  ofFleet('GET /fleet/count', FLEET),
  ofFleet('GET /fleet/events', FLEET),
  ofService('GET /fleet/convergence', reach('none', 'none', 'all', 'all')),
  {
    address: 'POST /fleet/as-of',
    path: () => '/fleet/as-of',
    body: (id) => ({ deviceIds: [OWN, id], at: '2026-05-01T12:00:00Z' }),
    reach: PAST,
  },
  ofService('GET /ops/projections', reach('none', 'none', 'none', 'all')),
  ofService('POST /ops/projections/rebuild', reach('none', 'none', 'none', 'all')),
  ofService('GET /metrics', reach('none', 'none', 'all', 'all')),
  ofService('GET /docs', reach('none', 'all', 'all', 'all')),
  ofService('GET /docs-json', reach('none', 'all', 'all', 'all')),
  ofService('GET /docs-yaml', reach('none', 'all', 'all', 'all')),
  ofService('GET /health/live', reach('all', 'all', 'all', 'all')),
  ofService('GET /health/ready', reach('all', 'all', 'all', 'all')),
  // The last, since then it is gone.
  ofDevice('DELETE', '', DESIRE),
  ofThing('DELETE', DESIRE),
];
/** Those that are for people who run the service are not in the OpenAPI document. */
const HIDDEN = /\/(ops|metrics|docs|health)\b/;

const methodOf = ({ address }: Try): string => address.split(' ')[0] ?? '';

describe('who may do what, by REST', () => {
  const folder = temporaryFolder();
  const keys = Object.fromEntries(ROLES.map((role) => [role, newApiKey()])) as Record<Role, string>;
  const file = join(folder.path, 'keys');
  const lines = ROLES.map((role) => lineOf(CALLERS[role], keys[role]));
  let service: Service;

  beforeAll(async () => {
    writeFileSync(file, lines.join('\n'));
    service = await startService({
      DATA_DIR: join(folder.path, 'data'),
      API_KEYS_FILE: file,
      AWS_SHADOW_TOPICS: 'on',
    });
    for (const id of [OWN, 'pump-1']) {
      for (const a of [1, 2]) {
        const body = JSON.stringify({ state: { reported: { a }, desired: { a: 3 } } });
        const answer = await send('POST', `/state/${id}/update`, keys.operator, body);
        if (answer.status !== 200) throw new Error(`An update was answered with ${answer.status}`);
      }
    }
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  interface Seen {
    readonly status: number;
    readonly challenge: string | null;
    readonly text: string;
  }

  async function send(
    method: string,
    path: string,
    key?: string,
    body?: string,
    headers: Record<string, string> = {},
  ): Promise<Seen> {
    const answer = await fetch(`${service.url}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    });
    const challenge = answer.headers.get('www-authenticate');
    const { status } = answer;
    // A stream would never end.
    const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') === true;
    if (isStream) await answer.body?.cancel();
    const text = isStream ? '' : (await answer.text()).replace(/"timestamp":\d+/, '');
    return { status, challenge, text };
  }

  const tryIt = (of: Try, deviceId: string, key?: string): Promise<Seen> => {
    const body = of.body?.(deviceId);
    return send(methodOf(of), of.path(deviceId), key, body === undefined ? undefined : JSON.stringify(body));
  };

  it('is expected here for every address that the service has', async () => {
    const answer = await send('GET', '/docs-json', keys.operator);
    const { paths } = JSON.parse(answer.text) as { paths: Record<string, Record<string, unknown>> };
    const told = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const expected = new Set(TRIES.map(({ address }) => address));
    expect(told.filter((address) => !expected.has(address))).toEqual([]);
    expect([...expected].filter((address) => !told.includes(address) && !HIDDEN.test(address))).toEqual([]);
  });

  it.each(TRIES.map((of) => [`${methodOf(of)} ${of.path(OWN)}`, of] as const))('%s', async (_, of) => {
    for (const role of ROLES) {
      const key = keys[role];
      const own = await tryIt(of, OWN, key);
      const foreign = await Promise.all(FOREIGN.map((id) => tryIt(of, id, key)));
      const isRefused = [own, ...foreign].map(({ status }) => status === 403);
      const reaches = of.reach[role];
      expect({ role, isRefused }).toEqual({
        role,
        isRefused: [reaches === 'none', reaches !== 'all', reaches !== 'all'],
      });
      for (const { status } of [own, ...foreign]) expect(status).not.toBe(401);
      // Whether there is such a device is not told to whom it does not belong.
      if (reaches !== 'all') expect(foreign[0]).toEqual(foreign[1]);
      if (methodOf(of) === 'GET') {
        const heads = await Promise.all([OWN, ...FOREIGN].map((id) => send('HEAD', of.path(id), key)));
        expect(heads.map(({ status }) => status === 403)).toEqual(isRefused);
      }
    }
  });

  describe('without credentials', () => {
    const PATHS = [
      '/',
      '/nope',
      '/state',
      '/state/',
      '/state/lamp-1/nope',
      '/%zz',
      `/state/${'x'.repeat(600)}`,
    ];
    let refused: Seen;
    beforeAll(async () => {
      refused = await send('GET', '/');
    });

    it('nothing but the refusal is to be had', () => {
      expect(refused).toMatchObject({ status: 401, challenge: 'Bearer' });
      expect(JSON.parse(refused.text.replace(',}', '}'))).toMatchObject({ code: 401 });
    });

    it.each(
      TRIES.filter(({ address }) => !address.includes('/health')).map((of) => [of.path(OWN), of] as const),
    )('every address is refused in the same way: %s', async (_, of) => {
      for (const id of [OWN, ...FOREIGN]) expect(await tryIt(of, id)).toEqual(refused);
    });

    it.each(PATHS)('and so is what there is not: %s', async (path) => {
      expect(await send('GET', path)).toEqual(refused);
    });

    it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('and every method: %s', async (method) => {
      for (const path of ['/state/lamp-1', '/state/pump-404', '/fleet', '/nope', '/health/live']) {
        expect(await send(method, path)).toEqual(refused);
      }
    });

    it('and HEAD, without the body', async () => {
      for (const path of ['/state/lamp-1', '/nope']) {
        expect(await send('HEAD', path)).toEqual({ ...refused, text: '' });
      }
    });

    it.each([
      '//health/live',
      '/health/live/',
      '/HEALTH/live',
      '/health/live/../../metrics',
      '/health/live%2f..%2f..%2fmetrics',
      '/health/readyx',
      '/health',
    ])('the open addresses are those alone: %s', async (path) => {
      const answer = await raw(service.url, `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1.1 401 /);
    });

    it.each([
      'OPTIONS * HTTP/1.1',
      'GET http://x/health/live HTTP/1.1',
      'TRACE / HTTP/1.1',
      'GET /fleet HTTP/1.0',
    ])('a line as %s is refused', async (line) => {
      expect(await raw(service.url, `${line}\r\nhost: x\r\nconnection: close\r\n\r\n`)).toMatch(
        /^HTTP\/1.1 401 /,
      );
    });

    it('no body is asked for, nor waited for', async () => {
      const head = 'POST /state/lamp-1/update HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
      for (const rest of [
        'content-length: 100000000\r\n',
        'transfer-encoding: chunked\r\n',
        'expect: 100-continue\r\ncontent-length: 10\r\nconnection: close\r\n',
        'expect: something\r\ncontent-length: 10\r\nconnection: close\r\n',
      ]) {
        expect(await raw(service.url, `${head}${rest}\r\n`)).toMatch(/^HTTP\/1.1 401 [^]*"code":401/);
      }
    });

    it('a supervisor is told the status and nothing else', async () => {
      expect(await send('GET', '/health/live')).toMatchObject({ status: 200, text: '{"status":"ok"}' });
      expect(await send('GET', '/health/ready')).toMatchObject({ status: 200, text: '{"status":"ok"}' });
      expect((await send('GET', '/health/ready', 'wrong')).text).toBe('{"status":"ok"}');
      expect((await send('GET', '/health/ready', keys.operator)).text).toContain('eventStore');
    });
  });

  describe('credentials', () => {
    const GET = ['GET', '/state/lamp-1'] as const;

    it.each([
      ['Bearer', (key: string) => ({ authorization: `Bearer ${key}` })],
      ['bearer, in other letters', (key: string) => ({ authorization: `bEARER  ${key} ` })],
      ['x-api-key', (key: string) => ({ 'x-api-key': key })],
      [
        'x-api-key beside what is for somebody else',
        (key: string) => ({ 'x-api-key': key, authorization: 'Basic eDp5' }),
      ],
    ])('are taken as %s', async (_, headers) => {
      const answer = await send('GET', '/fleet/convergence', undefined, undefined, headers(keys.operator));
      expect(answer.status).toBe(200);
    });

    it.each([
      ['another key', (_: string) => ({ authorization: `Bearer ${newApiKey()}` })],
      ['a key with more', (key: string) => ({ authorization: `Bearer ${key}x` })],
      ['a key with less', (key: string) => ({ authorization: `Bearer ${key.slice(0, -1)}` })],
      ['another scheme', (key: string) => ({ authorization: `Basic ${key}` })],
      ['no scheme', (key: string) => ({ authorization: key })],
      ['nothing after the scheme', (_: string) => ({ authorization: 'Bearer ' })],
      [
        'a wrong x-api-key beside a right one',
        (key: string) => ({ 'x-api-key': 'no', authorization: `Bearer ${key}` }),
      ],
      ['the key in the query', (_: string) => ({})],
      [
        'the hash in place of the key',
        (_: string) => ({ 'x-api-key': (JSON.parse(lines[3] ?? '') as { sha256: string }).sha256 }),
      ],
    ])('are not %s', async (name, headers) => {
      const query = name.endsWith('query') ? `?x-api-key=${keys.operator}&access_token=${keys.operator}` : '';
      const answer = await send('GET', `/fleet${query}`, undefined, undefined, headers(keys.operator));
      expect(answer).toMatchObject({ status: 401, challenge: 'Bearer' });
    });

    it('count for a device in memory, which is answered ahead of the routes', async () => {
      await send('POST', '/state/lamp-1/update', keys.device, '{"state":{"reported":{"b":1}}}');
      await send('POST', '/state/pump-1/update', keys.operator, '{"state":{"reported":{"b":1}}}');
      for (let round = 0; round < 3; round++) {
        expect((await send(...GET, keys.device)).status).toBe(200);
        expect((await send('GET', '/state/pump-1', keys.device)).status).toBe(403);
        expect((await send('GET', '/state/pump-1')).status).toBe(401);
      }
      expect((await send('GET', '/state/lamp%2D1', keys.device)).status).toBe(200);
      expect((await send('GET', '/state/pump%2D1', keys.device)).status).toBe(403);
    });

    it('reach the named replicas of the devices that they reach', async () => {
      const body = '{"state":{"reported":{"b":1}}}';
      for (const [role, id, status] of [
        ['device', 'lamp-1', 200],
        ['device', 'lamp-10', 403],
        ['device', 'pump-1', 403],
        ['component', 'lamp-10', 200],
        ['component', 'pump-1', 403],
        ['analyst', 'lamp-1', 403],
        ['operator', 'pump-1', 200],
      ] as const) {
        const path = `/state/${id}/name/firmware`;
        const update = await send('POST', `${path}/update`, keys[role], body);
        expect({ role, id, status: update.status }).toEqual({ role, id, status });
        if (role === 'analyst') continue;
        for (const other of [path, `/state/${id}%2Fname%2Ffirmware`, `${path}/delta`]) {
          const { status: seen } = await send('GET', other, keys[role]);
          expect({ role, other, isRefused: seen === 403 }).toEqual({
            role,
            other,
            isRefused: status === 403,
          });
          expect((await send('GET', other)).status).toBe(401);
        }
      }
    });

    it('let a body come that is waited for', async () => {
      const body = '{"state":{"reported":{"c":1}}}';
      const { host } = new URL(service.url);
      const answer = await raw(
        service.url,
        `POST /state/lamp-1/update HTTP/1.1\r\nhost: ${host}\r\nx-api-key: ${keys.device}\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
      );
      expect(answer).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK/);
    });

    it('are told in the OpenAPI document', async () => {
      const { text } = await send('GET', '/docs-json', keys.analyst);
      expect(JSON.parse(text)).toMatchObject({
        components: {
          securitySchemes: {
            bearer: { type: 'http', scheme: 'bearer' },
            apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
          },
        },
        security: [{ bearer: [] }, { apiKey: [] }],
      });
    });

    it('are counted where they are refused, and never logged', async () => {
      const { text } = await send('GET', '/metrics', keys.analyst);
      for (const code of ['401', '403'])
        expect(text).toMatch(new RegExp(`_refusals_total\\{code="${code}"\\} \\d`));
      for (const role of ROLES) expect(service.lines.join('\n')).not.toContain(keys[role]);
    });

    it('end with their line in the file, which need not wait for a restart', async () => {
      const follow = (key: string) =>
        fetch(`${service.url}/state/lamp-1/events`, { headers: { 'x-api-key': key } });
      const [theirs, others] = [await follow(keys.analyst), await follow(keys.operator)];
      writeFileSync(file, lines.filter((line) => !line.includes('"analyst"')).join('\n'));
      const path = '/fleet/convergence';
      await until('the key is refused', async () => (await send('GET', path, keys.analyst)).status === 401);
      expect((await send('GET', path, keys.operator)).status).not.toBe(401);
      // With the next heartbeat.
      const last = (await theirs.text()).trim().split('\n').at(-1) ?? '';
      expect(JSON.parse(last.replace(/^data: /, ''))).toMatchObject({
        reason: 'unauthorized',
        canResume: true,
      });
      const goesOn = await send('GET', '/metrics', keys.operator);
      expect(goesOn.text).toMatch(/^replica_followers 1$/m);
      await others.body?.cancel();
    });
  });
});
