import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RestClient, until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describe('convergence', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;
  const start = async (projections: 'on' | 'off'): Promise<void> => {
    service = await startService({ DATA_DIR: folder.path, PROJECTIONS: projections });
    rest = new RestClient(service.url);
  };
  const desire = (deviceId: string, desired: object | null) =>
    rest.update(deviceId, { state: { desired }, clientToken: 'ui-7' });

  beforeAll(async () => {
    await start('on');
    await desire('lamp-1', { power: 'on' });
    await rest.report('lamp-1', { power: 'on' });
    await desire('lamp-2', { power: 'on', level: 1 });
    await desire('lamp-2', { power: 'off' });
    await rest.report('lamp-2', { level: 1 });
    await desire('lamp-3', { power: 'on' });
    await desire('lamp-3', { power: null });
    await desire('lamp-4', { power: 'on' });
  });
  afterAll(async () => {
    expect(await service.stop()).toBe(0);
    folder.remove();
  });

  const fleet = async (query = '') => {
    const { body, ...rest_ } = await rest.get(`/fleet/convergence${query}`);
    return { ...rest_, body: body as unknown as FleetBody };
  };
  interface FleetBody {
    settled: Record<string, { count: number; p50Ms: number | null; histogram: { count: number }[] }>;
    outOfSync: { devices: number; openChanges: number; oldest: { deviceId: string; forMs: number }[] };
  }
  const countsOf = ({ settled }: FleetBody): number[] =>
    ['reached', 'superseded', 'withdrawn'].map((outcome) => settled[outcome]?.count ?? NaN);
  const isShown = async (): Promise<boolean> => {
    const { status, body } = await fleet();
    return status === 200 && String(countsOf(body)) === '1,1,1' && body.outOfSync.devices === 2;
  };

  it('of the fleet is counted by outcome, with what is out of sync now', async () => {
    await until('all changes are counted', isShown);
    const { status, body, headers } = await fleet();
    expect(status).toBe(200);
    expect(body.outOfSync).toMatchObject({
      devices: 2,
      openChanges: 2,
      oldest: [
        { deviceId: 'lamp-2', outstanding: 1, forMs: expect.any(Number) },
        { deviceId: 'lamp-4', outstanding: 1 },
      ],
    });
    expect(body.settled['reached']?.p50Ms).toEqual(expect.any(Number));
    expect(body.settled['reached']?.histogram.map(({ count }) => count).reduce((a, b) => a + b)).toBe(1);
    expect(Number(headers.get('x-projection-position'))).toBeGreaterThan(0);
    expect(headers.get('x-projection-lag-ms')).toMatch(/^\d+$/);
    expect(countsOf((await fleet('?to=2020-01-01')).body)).toEqual([0, 0, 0]);
    expect(countsOf((await fleet('?from=2020-01-01')).body)).toEqual([1, 1, 1]);
  });

  it.each(['?from=x', '?to=', '?from=2027-01-01&to=2026-01-01', '?prefix=a', '?from=1&from=2'])(
    'of the fleet refuses %s',
    async (query) => {
      const { status, body } = await rest.get(`/fleet/convergence${query}`);
      expect([status, body['code']]).toEqual([400, 400]);
    },
  );

  it('is in the metrics, for alarms', async () => {
    const lines = [
      'replica_convergence_seconds_count{outcome="reached"} 1',
      'replica_convergence_seconds_count{outcome="superseded"} 1',
      'replica_convergence_seconds_count{outcome="withdrawn"} 1',
      'replica_out_of_sync_devices{longer_than="0"} 2',
      'replica_out_of_sync_devices{longer_than="3600"} 0',
    ];
    // They are told by another thread, and the gauges are kept for some seconds.
    await until('all is in the metrics', async () => {
      const { text } = await rest.get('/metrics');
      return lines.every((line) => text.includes(`${line}\n`));
    });
    expect((await rest.get('/metrics')).text).toMatch(/^replica_out_of_sync_oldest_seconds \d/m);
  });

  it('is the same after a rebuild, which counts nothing twice', async () => {
    const asked = await rest.call('POST', '/ops/projections/rebuild', {
      body: '{}',
      headers: { 'content-type': 'application/json' },
    });
    expect(asked.status).toBe(202);
    await until('it is rebuilt', async () => (await rest.get('/ops/projections')).body['rebuild'] === null);
    expect(await isShown()).toBe(true);
    const { text } = await rest.get('/metrics');
    expect(text).toContain('replica_convergence_seconds_count{outcome="reached"} 1\n');
  });

  it('of a device is told change by change, also where no read model is kept', async () => {
    const changes = async (path: string) => (await rest.get(path)).body;
    const before = await changes('/state/lamp-2/convergence?order=oldest');
    expect(before).toEqual({
      changes: [
        {
          version: 1,
          revision: 0,
          askedAt: expect.any(Number),
          desired: { power: 'on', level: 1 },
          outcome: 'superseded',
          settledAt: expect.any(Number),
          durationMs: expect.any(Number),
          clientToken: 'ui-7',
        },
        {
          version: 2,
          revision: 1,
          askedAt: expect.any(Number),
          desired: { power: 'off' },
          outcome: 'open',
          settledAt: null,
          durationMs: null,
          open: { power: 'off' },
          clientToken: 'ui-7',
        },
      ],
      asOf: { version: 3, timestamp: expect.any(Number) },
    });
    await service.stop();
    await start('off');
    expect(await changes('/state/lamp-2/convergence?order=oldest')).toEqual(before);
    const page = await changes('/state/lamp-2/convergence?limit=1');
    expect(page).toMatchObject({ changes: [{ version: 2 }], cursor: expect.any(String) });
    const next = await changes(`/state/lamp-2/convergence?limit=1&cursor=${String(page['cursor'])}`);
    expect(next).toMatchObject({ changes: [{ version: 1 }] });
    expect(next['cursor']).toBeUndefined();
    expect(await changes('/state/none/convergence')).toMatchObject({ code: 404 });
    expect(await changes('/state/lamp-2/convergence?limit=0')).toMatchObject({ code: 400 });
    expect(await changes('/fleet/convergence')).toMatchObject({ code: 503 });
    expect((await rest.get('/metrics')).text).not.toMatch(/^replica_out_of_sync/m);
  });
});
