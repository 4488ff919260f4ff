import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { raw, rawGet, RestClient, until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describe('the REST API', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;
  beforeAll(async () => {
    service = await startService({ DATA_DIR: folder.path, MAX_REQUEST_BYTES: '100000' });
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  describe('POST /state/{id}/update', () => {
    it('answers with the accepted document and its version as ETag', async () => {
      const answer = await rest.update('lamp', {
        state: { reported: { on: false }, desired: { on: true } },
        clientToken: 't-1',
      });
      const { timestamp } = answer.body;

      expect(answer.status).toBe(200);
      expect(answer.headers.get('etag')).toBe('"1"');
      expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
      expect(answer.headers.get('correlation-id')).toMatch(/./);
      expect(answer.body).toEqual({
        state: { reported: { on: false }, desired: { on: true } },
        metadata: { reported: { on: { timestamp } }, desired: { on: { timestamp } } },
        version: 1,
        timestamp: expect.any(Number),
        clientToken: 't-1',
      });
    });

    it('gives the correlation id back', async () => {
      const answer = await rest.report('lamp-c', { a: 1 }, { 'correlation-id': 'mine' });
      expect(answer.headers.get('correlation-id')).toBe('mine');
    });

    it.each([
      ['no JSON', '{', 'Invalid JSON'],
      ['an empty body', '', 'Invalid JSON'],
      ['no object', '[]', 'Invalid JSON'],
      ['no state', '{}', 'Missing required node: state'],
      ['a state that is none', '{"state":1}', 'State node must be an object'],
      ['a section that is none', '{"state":{"desired":1}}', 'Desired node must be an object'],
      ['another section', '{"state":{"reportd":{}}}', "State contains an invalid node: 'reportd'"],
      ['a version that is none', '{"state":{},"version":"1"}', 'Invalid version'],
      ['a token that is none', '{"state":{},"clientToken":1}', 'Invalid clientToken'],
      [
        'seven levels',
        '{"state":{"reported":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}}',
        'JSON contains too many levels of nesting; maximum is 6',
      ],
    ])('refuses %s with 400', async (_, body, message) => {
      const answer = await rest.update('bad', body);
      expect(answer.status).toBe(400);
      expect(answer.body).toEqual({ code: 400, message, timestamp: expect.any(Number) });
      expect((await rest.get('/state/bad')).status).toBe(404);
    });

    it('refuses another version with 409, in the body or as If-Match', async () => {
      await rest.report('versioned', { n: 1 });
      const state = { reported: { n: 2 } };
      for (const answer of [
        await rest.update('versioned', { state, version: 0 }),
        await rest.update('versioned', { state, version: 2 }),
        await rest.update('versioned', { state }, { 'if-match': '"2"' }),
        await rest.update('unknown', { state }, { 'if-match': '*' }),
        await rest.delete('versioned', { 'if-match': '"7"' }),
      ]) {
        expect([answer.status, answer.body['message']]).toEqual([409, 'Version conflict']);
      }
      expect((await rest.update('versioned', { state }, { 'if-match': 'x' })).status).toBe(400);
      expect((await rest.update('versioned', { state }, { 'if-match': '"1"' })).body['version']).toBe(2);
      expect((await rest.update('versioned', { state, version: 2 })).body['version']).toBe(3);
    });

    it('refuses a state over the limit with 413, and a body over its own before it is read', async () => {
      const state = await rest.report('large', { text: 'x'.repeat(40_000) });
      expect(state.status).toBe(413);
      expect(state.body['message']).toContain('maximum is 32768');
      const body = await rest.report('large', { text: 'x'.repeat(150_000) });
      expect([body.status, body.body['code']]).toEqual([413, 413]);
    });

    it('refuses what is not JSON in UTF-8 with 415', async () => {
      const wrongType = await rest.update('typed', '{"state":{}}', { 'content-type': 'text/plain' });
      expect([wrongType.status, wrongType.body['code']]).toEqual([415, 415]);
      const wrongBytes = await rest.update('typed', Uint8Array.of(0x7b, 0xff, 0x7d));
      expect([wrongBytes.status, wrongBytes.body['code']]).toEqual([415, 415]);
      const untyped = await raw(
        service.url,
        'POST /state/typed/update HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}',
      );
      expect(untyped).toMatch(/^HTTP\/1.1 415 /);
    });

    it('takes JSON under whatever JSON type it is sent', async () => {
      for (const type of [
        'application/json; charset=utf-8',
        'application/merge-patch+json',
        'APPLICATION/JSON',
      ]) {
        expect((await rest.report('types', { a: 1 }, { 'content-type': type })).status).toBe(200);
      }
    });

    it('takes effect once for each Idempotency-Key, and refuses another body under it', async () => {
      const key = { 'idempotency-key': 'k-1' };
      const first = await rest.report('once', { n: 1 }, key);
      const again = await rest.report('once', { n: 1 }, key);
      const other = await rest.report('once', { n: 2 }, key);

      expect(again.text).toBe(first.text);
      expect(again.headers.get('etag')).toBe('"1"');
      expect(other.status).toBe(409);
      expect((await rest.report('once', { n: 2 }, { 'idempotency-key': 'with a space' })).status).toBe(400);
      expect((await rest.get('/state/once')).body['version']).toBe(1);
    });
  });

  describe('GET', () => {
    it('shows state, delta and metadata, as /state/{id} and /state/{id}/get', async () => {
      await rest.update('read', { state: { reported: { a: 1 }, desired: { a: 2, b: 3 } } });
      const answer = await rest.get('/state/read');

      expect(answer.status).toBe(200);
      expect(answer.headers.get('etag')).toBe('"1"');
      expect(answer.body).toMatchObject({
        state: { reported: { a: 1 }, desired: { a: 2, b: 3 }, delta: { a: 2, b: 3 } },
        version: 1,
      });
      expect(Object.keys(answer.body['metadata'] as object)).toEqual(['desired', 'reported', 'delta']);
      const alias = await rest.get('/state/read/get');
      expect(alias.body['state']).toEqual(answer.body['state']);
      expect(alias.headers.get('etag')).toBe('"1"');
    });

    it('answers 304 for a version that is known', async () => {
      await rest.report('cached', { a: 1 });
      for (const known of ['"1"', 'W/"1"', '"0", "1"', '*']) {
        const answer = await rest.get('/state/cached', { 'if-none-match': known });
        expect([answer.status, answer.text, answer.headers.get('etag')]).toEqual([304, '', '"1"']);
      }
      expect((await rest.get('/state/cached', { 'if-none-match': '"2"' })).status).toBe(200);
    });

    it('shows the delta, or 204 where nothing is outstanding', async () => {
      await rest.update('delta', { state: { desired: { a: 1 } } });
      const delta = await rest.get('/state/delta/delta');
      expect(delta.body).toMatchObject({ state: { a: 1 }, version: 1 });
      await rest.report('delta', { a: 1 });
      const none = await rest.get('/state/delta/delta');
      expect([none.status, none.text, none.headers.get('etag')]).toEqual([204, '', '"2"']);
    });

    it.each(['', '/get', '/delta'])('says which device /state/{id}%s does not know', async (path) => {
      const answer = await rest.get(`/state/nobody${path}`);
      expect([answer.status, answer.body['message']]).toEqual([404, "No state exists for device: 'nobody'"]);
    });
  });

  describe('GET /state/{id} of what is known at once', () => {
    const plain = (id: string, query = '', headers = ''): Promise<string> =>
      raw(service.url, `GET /state/${id}${query} HTTP/1.1\r\nhost: x\r\n${headers}connection: close\r\n\r\n`);
    const withoutTime = (answer: string): string =>
      answer.replace(/^Date: .*$/m, '').replace(/"timestamp":\d+\}$/, '');

    it('is the same bytes as what the route itself answers', async () => {
      const documents = fc.sample(
        fc.dictionary(
          fc.stringMatching(/^[a-zé😀"\\]{1,5}$/u),
          fc.oneof(fc.integer(), fc.string({ unit: 'grapheme' })),
        ),
        { numRuns: 40, seed: 4 },
      );
      for (const [index, reported] of documents.entries()) {
        const id = `same-${index}`;
        const accepted = await rest.update(id, { state: { reported, desired: { a: 1, é: '😀' } } });
        expect([200, 400]).toContain(accepted.status);
        if (accepted.status !== 200) continue;
        const [first, again, routed] = [await plain(id), await plain(id), await plain(id, '?')];
        expect(withoutTime(first)).toBe(withoutTime(routed));
        expect(withoutTime(again)).toBe(withoutTime(routed));
        expect(routed).toMatch(/^HTTP\/1.1 200 OK\r\n/);
        for (const known of ['"1"', 'W/"1", "7"', '*', '"2"']) {
          const asked = `If-None-Match: ${known}\r\n`;
          expect(withoutTime(await plain(id, '', asked))).toBe(withoutTime(await plain(id, '?', asked)));
        }
      }
    }, 120_000);

    it('never shows less than what was accepted, whoever else writes and reads', async () => {
      const work = async (id: string): Promise<void> => {
        for (let n = 1; n <= 30; n++) {
          const { body } = await rest.report(id, { n });
          const answers = await Promise.all([rest.get(`/state/${id}`), rest.get(`/state/${id}`)]);
          for (const { status, headers, body: shown } of answers) {
            expect(status).toBe(200);
            expect(shown['version']).toBeGreaterThanOrEqual(body['version'] as number);
            expect(headers.get('etag')).toBe(`"${String(shown['version'])}"`);
          }
        }
      };
      const ids = Array.from({ length: 20 }, (_, index) => `mine-${index}`);
      // Two writers a device: the second one's updates come between the first one's answer and its read.
      await Promise.all([...ids, ...ids].map(work));
      for (const id of ids) expect((await rest.get(`/state/${id}`)).body['version']).toBe(60);
    }, 120_000);

    it('is 404 from the moment that a delete is answered, and shows what comes after it', async () => {
      await rest.report('gone-again', { a: 1 });
      expect((await rest.get('/state/gone-again')).status).toBe(200);
      await rest.delete('gone-again');
      expect((await rest.get('/state/gone-again')).status).toBe(404);
      await rest.report('gone-again', { b: 2 });
      expect((await rest.get('/state/gone-again')).body).toMatchObject({
        version: 2,
        state: { reported: { b: 2 } },
      });
      expect((await rest.get('/state/gone-again?version=1')).body).toMatchObject({
        state: { reported: { a: 1 } },
      });
    });
  });

  describe('DELETE /state/{id}', () => {
    it('deletes once, and the version goes on', async () => {
      await rest.report('gone', { a: 1 });
      const key = { 'idempotency-key': 'd-1' };
      const deleted = await rest.delete('gone', key);
      expect([deleted.status, deleted.body['version'], deleted.headers.get('etag')]).toEqual([200, 1, '"1"']);
      expect((await rest.get('/state/gone')).status).toBe(404);
      expect((await rest.delete('gone')).status).toBe(404);
      expect((await rest.report('gone', { a: 1 })).body['version']).toBe(2);
      expect((await rest.delete('gone', key)).text).toBe(deleted.text);
      expect((await rest.get('/state/gone')).status).toBe(200);
    });
  });

  it('keeps named replicas beside a device’s main one, at the same addresses', async () => {
    const named = '/state/named-1/name/config';
    expect((await rest.report('named-1', { a: 1 })).status).toBe(200);
    const update = await fetch(`${service.url}${named}/update`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ state: { reported: { b: 1 }, desired: { b: 2 } } }),
    });
    expect([update.status, update.headers.get('etag')]).toEqual([200, '"1"']);
    expect((await rest.get(named)).body).toMatchObject({ state: { delta: { b: 2 } } });
    // Twice: kept in memory it is answered ahead of the routes.
    expect((await rest.get(named)).body).toMatchObject({ state: { reported: { b: 1 } }, version: 1 });
    expect((await rest.get(`${named}/delta`)).body).toMatchObject({ state: { b: 2 } });
    expect((await rest.get(`${named}?version=1`)).body).toMatchObject({ version: 1 });
    expect((await rest.get(`${named}/history?limit=1`)).status).toBe(200);
    expect((await rest.get('/state/named-1%2Fname%2Fconfig')).body).toMatchObject({ version: 1 });
    expect((await rest.get('/state/named-1')).body).toMatchObject({ state: { reported: { a: 1 } } });

    await until('the list has both', async () => {
      const { body } = await rest.get('/fleet?prefix=named-1');
      const { devices } = body as { devices: { deviceId: string }[] };
      return devices.map(({ deviceId }) => deviceId).join() === 'named-1,named-1/name/config';
    });
    const paged = (await rest.get('/fleet?prefix=named-1&sort=-deviceId&limit=1')).body as { cursor: string };
    const next = (await rest.get(`/fleet?prefix=named-1&sort=-deviceId&limit=1&cursor=${paged.cursor}`)).body;
    expect(next).toMatchObject({ devices: [{ deviceId: 'named-1' }] });

    const { status } = await fetch(`${service.url}${named}`, { method: 'DELETE' });
    expect(status).toBe(200);
    expect((await rest.get(named)).status).toBe(404);
    expect((await rest.get('/state/named-1')).status).toBe(200);
    for (const wrong of [
      'name',
      'name/',
      'name/a%20b',
      'name/..%2Fx',
      'name/%2E%2E',
      `name/${'x'.repeat(65)}`,
    ]) {
      expect((await rest.get(`/state/named-1/${wrong}`)).status).toBeGreaterThanOrEqual(400);
      expect((await rest.get(`/state/named-1/${wrong}`)).status).toBeLessThan(500);
    }
  });

  describe('a deviceId', () => {
    it.each(['urn:dev:mac:0024befffe804ff1', 'a.b_c-d', '...', 'x'.repeat(128), '%41bc'])(
      'may be %s',
      async (id) => {
        expect((await rest.report(id, { a: 1 })).status).toBe(200);
        expect((await rest.get(`/state/${id}`)).status).toBe(200);
      },
    );

    it.each([
      'a%2Fb',
      '%2E%2E%2Fdocs',
      '..%2f..%2fetc',
      'x'.repeat(129),
      'x'.repeat(500),
      'a%20b',
      '%C3%BC',
      'a%00',
      '*',
      'a;b',
    ])('must not be %s', async (id) => {
      const answers = await Promise.all([
        rawGet(service.url, `/state/${id}`),
        rawGet(service.url, `/state/${id}/delta`),
        rawGet(service.url, `/state/${id}/events`),
        rawGet(service.url, `/state/${id}`, 'DELETE'),
      ]);
      for (const answer of answers) {
        expect(answer).toMatch(/^HTTP\/1.1 400 /);
        expect(answer).toContain('"message":"Illegal deviceId: 1 to 128 of [A-Za-z0-9:._-], not . or .."');
      }
    });

    it.each(['.', '..', '%2E', '%2e%2E'])('is neither %s', async (id) => {
      expect(await rawGet(service.url, `/state/${id}`)).toMatch(/^HTTP\/1.1 400 /);
    });

    it.each(['%', '%zz', '%ff', 'x'.repeat(600)])('that is no path at all ends sanely: %s', async (id) => {
      const answer = await rawGet(service.url, `/state/${id}`);
      expect(answer).toMatch(/^HTTP\/1.1 4\d\d /);
      expect(answer).toMatch(/"code":4\d\d,"message":".+","timestamp":\d+}/);
    });
  });

  describe('what the API does not know', () => {
    it.each([
      ['GET', '/'],
      ['GET', '/state'],
      ['GET', '/state/a/unknown'],
      ['GET', '/other/a'],
    ])('%s %s is a JSON 404', async (method, path) => {
      const answer = await rest.call(method, path);
      expect([answer.status, answer.body['code']]).toEqual([404, 404]);
      expect(answer.headers.get('content-type')).toContain('application/json');
    });

    it.each([
      ['PUT', '/state/a', 'DELETE, GET, HEAD'],
      ['POST', '/state/a', 'DELETE, GET, HEAD'],
      ['POST', '/state/a/name/b?x=1', 'DELETE, GET, HEAD'],
      ['PATCH', '/state/a/update', 'POST'],
      ['OPTIONS', '/state/a', 'DELETE, GET, HEAD'],
      ['GET', '/state/a/update', 'POST'],
      ['DELETE', '/fleet', 'GET, HEAD'],
    ])('%s %s is a JSON 405, which says what there is', async (method, path, allow) => {
      const answer = await rest.call(method, path);
      expect([answer.status, answer.body['code']]).toEqual([405, 405]);
      expect(answer.headers.get('allow')?.split(', ').sort().join(', ')).toBe(allow);
      expect(answer.headers.get('content-type')).toContain('application/json');
    });

    it.each(['TRACE', 'QUERY', 'PROPFIND'])('nor does it know %s, whatever its headers', async (method) => {
      expect(await rawGet(service.url, '/state/a', method)).toMatch(/^HTTP\/1.1 405 [^]*\r\nallow: /);
      expect(await rawGet(service.url, '/nowhere', method)).toMatch(/^HTTP\/1.1 40[04] /);
    });

    it('answers HEAD as GET without a body, also for a stream of events', async () => {
      await rest.report('head', { a: 1 });
      const answer = await rawGet(service.url, '/state/head', 'HEAD');
      expect(answer).toMatch(/^HTTP\/1.1 200 /);
      expect(answer).toContain('etag: "1"');
      expect(answer.endsWith('\r\n\r\n')).toBe(true);
      expect(await rawGet(service.url, '/state/head/events', 'HEAD')).toMatch(/^HTTP\/1.1 \d{3} /);
    });

    it('survives what is not HTTP', async () => {
      expect(await raw(service.url, 'hello\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
      expect((await rest.get('/health/live')).status).toBe(200);
    });
  });
});
