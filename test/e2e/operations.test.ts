import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RestClient, until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describe('for those who run it, the service', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;
  beforeAll(async () => {
    service = await startService({ DATA_DIR: folder.path });
    rest = new RestClient(service.url);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  it('says that it is alive and ready', async () => {
    expect((await rest.get('/health/live')).body).toEqual({ status: 'ok' });
    const ready = await rest.get('/health/ready');
    expect(ready.status).toBe(200);
    expect(ready.body).toMatchObject({
      status: 'ok',
      details: { bus: { status: 'up' }, eventStore: { status: 'up' } },
    });
  });

  it('counts what it does', async () => {
    await rest.report('counted', { a: 1 });
    await rest.report('counted', { a: 1 }, { 'if-match': '"9"' });
    await rest.update('counted', '{');
    await rest.delete('counted');
    const { text, headers, status } = await rest.get('/metrics');

    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('text/plain');
    expect(text).toContain('replica_commands_total{channel="update",outcome="accepted"} 1');
    expect(text).toContain('replica_commands_total{channel="update",outcome="409"} 1');
    expect(text).toContain('replica_commands_total{channel="update",outcome="400"} 1');
    expect(text).toContain('replica_commands_total{channel="delete",outcome="accepted"} 1');
    for (const name of [
      'replica_batch_commands_count',
      'replica_batch_seconds_bucket',
      'replica_step_seconds_count{step="append"}',
      'replica_step_seconds_count{step="publish"}',
      'replica_cache_devices 1',
      'replica_cache_bytes',
      'replica_cache_hits',
      'replica_cache_misses',
      'replica_followers 0',
      'process_cpu_seconds_total',
      'nodejs_eventloop_lag_seconds',
    ]) {
      expect(text).toContain(name);
    }
  });

  it('describes its API', async () => {
    const page = await rest.get('/docs');
    expect([page.status, page.headers.get('content-type')]).toEqual([
      200,
      expect.stringContaining('text/html'),
    ]);
    const { body, status } = await rest.get('/docs-json');
    expect(status).toBe(200);
    const paths = body['paths'] as Record<string, Record<string, unknown>>;
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(routes.sort()).toEqual([
      'delete /state/{deviceId}',
      'get /fleet',
      'get /fleet/convergence',
      'get /fleet/count',
      'get /fleet/events',
      'get /state/{deviceId}',
      'get /state/{deviceId}/convergence',
      'get /state/{deviceId}/delta',
      'get /state/{deviceId}/diff',
      'get /state/{deviceId}/events',
      'get /state/{deviceId}/explain',
      'get /state/{deviceId}/get',
      'get /state/{deviceId}/history',
      'get /state/{deviceId}/presence',
      'post /fleet/as-of',
      'post /state/{deviceId}/revert',
      'post /state/{deviceId}/update',
    ]);
  });

  it('serves the scripts of that page itself', async () => {
    const { text } = await rest.get('/docs');
    const scripts = [...text.matchAll(/src="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(scripts.length).toBeGreaterThan(0);
    for (const script of scripts) {
      expect(script).not.toMatch(/^https?:/);
      const path = new URL(script, `${service.url}/docs`).pathname;
      expect((await rest.get(path)).status).toBe(200);
    }
  });

  it('logs one line of JSON for each thing it tells, with device and place of what it refuses', async () => {
    await rest.update('logged', '{ no\njson');
    await until('the refusal is logged', () => service.lines.some((line) => line.includes('"logged"')));
    const logged = service.lines.map((line) => JSON.parse(line) as Record<string, unknown>);

    for (const line of logged) {
      expect(line).toMatchObject({
        level: expect.any(String),
        time: expect.any(String),
        msg: expect.any(String),
      });
    }
    expect(logged.find(({ deviceId }) => deviceId === 'logged')).toMatchObject({
      level: 'warn',
      code: 400,
      reason: 'Invalid JSON',
      topic: 'state.update',
      partition: 0,
      offset: expect.any(Number),
    });
    expect(logged.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('takes another prefix, which stands in the paths too', async () => {
    const other = temporaryFolder();
    const shadows = await startService({ DATA_DIR: other.path, TOPIC_PREFIX: 'shadow' });
    try {
      const client = new RestClient(shadows.url);
      const answer = await client.call('POST', '/shadow/a/update', {
        body: '{"state":{"reported":{"x":1}}}',
        headers: { 'content-type': 'application/json' },
      });
      expect(answer.status).toBe(200);
      expect((await client.get('/shadow/a')).status).toBe(200);
      expect((await client.get('/state/a')).status).toBe(404);
    } finally {
      await shadows.stop();
      other.remove();
    }
  });
});
