import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RestClient, until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const JSON_TYPE = { 'content-type': 'application/json' };

describe('GET /fleet', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;
  beforeAll(async () => {
    service = await startService({ DATA_DIR: folder.path });
    rest = new RestClient(service.url);
    await rest.report('lamp-1', { power: 'off' });
    await rest.update('lamp-2', { state: { reported: { a: 1 }, desired: { a: 2, b: { c: 1 } } } });
    await rest.update('lamp-3', { state: { desired: { a: 1 } } });
    await rest.report('gone', { a: 1 });
    await rest.delete('gone');
    await until('all devices are shown', async () => {
      const { body } = await rest.get('/fleet/count');
      return body['inSync'] === 1 && body['notInSync'] === 2;
    });
  });
  afterAll(async () => {
    expect(await service.stop()).toBe(0);
    folder.remove();
  });

  const idsOf = (body: Readonly<Record<string, unknown>>): unknown[] =>
    (body['devices'] as { deviceId: string }[]).map(({ deviceId }) => deviceId);

  it('lists the devices, and says how far it is', async () => {
    const { status, body, headers } = await rest.get('/fleet');
    expect(status).toBe(200);
    expect(body).toEqual({
      devices: [
        expect.objectContaining({
          deviceId: 'lamp-1',
          version: 1,
          inSync: true,
          outstanding: 0,
          lastDesired: null,
        }),
        {
          deviceId: 'lamp-2',
          version: 1,
          lastReported: expect.any(Number),
          lastDesired: expect.any(Number),
          inSync: false,
          since: expect.any(Number),
          outstanding: 2,
          connected: null,
          connectedSince: null,
          disconnectedSince: null,
        },
        expect.objectContaining({ deviceId: 'lamp-3', inSync: false, lastReported: null }),
      ],
      cursor: null,
    });
    expect(Number(headers.get('x-projection-position'))).toBeGreaterThan(0);
    expect(headers.get('x-projection-lag-ms')).toMatch(/^\d+$/);
  });

  it('goes from page to page', async () => {
    const first = await rest.get('/fleet?inSync=false&limit=1');
    expect(idsOf(first.body)).toEqual(['lamp-2']);
    const second = await rest.get(`/fleet?inSync=false&limit=1&cursor=${String(first.body['cursor'])}`);
    expect(idsOf(second.body)).toEqual(['lamp-3']);
    expect(second.body['cursor']).toBeNull();
  });

  it.each(['?inSync=maybe', '?limit=0', '?limit=1001', '?limit=x', '?cursor=!', '?cursor=', '?nothing=1'])(
    'refuses %s',
    async (query) => {
      const { status, body } = await rest.get(`/fleet${query}`);
      expect([status, body['code']]).toEqual([400, 400]);
    },
  );

  it('shows the same while it is rebuilt and after a restart', async () => {
    const before = await rest.get('/fleet');
    const asked = await rest.call('POST', '/ops/projections/rebuild', { body: '{}', headers: JSON_TYPE });
    expect(asked.status).toBe(202);
    expect((await rest.call('POST', '/ops/projections/rebuild')).status).toBe(415);
    await until('it is rebuilt', async () => {
      expect((await rest.get('/fleet')).body).toEqual(before.body);
      return (await rest.get('/ops/projections')).body['rebuild'] === null;
    });
    await service.stop();
    service = await startService({ DATA_DIR: folder.path, PROJECTIONS: 'on' });
    rest = new RestClient(service.url);
    expect((await rest.get('/fleet')).body).toEqual(before.body);
    let text = '';
    await until('the projector has told how far it is', async () => {
      text = (await rest.get('/metrics')).text;
      return /^replica_projection_position [1-9]/m.test(text);
    });
    expect(text).toMatch(/^replica_projection_lag_seconds \d/m);
  });

  it('answers 503 where no read model is kept', async () => {
    const other = temporaryFolder();
    const off = await startService({ DATA_DIR: other.path, PROJECTIONS: 'off' });
    expect((await new RestClient(off.url).get('/fleet')).status).toBe(503);
    await off.stop();
    other.remove();
  });
});
