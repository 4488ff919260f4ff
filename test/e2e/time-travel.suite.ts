import { afterAll, beforeAll, expect, it, describe } from '@jest/globals';
import { type Answer, RestClient } from '../support/http.js';
import { type OpenRunStore, type RunStore } from '../support/run-store.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

/**
 * What the service tells about the past over REST, on whichever bus and event store. To be called in a `describe`.
 *
 * @param settings more of the service's, such as its brokers
 */
export function tellsThePast(openStore: OpenRunStore, settings: Readonly<Record<string, string>> = {}): void {
  const { TOPIC_PREFIX: prefix = 'state' } = settings;
  const folder = temporaryFolder();
  let store: RunStore;
  let service: Service;
  let rest: RestClient;
  beforeAll(async () => {
    store = await openStore(folder.path);
    service = await startService({ ...store.environment, ...settings });
    rest = new RestClient(service.url, prefix);
  });
  afterAll(async () => {
    await service.stop();
    await store.close();
    folder.remove();
  });

  const times = async (answers: readonly Promise<Answer>[]): Promise<number[]> =>
    (await Promise.all(answers)).map(({ body }) => body['timestamp'] as number);

  /** Later than the last event by a millisecond at least, so that times tell updates apart. */
  const laterOn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));

  const refusal = (code: number, message: unknown) => ({ code, message, timestamp: expect.any(Number) });

  describe(`GET /${prefix}/{id} with version or at`, () => {
    it('shows the replica as it was', async () => {
      await rest.update('was', { state: { reported: { a: 1 }, desired: { a: 2 } }, clientToken: 't' });
      const shown = await rest.get(`/${prefix}/was`);
      await laterOn();
      await rest.report('was', { a: 2 });

      const byVersion = await rest.get(`/${prefix}/was?version=1`);
      expect(byVersion.status).toBe(200);
      expect(byVersion.headers.get('etag')).toBe('"1"');
      const { timestamp } = byVersion.body;
      expect(byVersion.body).toEqual({ ...shown.body, timestamp });
      expect(byVersion.body['metadata']).toMatchObject({ reported: { a: { timestamp } } });
      const time = timestamp as number;
      for (const at of [String(time), new Date(time).toISOString()]) {
        expect((await rest.get(`/${prefix}/was?at=${at}`)).text).toBe(byVersion.text);
        expect((await rest.get(`/${prefix}/was/get?at=${at}`)).text).toBe(byVersion.text);
      }
      expect((await rest.get(`/${prefix}/was?version=2`)).body['state']).toEqual({
        desired: { a: 2 },
        reported: { a: 2 },
      });
      expect((await rest.get(`/${prefix}/was?at=2999-01-01`)).body['version']).toBe(2);
      const known = await rest.get(`/${prefix}/was?version=1`, { 'if-none-match': '"1"' });
      expect(known.status).toBe(304);
    });

    it('answers 404 before the first update, after a delete, and for a version that is not yet', async () => {
      const [first = 0] = await times([rest.report('gone', { a: 1 })]);
      await laterOn();
      const [deleted = 0] = await times([rest.delete('gone')]);
      await laterOn();
      await rest.report('gone', { a: 3 });

      // A delete keeps the version: the version is what the update made.
      expect((await rest.get(`/${prefix}/gone?version=1`)).body['state']).toEqual({ reported: { a: 1 } });
      expect((await rest.get(`/${prefix}/gone?at=${deleted - 1}`)).status).toBe(200);
      const before = new Date(first - 1).toISOString();
      expect((await rest.get(`/${prefix}/gone?at=${first - 1}`)).body).toEqual(
        refusal(404, `No state existed for device 'gone' at ${before}`),
      );
      expect((await rest.get(`/${prefix}/gone?at=${deleted}`)).status).toBe(404);
      expect((await rest.get(`/${prefix}/gone?version=3`)).body).toEqual(
        refusal(404, "Device 'gone' has no version 3: the latest is 2"),
      );
      expect((await rest.get(`/${prefix}/gone?version=0`)).status).toBe(404);
      expect((await rest.get(`/${prefix}/nobody?version=1`)).body).toEqual(
        refusal(404, "No state exists for device: 'nobody'"),
      );
    });

    it.each([
      ['version=1&at=1', 'Give version or at, not both'],
      ['version=-1', 'Invalid version: a whole number'],
      ['version=x', 'Invalid version: a whole number'],
      ['version=1&version=2', 'Invalid version: a whole number'],
      ['at=yesterday', expect.stringMatching(/^Invalid at: a time in ISO 8601/)],
      ['at=2026-05-01T12:00:00', expect.stringMatching(/^Invalid at: a time in ISO 8601/)],
    ])('refuses ?%s with 400', async (query, message) => {
      const answer = await rest.get(`/${prefix}/was?${query}`);
      expect([answer.status, answer.body]).toEqual([400, refusal(400, message)]);
    });
  });

  describe(`GET /${prefix}/{id}/history`, () => {
    it('pages through what happened, with where it came from', async () => {
      await rest.update(
        'past',
        { state: { reported: { a: 1 }, desired: { a: 2 } }, clientToken: 't' },
        { 'idempotency-key': 'k-1', 'correlation-id': 'c-1' },
      );
      await rest.delete('past');
      const first = await rest.get(`/${prefix}/past/history?limit=2`);
      expect(first.status).toBe(200);
      expect(first.body['events']).toMatchObject([
        { type: 'ReplicaDeleted', version: 1, revision: 2, source: { topic: `${prefix}.delete` } },
        {
          type: 'DesiredStateChanged',
          version: 1,
          revision: 1,
          state: { a: 2 },
          clientToken: 't',
          recordedAt: expect.any(Number),
          source: {
            topic: `${prefix}.update`,
            partition: expect.any(Number),
            messageId: 'k-1',
            correlationId: 'c-1',
          },
        },
      ]);
      // Something recorded meanwhile moves nothing.
      await rest.report('past', { a: 5 });
      const rest2 = await rest.get(`/${prefix}/past/history?limit=2&cursor=${String(first.body['cursor'])}`);
      expect(rest2.body).toMatchObject({ events: [{ type: 'ReportedStateChanged', revision: 0 }] });
      expect(rest2.body).not.toHaveProperty('cursor');
      const some = await rest.get(`/${prefix}/past/history?order=oldest&from=1&to=1`);
      expect(some.body['events']).toHaveLength(3);
      const none = await rest.get(`/${prefix}/past/history?to=2020-01-01`);
      expect(none.body).toEqual({ events: [] });
    });

    it.each([
      ['order=up', 'Invalid order: newest or oldest'],
      ['limit=0', 'Invalid limit: a whole number from 1 to 1000'],
      ['limit=1001', 'Invalid limit: a whole number from 1 to 1000'],
      ['limit=1&limit=2', 'Invalid limit: a whole number from 1 to 1000'],
      ['from=x', expect.stringMatching(/^Invalid from: a version, or a time in ISO 8601/)],
      ['to=-1', expect.stringMatching(/^Invalid to: a version, or a time in ISO 8601/)],
      ['cursor=x', 'Invalid cursor'],
    ])('refuses ?%s with 400', async (query, message) => {
      const answer = await rest.get(`/${prefix}/past/history?${query}`);
      expect([answer.status, answer.body]).toEqual([400, refusal(400, message)]);
    });

    it('answers 404 for a device without events, and 400 for an illegal id', async () => {
      expect((await rest.get(`/${prefix}/nobody/history`)).status).toBe(404);
      expect((await rest.get(`/${prefix}/no%20body/history`)).status).toBe(400);
    });
  });

  describe(`GET /${prefix}/{id}/diff`, () => {
    it('gives a JSON Patch and a merge patch between two versions or times', async () => {
      const [first] = await times([rest.update('diff', { state: { reported: { a: 1, b: { c: [1, 2] } } } })]);
      await laterOn();
      await rest.update('diff', { state: { reported: { a: null, b: { c: [1] } }, desired: { 'x/y': 1 } } });
      for (const from of ['1', String(first)]) {
        const answer = await rest.get(`/${prefix}/diff/diff?from=${from}&to=2`);
        expect(answer.status).toBe(200);
        expect(answer.body).toEqual({
          from: { version: 1, timestamp: first },
          to: { version: 2, timestamp: expect.any(Number) },
          patch: [
            { op: 'remove', path: '/reported/b/c/1' },
            { op: 'remove', path: '/reported/a' },
            { op: 'add', path: '/desired', value: { 'x/y': 1 } },
          ],
          mergePatch: { reported: { a: null, b: { c: [1] } }, desired: { 'x/y': 1 } },
        });
      }
      const back = await rest.get(`/${prefix}/diff/diff?from=2&to=1`);
      expect(back.body['mergePatch']).toEqual({ reported: { a: 1, b: { c: [1, 2] } }, desired: null });
      expect((await rest.get(`/${prefix}/diff/diff?from=2&to=2`)).body).toMatchObject({
        patch: [],
        mergePatch: {},
      });
    });

    it('refuses what is missing, wrong or not there', async () => {
      expect((await rest.get(`/${prefix}/diff/diff?from=1`)).body['message']).toBe('Give both from and to');
      expect((await rest.get(`/${prefix}/diff/diff?from=1&to=x`)).status).toBe(400);
      expect((await rest.get(`/${prefix}/diff/diff?from=1&to=3`)).status).toBe(404);
      expect((await rest.get(`/${prefix}/diff/diff?from=2020-01-01&to=1`)).status).toBe(404);
    });
  });

  describe(`GET /${prefix}/{id}/explain`, () => {
    it('tells which event set a value, and what it replaced', async () => {
      await rest.report('why', { temp: 20, 'a.b': 1 });
      await rest.update(
        'why',
        { state: { reported: { temp: 21 } }, clientToken: 't' },
        { 'idempotency-key': 'w' },
      );
      await rest.update('why', { state: { reported: { temp: null }, desired: { temp: 5 } } });
      const explained = await rest.get(`/${prefix}/why/explain?path=reported.temp&version=2`);
      expect(explained.status).toBe(200);
      expect(explained.body).toMatchObject({
        path: '/reported/temp',
        value: 21,
        previous: 20,
        event: { version: 2, clientToken: 't', source: { topic: `${prefix}.update`, messageId: 'w' } },
      });
      const removed = await rest.get(`/${prefix}/why/explain?path=/reported/temp`);
      expect(removed.body).toMatchObject({ previous: 21, event: { version: 3, state: { temp: null } } });
      expect(removed.body).not.toHaveProperty('value');
      const desired = await rest.get(`/${prefix}/why/explain?path=desired.temp`);
      expect(desired.body).toMatchObject({ value: 5, event: { type: 'DesiredStateChanged' } });
      const escaped = await rest.get(`/${prefix}/why/explain?path=${encodeURIComponent('reported.a\\.b')}`);
      expect(escaped.body).toMatchObject({ path: '/reported/a.b', value: 1 });
    });

    it('refuses what never was with 404, and what is no path with 400', async () => {
      const never = await rest.get(`/${prefix}/why/explain?path=reported.hum`);
      expect(never.body).toEqual(refusal(404, "Device 'why' never had a value at /reported/hum until then"));
      for (const query of ['', '?path=temp', '?path=reported', '?path=reported.temp&version=x']) {
        expect((await rest.get(`/${prefix}/why/explain${query}`)).status).toBe(400);
      }
      expect((await rest.get(`/${prefix}/nobody/explain?path=reported.a`)).status).toBe(404);
    });
  });

  describe(`POST /${prefix}/{id}/revert`, () => {
    const revert = (id: string, body: object, headers: Record<string, string> = {}): Promise<Answer> =>
      rest.call('POST', `/${prefix}/${id}/revert`, {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      });

    it('puts desired back exactly, once for each Idempotency-Key', async () => {
      await rest.update('back', { state: { desired: { a: 1, b: { c: 1 } }, reported: { r: 1 } } });
      await rest.update('back', { state: { desired: { a: null, b: { d: 2 }, e: [1] } } });
      const key = { 'idempotency-key': 'r-1' };
      const first = await revert('back', { to: 1, clientToken: 't' }, key);
      expect(first.status).toBe(200);
      expect(first.headers.get('etag')).toBe('"3"');
      expect(first.body).toMatchObject({
        state: { desired: { a: 1, b: { d: null }, e: null } },
        version: 3,
        clientToken: 't',
      });
      await rest.update('back', { state: { desired: { f: 1 } } });
      expect((await revert('back', { to: 1, clientToken: 't' }, key)).text).toBe(first.text);
      expect((await revert('back', { to: 2 }, key)).status).toBe(409);
      expect((await rest.get(`/${prefix}/back?version=3`)).body['state']).toMatchObject({
        desired: { a: 1, b: { c: 1 } },
        reported: { r: 1 },
      });
    });

    it('restores after a delete, holds to If-Match, and refuses what is not there', async () => {
      await rest.update('restored', { state: { desired: { a: 1 } } });
      await rest.delete('restored');
      expect((await revert('restored', { to: 1 }, { 'if-match': '"7"' })).status).toBe(409);
      expect((await revert('restored', { to: 1 }, { 'if-match': '"1"' })).body['version']).toBe(2);
      expect((await rest.get(`/${prefix}/restored`)).body['state']).toMatchObject({ desired: { a: 1 } });
      const tooNew = await revert('restored', { to: 9, clientToken: 't' });
      expect(tooNew.body).toMatchObject({ code: 404, clientToken: 't' });
      expect((await revert('nobody', { to: 1 })).status).toBe(404);
      expect((await revert('restored', { to: '1' })).status).toBe(400);
    });
  });

  describe('POST /fleet/as-of', () => {
    const asOf = (body: unknown): Promise<Answer> =>
      rest.call('POST', '/fleet/as-of', {
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      });

    it('shows many devices as they were, null where there was none', async () => {
      await rest.update('fleet-1', { state: { reported: { a: 1 }, desired: { a: 2 } } });
      await rest.report('__proto__', { p: 1 });
      await rest.report('fleet-deleted', { a: 1 });
      const [time = 0] = await times([rest.delete('fleet-deleted')]);
      await laterOn();
      await rest.report('fleet-1', { a: 2 });
      await rest.report('fleet-late', { a: 1 });
      const deviceIds = ['fleet-late', 'fleet-1', '__proto__', 'fleet-deleted', 'nobody', 'fleet-1'];
      const answer = await asOf({ deviceIds, at: time });
      expect(answer.status).toBe(200);
      const [one, proto] = await Promise.all(
        ['fleet-1', '__proto__'].map((id) => rest.get(`/${prefix}/${id}?at=${time}`)),
      );
      expect(answer.text).toBe(
        `{"at":${time},"devices":{"fleet-late":null,"fleet-1":${one?.text},"__proto__":${proto?.text},` +
          '"fleet-deleted":null,"nobody":null}}',
      );
      const iso = await asOf({ deviceIds, at: new Date(time).toISOString() });
      expect(iso.text).toBe(answer.text);
    });

    it('takes a hundred devices, and refuses more or anything else with 400', async () => {
      const ids = (count: number) => Array.from({ length: count }, (_, n) => `n-${n}`);
      const full = await asOf({ deviceIds: ids(100), at: 1 });
      expect(Object.keys(full.body['devices'] as object)).toHaveLength(100);
      for (const [body, message] of [
        [{ deviceIds: ids(101), at: 1 }, 'Invalid deviceIds: an array of 1 to 100'],
        ['{', 'Invalid JSON'],
      ] as const) {
        const answer = await asOf(body);
        expect([answer.status, answer.body]).toEqual([400, refusal(400, message)]);
      }
      const { paths } = (await rest.get('/docs-json')).body as { paths?: object };
      expect(Object.keys(paths ?? {})).toContain('/fleet/as-of');
    });
  });
}
