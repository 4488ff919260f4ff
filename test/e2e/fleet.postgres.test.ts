import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type EventStoreServer, startEventStoreServer } from '../support/eventstore-server/index.js';
import { RestClient, until } from '../support/http.js';
import { describeWithPostgres, projectorOf, query, withOption } from '../support/postgres.js';
import { runToExit, type Service, startService, temporaryFolder } from '../support/service.js';

const run = promisify(execFile);
const JSON_TYPE = { 'content-type': 'application/json' };

interface Instance {
  readonly name: string;
  readonly service: Service;
  readonly rest: RestClient;
}

describeWithPostgres('Two instances on one event store and one PostgreSQL', (schemas) => {
  const folders = [temporaryFolder(), temporaryFolder()];
  let store: EventStoreServer;
  let url: string;
  let environment: Record<string, string>;
  let all: Instance[] = [];

  const start = async (name: string, index: number): Promise<Instance> => {
    const service = await startService({
      ...environment,
      DATA_DIR: folders[index]?.path ?? '',
      DATABASE_URL: withOption(url, 'application_name', name),
    });
    return { name, service, rest: new RestClient(service.url) };
  };
  const leader = async (): Promise<Instance> => {
    let found: Instance | undefined;
    await until('one of them projects', async () => {
      const name = (await projectorOf(url))?.name;
      found = all.find((instance) => instance.name === name);
      return found !== undefined;
    });
    return found as Instance;
  };
  const others = (one: Instance): Instance[] => all.filter((instance) => instance !== one);
  const idsOf = async ({ rest }: Instance): Promise<string> => {
    const { body } = await rest.get('/fleet');
    return (body['devices'] as { deviceId: string }[]).map(({ deviceId }) => deviceId).join();
  };
  const shows = (instance: Instance, ids: string): Promise<void> =>
    until(`${instance.name} shows ${ids}`, async () => (await idsOf(instance)) === ids);

  beforeAll(async () => {
    store = await startEventStoreServer();
    url = await schemas.fresh();
    environment = { EVENTSTORE_CONNECTION_STRING: store.connectionString, PROJECTIONS: 'on' };
    all = await Promise.all([start('one', 0), start('two', 1)]);
  });
  afterAll(async () => {
    for (const { service } of all) await service.stop();
    for (const folder of folders) folder.remove();
    await store.stop();
  });

  it('both answer with what either has accepted, and with a lag', async () => {
    const [one, two] = all as [Instance, Instance];
    expect((await one.rest.report('a', { n: 1 })).status).toBe(200);
    expect((await two.rest.report('b', { n: 2 })).status).toBe(200);
    for (const instance of all) {
      await shows(instance, 'a,b');
      const { headers } = await instance.rest.get('/fleet');
      expect(Number(headers.get('x-projection-position'))).toBeGreaterThan(0);
      expect(headers.get('x-projection-lag-ms')).toMatch(/^\d+$/);
    }
  });

  it('the one that does not project says a lag that shrinks when the other is up to date, and is never 0', async () => {
    const [follower] = others(await leader()) as [Instance];
    const lagOf = async (): Promise<number> =>
      Number((await follower.rest.get('/ops/projections')).body['lagMs']);
    await until('it has heard of it', async () => (await lagOf()) < 5_000);
    for (let count = 0; count < 10; count++) expect(await lagOf()).toBeGreaterThan(0);
  });

  it('a rebuild that the other one is asked for is done by the one that projects', async () => {
    const [follower] = others(await leader()) as [Instance];
    const generation = async (): Promise<number> =>
      ((await query(url, 'SELECT id FROM replica_generations WHERE status = 1')).rows as { id: number }[])[0]
        ?.id ?? 0;
    const before = await generation();
    const asked = await follower.rest.call('POST', '/ops/projections/rebuild', {
      body: '{}',
      headers: JSON_TYPE,
    });
    expect(asked.status).toBe(202);
    expect(asked.body['rebuild']).not.toBeNull();
    await until('it is rebuilt', async () => (await generation()) !== before);
    await until('both say so', async () =>
      (await Promise.all(all.map(({ rest }) => rest.get('/ops/projections')))).every(
        ({ body }) => body['rebuild'] === null,
      ),
    );
    for (const instance of all) await shows(instance, 'a,b');
  });

  it('the command rebuilds beside them', async () => {
    const env = { ...process.env, ...environment, DATABASE_URL: url, NODE_OPTIONS: '' };
    const { stdout } = await run(process.execPath, ['dist/cli.js', 'projections', 'rebuild'], { env });
    expect(stdout).toMatch(/^Rebuilt and swapped: 2 events/m);
    for (const instance of all) await shows(instance, 'a,b');
    await (await leader()).rest.report('c', { n: 3 });
    for (const instance of all) await shows(instance, 'a,b,c');
  });

  it('the other one goes on within seconds when the one that projects is killed', async () => {
    const dead = await leader();
    const [survivor] = others(dead) as [Instance];
    await dead.service.kill();
    const since = performance.now();
    await survivor.rest.report('d', { n: 4 });
    await shows(survivor, 'a,b,c,d');
    console.log(`Another instance had taken over after ${Math.round(performance.now() - since)} ms`);
    expect((await projectorOf(url))?.name).toBe(survivor.name);
    all = [await start(dead.name, all.indexOf(dead)), survivor];
    for (const instance of all) await shows(instance, 'a,b,c,d');
  });

  it('the other one, or the same, goes on when the session with the lock is ended', async () => {
    const { pid } = (await projectorOf(url)) ?? { pid: 0 };
    await query(url, 'SELECT pg_terminate_backend($1)', [pid]);
    await until('there is another session', async () => {
      const now = await projectorOf(url);
      return now !== null && now.pid !== pid;
    });
    await (await leader()).rest.report('e', { n: 5 });
    for (const instance of all) await shows(instance, 'a,b,c,d,e');
  });

  it('needs no file for the read side', async () => {
    const { readdirSync } = await import('node:fs');
    for (const { path } of folders) {
      expect(readdirSync(path).filter((name) => name.startsWith('read-model'))).toEqual([]);
    }
  });

  it('does not start, and says why in one line, where the database is not there', async () => {
    const wrong = new URL(url);
    wrong.pathname = '/nowhere';
    const folder = temporaryFolder();
    const { code, stderr } = await runToExit({
      DATA_DIR: folder.path,
      PROJECTIONS: 'on',
      DATABASE_URL: wrong.href,
    });
    folder.remove();
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^device-state-replica: DATABASE_URL: \S+\/nowhere: there is no such database \(.*\)\n$/,
    );
    if (wrong.password !== '') expect(stderr).not.toContain(decodeURIComponent(wrong.password));
  });
});
