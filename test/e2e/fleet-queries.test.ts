import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { RestClient, until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const PAGE = readFileSync(new URL('../../docs/fleet-queries.md', import.meta.url), 'utf8');
const EXAMPLES = PAGE.slice(PAGE.indexOf('## Examples'));
const DEVICES = JSON.parse(/```json\n(.*?)```/s.exec(EXAMPLES)?.[1] ?? '') as Record<string, object>;
const FILTERS = [...EXAMPLES.matchAll(/^\| `(.*)` \| (.*) \|$/gm)].map(([, filter = '', ids = '']) => ({
  filter,
  ids: ids.split(', '),
}));

describe('fleet queries', () => {
  const folder = temporaryFolder();
  let service: Service;
  let rest: RestClient;
  beforeAll(async () => {
    service = await startService({ DATA_DIR: folder.path, PROJECTIONS: 'on' });
    rest = new RestClient(service.url);
    for (const [deviceId, state] of Object.entries(DEVICES)) await rest.update(deviceId, { state });
    await rest.report('gone-1', { battery: 1 });
    await rest.delete('gone-1');
    await until('all devices are shown', async () => {
      const { body } = await rest.get('/fleet/count');
      return body['devices'] === 4 && (await rest.get('/fleet?prefix=gone')).text.includes('"devices":[]');
    });
  });
  afterAll(async () => {
    expect(await service.stop()).toBe(0);
    folder.remove();
  });

  const ask = (parameters: Record<string, string>, path = '/fleet') =>
    rest.get(`${path}?${new URLSearchParams(parameters).toString()}`);
  const shown = async (parameters: Record<string, string>): Promise<Record<string, unknown>[]> => {
    const { status, body } = await ask(parameters);
    expect({ status, body }).toMatchObject({ status: 200 });
    return body['devices'] as Record<string, unknown>[];
  };
  const ids = async (parameters: Record<string, string>): Promise<unknown[]> =>
    (await shown(parameters)).map(({ deviceId }) => deviceId);

  it('has examples', () => {
    expect(FILTERS.length).toBeGreaterThan(10);
  });

  it.each(FILTERS)('answers $filter as docs/fleet-queries.md says', async ({ filter, ids: expected }) => {
    expect(await ids({ filter })).toEqual(expected);
    const { body, headers } = await ask({ filter }, '/fleet/count');
    expect(body['devices']).toBe(expected.length);
    expect(Number(headers.get('x-projection-position'))).toBeGreaterThan(0);
    expect(headers.get('x-projection-lag-ms')).toMatch(/^\d+$/);
  });

  it('shows chosen fields, and state values where they stand', async () => {
    const fields = 'version,reported.battery,reported.door["last user"],delta';
    expect(await shown({ fields })).toEqual([
      { deviceId: 'lamp-1', version: 1, state: { reported: { battery: 85 }, delta: { power: 'on' } } },
      { deviceId: 'lamp-2', version: 1, state: { reported: { battery: 12 }, delta: { firmware: '2.1' } } },
      {
        deviceId: 'lock-1',
        version: 1,
        state: { reported: { battery: 19.5, door: { 'last user': 'ann' } } },
      },
      { deviceId: 'meter-1', version: 1, state: { reported: { battery: 'low' }, delta: { rate: 60 } } },
    ]);
    expect(await shown({ fields: 'deviceId', prefix: 'lock' })).toEqual([{ deviceId: 'lock-1' }]);
    expect(await shown({ fields: 'reported.door,reported.door.open', prefix: 'lock' })).toEqual([
      { deviceId: 'lock-1', state: { reported: { door: { open: false, 'last user': 'ann' } } } },
    ]);
  });

  it('sorts, nulls last in both directions, and pages through the whole', async () => {
    expect((await ids({ sort: 'lastDesired' })).at(-1)).toBe('lock-1');
    expect((await ids({ sort: '-lastDesired' })).at(-1)).toBe('lock-1');
    expect(await ids({ sort: '-deviceId' })).toEqual(['meter-1', 'lock-1', 'lamp-2', 'lamp-1']);
    for (const sort of ['-lastDesired', 'since', '-outstanding', 'version', '-deviceId']) {
      const all = await ids({ sort });
      const paged: unknown[] = [];
      let cursor: string | null = null;
      do {
        const page = await ask({ sort, limit: '1', ...(cursor === null ? {} : { cursor }) });
        paged.push(...(page.body['devices'] as { deviceId: string }[]).map(({ deviceId }) => deviceId));
        cursor = page.body['cursor'] as string | null;
      } while (cursor !== null);
      expect(paged).toEqual(all);
    }
  });

  it('filters by times and prefix', async () => {
    expect(await ids({ reportedSince: '2020-01-01', prefix: 'lamp-' })).toEqual(['lamp-1', 'lamp-2']);
    expect(await ids({ updatedSince: '2200-01-01T00:00:00Z' })).toEqual([]);
    expect(await ids({ desiredSince: '0' })).toEqual(['lamp-1', 'lamp-2', 'meter-1']);
    expect((await ask({ inSync: 'false', prefix: 'l' }, '/fleet/count')).body).toEqual({
      devices: 2,
      inSync: 0,
      notInSync: 2,
      broken: 0,
    });
  });

  it('refuses a cursor of another query, and takes it with other fields and another limit', async () => {
    const { body } = await ask({ sort: '-version', filter: 'version > 0', limit: '1' });
    const cursor = body['cursor'] as string;
    const same = { sort: '-version', filter: 'version>0', cursor };
    expect(await ids({ ...same, limit: '9', fields: 'version' })).toHaveLength(3);
    const of = async (parameters: Record<string, string>): Promise<unknown> =>
      (await ask(parameters)).body['message'];
    const other = 'Invalid cursor: it belongs to a query with another sort or other filters';
    expect(await of({ ...same, sort: 'version' })).toBe(other);
    expect(await of({ ...same, filter: 'version > 1' })).toBe(other);
    expect(await of({ ...same, prefix: 'lamp' })).toBe(other);
    expect(await of({ ...same, cursor: `${cursor}x` })).toMatch(/^Invalid cursor/);
  });

  it.each([
    ['filter=reported.a', 'Invalid filter at column 11: expected a test'],
    ['filter=', 'Invalid filter at column 1'],
    ['sort=name', 'Invalid sort: one of deviceId, version'],
    ['fields=name', "Invalid fields ('name') at column 1: expected reported, desired or delta; found 'name'"],
    ['fields=', "Invalid fields ('') at column 1"],
    ['prefix=a%25', 'Invalid prefix'],
    ['reportedSince=yesterday', 'Invalid reportedSince: a time in ISO 8601'],
    ['updatedSince=2026-02-30', 'Invalid updatedSince'],
    ['inSync=yes', 'Invalid inSync: must be true or false'],
    ['limit=1001', 'Invalid limit: must be 1 to 1000'],
    ['insync=true', "Unknown parameter: 'insync'; there are prefix, inSync"],
    ['inSync=true&inSync=false', "Parameter given more than once: 'inSync'"],
  ])('refuses ?%s', async (query, message) => {
    const { status, body } = await rest.get(`/fleet?${query}`);
    expect([status, body['code']]).toEqual([400, 400]);
    expect(body['message']).toContain(message);
  });

  it('refuses parameters of lists for counts', async () => {
    expect((await rest.get('/fleet/count?sort=version')).status).toBe(400);
  });
});
