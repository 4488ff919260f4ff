import { afterAll, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { join } from 'node:path';
import { EventStream } from '../support/event-stream.js';
import { type Answer, RestClient, until } from '../support/http.js';
import {
  faultyEventStoreDb,
  type OpenRunStore,
  type RunStore,
  sqliteRunStore,
} from '../support/run-store.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

/** Reports from many devices at once until the service is gone; keeps the last version acknowledged to each. */
function load(
  rest: RestClient,
  devices: number,
): { acknowledged: Map<string, number>; ended: Promise<void> } {
  const acknowledged = new Map<string, number>();
  const run = async (id: string): Promise<void> => {
    for (let n = 1; ; n++) {
      let answer: Answer;
      try {
        answer = await rest.report(id, { n });
      } catch {
        return;
      }
      if (answer.status === 503) return;
      expect([answer.status, answer.body['version']]).toEqual([200, n]);
      acknowledged.set(id, n);
    }
  };
  const ids = Array.from({ length: devices }, (_, n) => `device-${n}`);
  return { acknowledged, ended: Promise.all(ids.map(run)).then(() => undefined) };
}

describe.each<[string, OpenRunStore]>([
  ['SQLite', sqliteRunStore],
  ['EventStoreDB with its faults', faultyEventStoreDb],
])('what was acknowledged, on %s,', (_name, openStore) => {
  const folder = temporaryFolder();
  const opened: RunStore[] = [];
  afterAll(async () => {
    await Promise.all(opened.map((store) => store.close()));
    folder.remove();
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)('survives %s under load', async (signal) => {
    const store = await openStore(join(folder.path, signal));
    opened.push(store);
    // Long enough to tell a stop that waits for nothing from one that is ended by force; and what waits for the store
    // must not be given up by a slow machine.
    const settings = { ...store.environment, SHUTDOWN_TIMEOUT_MS: '80000', REQUEST_TIMEOUT_MS: '90000' };
    const service = await startService(settings);
    store.beginFaults();
    const { acknowledged, ended } = load(new RestClient(service.url), 20);
    await until('some work was done', () => [...acknowledged.values()].reduce((a, b) => a + b, 0) > 300);

    const started = Date.now();
    if (signal === 'SIGTERM') expect(await service.stop()).toBe(0);
    else await service.kill();
    expect(Date.now() - started).toBeLessThan(60_000);
    await ended;
    await store.endFaults();

    const next = await startService(settings);
    const rest = new RestClient(next.url);
    for (const [id, version] of acknowledged) {
      const { body } = await rest.get(`/state/${id}`);
      // One more may have been recorded whose answer did not get out.
      expect([version, version + 1]).toContain(body['version']);
      expect(body['state']).toEqual({ reported: { n: body['version'] } });
    }
    await next.stop();
  });
});

describe('what the service prints', () => {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());

  it('is JSON lines and nothing else, from the start to the stop', async () => {
    const service = await startService({ DATA_DIR: join(folder.path, 'lines'), LOG_LEVEL: 'debug' });
    await new RestClient(service.url).report('a', { n: 1 });
    await service.stop();

    const messages = service.lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
    expect(messages.at(-1)).toBe('Stopped');
    expect(messages).toContain('Device State Replica is ready');
  });
});

describe('a stop', () => {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());

  /** The service has two seconds for its stop; so much more is the machine's own slowness. */
  async function stopsInTime(service: Service): Promise<void> {
    const started = Date.now();
    expect(await service.stop()).toBe(0);
    expect(Date.now() - started).toBeLessThan(25_000);
  }

  it('ends streams that are open, and does not wait for idle connections', async () => {
    const service = await startService({ DATA_DIR: join(folder.path, 'a'), SHUTDOWN_TIMEOUT_MS: '2000' });
    const stream = await EventStream.open(service.url, 'a');
    const { hostname, port } = new URL(service.url);
    const idle = connect(Number(port), hostname);
    idle.on('error', () => undefined);
    await stopsInTime(service);
    await stream.ended();
    idle.destroy();
  });

  it('does not wait for clients that never finish what they send or never read what they asked for', async () => {
    const service = await startService({ DATA_DIR: join(folder.path, 'b'), SHUTDOWN_TIMEOUT_MS: '2000' });
    const rest = new RestClient(service.url);
    const { hostname, port } = new URL(service.url);
    const clients = [
      'POST /state/a/update HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
      'GET /state/a HTTP/1.1\r\nhost: x\r\n',
      'GET /state/busy/events HTTP/1.1\r\nhost: x\r\n\r\n',
    ].map((request) => {
      const socket = connect(Number(port), hostname, () => socket.write(request));
      socket.on('error', () => undefined);
      socket.pause();
      return socket;
    });
    await until('the reader is there', async () =>
      (await rest.get('/metrics')).text.includes('replica_followers 1'),
    );
    const text = 'x'.repeat(30_000);
    for (let n = 0; n < 100; n++) await rest.report('busy', { n, text });

    await stopsInTime(service);
    clients.forEach((socket) => socket.destroy());
  });

  it('is no matter to requests of clients that have gone away', async () => {
    const service = await startService({ DATA_DIR: join(folder.path, 'c') });
    const rest = new RestClient(service.url);
    for (let n = 0; n < 50; n++) {
      const abort = new AbortController();
      const request = fetch(`${service.url}/state/a/update`, {
        method: 'POST',
        body: JSON.stringify({ state: { reported: { n } } }),
        headers: { 'content-type': 'application/json' },
        signal: abort.signal,
      }).catch(() => null);
      if (n % 2 === 0) setImmediate(() => abort.abort());
      else abort.abort();
      await request;
    }
    expect((await rest.report('a', { last: true })).status).toBe(200);
    expect((await rest.get('/health/ready')).status).toBe(200);
    await stopsInTime(service);
  });
});
