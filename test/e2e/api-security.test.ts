import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { raw, RestClient } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

/** What the table of the OWASP API Security Top 10 in docs/security.md promises and no other suite proves. */
describe('the API, attacked', () => {
  const folder = temporaryFolder();
  const keys = { operator: newApiKey(), device: newApiKey() };
  let open: Service;
  let guarded: Service;
  let rest: RestClient;

  beforeAll(async () => {
    const file = join(folder.path, 'keys');
    writeFileSync(
      file,
      [
        lineOf({ id: 'ops', role: 'operator', devices: [] }, keys.operator),
        lineOf({ id: 'lamp', role: 'device', devices: ['lamp'] }, keys.device),
      ].join('\n'),
    );
    const environment = { MQTT: 'off', AWS_SHADOW_TOPICS: 'on' };
    [open, guarded] = await Promise.all([
      startService({ ...environment, DATA_DIR: join(folder.path, 'open') }),
      startService({ ...environment, DATA_DIR: join(folder.path, 'guarded'), API_KEYS_FILE: file }),
    ]);
    rest = new RestClient(open.url);
    await rest.update('lamp', { state: { reported: { a: 1 }, desired: { a: 1 } } });
  });
  afterAll(async () => {
    await Promise.all([open.stop(), guarded.stop()]);
    folder.remove();
  });

  describe('the headers of every answer', () => {
    const JSON_TYPE = 'application/json; charset=utf-8';
    const body = { 'content-type': 'application/json' };

    it.each([
      ['a state in memory', 'GET', '/state/lamp', {}, '', 200, JSON_TYPE],
      ['a state by its route', 'GET', '/state/lamp?version=1', {}, '', 200, JSON_TYPE],
      ['a state that has not changed', 'GET', '/state/lamp', { 'if-none-match': '"1"' }, '', 304, null],
      ['nothing outstanding', 'GET', '/state/lamp/delta', {}, '', 204, null],
      ['no state', 'GET', '/state/nobody', {}, '', 404, JSON_TYPE],
      ['a change', 'POST', '/state/other/update', body, '{"state":{}}', 200, JSON_TYPE],
      ['a refusal', 'POST', '/state/other/update', body, '[', 400, JSON_TYPE],
      ['another type', 'POST', '/state/other/update', { 'content-type': 'text/plain' }, '{}', 415, JSON_TYPE],
      ['a deletion', 'DELETE', '/state/other', {}, '', 200, JSON_TYPE],
      ['a history', 'GET', '/state/lamp/history', {}, '', 200, JSON_TYPE],
      ['a shadow', 'GET', '/things/lamp/shadow', {}, '', 200, JSON_TYPE],
      ['a list', 'GET', '/fleet', {}, '', 200, JSON_TYPE],
      ['a stream', 'GET', '/state/lamp/events', {}, '', 200, 'text/event-stream; charset=utf-8'],
      ['a path that there is not', 'GET', '/nowhere', {}, '', 404, JSON_TYPE],
      ['a method that there is not', 'PUT', '/state/lamp', {}, '', 405, JSON_TYPE],
      [
        'a preflight',
        'OPTIONS',
        '/state/lamp',
        { 'access-control-request-method': 'DELETE' },
        '',
        405,
        JSON_TYPE,
      ],
      ['health', 'GET', '/health/ready', {}, '', 200, JSON_TYPE],
      ['metrics', 'GET', '/metrics', {}, '', 200, /^text\/plain; version=[\d.]+; charset=utf-8$/],
    ] as const)('%s', async (_, method, path, headers, sent, status, type) => {
      const answer = await fetch(`${open.url}${path}`, {
        method,
        headers: { ...headers, origin: 'https://elsewhere.example' },
        ...(sent === '' ? {} : { body: sent }),
      });
      await answer.body?.cancel();
      expect(answer.status).toBe(status);
      const seen = answer.headers;
      if (type instanceof RegExp) expect(seen.get('content-type')).toMatch(type);
      else expect(seen.get('content-type')?.toLowerCase() ?? null).toBe(type);
      expect(seen.get('x-content-type-options')).toBe('nosniff');
      // A cache may hold a state if it asks each time; and nothing else at all.
      expect(seen.get('cache-control')).toMatch(/^no-(store|cache)\b/);
      // Who serves, and in which version, is nobody's business; other pages may not read; TLS is not this service's here.
      for (const name of ['server', 'x-powered-by', 'via', 'strict-transport-security', 'set-cookie']) {
        expect(seen.get(name)).toBeNull();
      }
      expect([...seen.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);
    });

    it.each([
      ['no HTTP', 'x\r\n\r\n', 400],
      ['no credentials', 'GET /state/lamp HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n', 401],
      [
        'an expectation',
        `GET /state/lamp HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nx-api-key: ${keys.operator}\r\nexpect: tea\r\n\r\n`,
        417,
      ],
    ])('also where no route answers: %s', async (_, request, status) => {
      const answer = await raw(guarded.url, request);
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(answer).toMatch(/^x-content-type-options: nosniff\r$/m);
      expect(answer).toMatch(/^cache-control: no-store\r$/m);
      expect(answer).not.toMatch(/^(server|x-powered-by):/im);
    });
  });

  it('lets nobody set what the service itself says of a state (API3)', async () => {
    const state = { reported: { a: 1 } };
    const extra = {
      metadata: { reported: { a: { timestamp: 1 } } },
      timestamp: 1,
      deviceId: 'other',
      revision: 99,
      source: { topic: 'x' },
      delta: { a: 2 },
      code: 200,
    };
    const answer = await rest.update('claims', { ...extra, state });
    expect(answer.body).toMatchObject({ version: 1 });
    const { body } = await rest.get('/state/claims');
    expect(body['state']).toEqual(state);
    expect(body['version']).toBe(1);
    expect(body['timestamp']).toBeGreaterThan(1_700_000_000_000);
    expect(Object.keys(body).sort()).toEqual(['metadata', 'state', 'timestamp', 'version']);
    for (const section of ['delta', 'metadata', 'version']) {
      expect((await rest.update('claims', { state: { [section]: {} } })).status).toBe(400);
    }
  });

  it('tells nothing of its inside in what it refuses (API8)', async () => {
    const answers = await Promise.all([
      rest.get('/state/%00'),
      rest.get('/fleet?filter=(('),
      rest.get('/fleet?cursor=%7B%7D'),
      rest.update('x', '{"state":{"__proto__":1}}'),
      rest.call('POST', '/fleet/as-of', { body: '[', headers: { 'content-type': 'application/json' } }),
      rest.call('QUERY', '/nowhere'),
    ]);
    for (const { status, text } of answers) {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
      expect(text).not.toMatch(/node_modules|\.[jt]s:\d|\n *at |sqlite|errno|fastify/i);
    }
  });

  it('keeps what runs the service from whoever is not its operator (API5)', async () => {
    for (const path of ['/ops/projections', '/metrics', '/docs', '/docs-json', '/fleet/convergence']) {
      const { status } = await fetch(`${guarded.url}${path}`, { headers: { 'x-api-key': keys.device } });
      expect({ path, status }).toEqual({ path, status: 403 });
    }
    const headers = { 'x-api-key': keys.device, 'content-type': 'application/json' };
    for (const name of [
      'x-http-method-override',
      'x-method-override',
      'x-original-url',
      'x-rewrite-url',
      'x-forwarded-user',
    ]) {
      const answer = await fetch(`${guarded.url}/state/lamp`, {
        headers: { ...headers, [name]: name.endsWith('override') ? 'DELETE' : '/ops/projections' },
      });
      expect({ name, status: answer.status }).toEqual({ name, status: 404 });
    }
  });
});
