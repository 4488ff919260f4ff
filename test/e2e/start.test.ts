import { afterAll, describe, expect, it } from '@jest/globals';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { runToExit, startService, temporaryFolder } from '../support/service.js';

/** Of a GET that comes under this name. */
function statusUnder(host: string, url: string, path = '/state/lamp-1'): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(url + path, { headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', reject);
  });
}

describe('a service that cannot start', () => {
  const folder = temporaryFolder();
  afterAll(() => folder.remove());

  /** The one line that it says before it ends with code 1. */
  async function complaint(environment: Record<string, string>): Promise<string> {
    const started = Date.now();
    const { code, stdout, stderr } = await runToExit({ DATA_DIR: join(folder.path, 'data'), ...environment });
    expect({ code, lines: stderr.trimEnd().split('\n').length, stderr }).toMatchObject({ code: 1, lines: 1 });
    for (const line of stdout.split('\n').filter((text) => text !== '')) JSON.parse(line);
    expect(Date.now() - started).toBeLessThan(60_000);
    return stderr.trimEnd();
  }

  it.each([
    [{ PORT: 'abc' }, 'PORT'],
    [{ EVENTSTORE_CONNECTION_STRING: 'localhost:2113' }, 'EVENTSTORE_CONNECTION_STRING'],
    [{ EVENTSTORE_CONNECTION_STRING: 'esdb://localhost:port' }, 'EVENTSTORE_CONNECTION_STRING'],
    [{ EVENTSTORE_CONNECTION_STRING: 'esdb://localhost?tsl=false' }, 'EVENTSTORE_CONNECTION_STRING'],
    [{ DATABASE_URL: 'postgres://localhost' }, 'DATABASE_URL'],
    [{ KAFKA_BROKERS: 'nonsense' }, 'KAFKA_BROKERS'],
    [{ KAFKA_BROKER: 'localhost:9092' }, 'KAFKA_BROKER'],
    [{ KAFKA_BROKERS: 'lokalhost:9092', KAFKA_CONNECT_TIMEOUT_MS: '2000' }, 'KAFKA_BROKERS'],
    [{ KAFKA_BROKERS: '127.0.0.1:1', KAFKA_CONNECT_TIMEOUT_MS: '2000' }, 'KAFKA_BROKERS'],
    [{ HOST: '203.0.113.1' }, 'HOST'],
    [{ HOST: 'no.such.host.invalid' }, 'HOST'],
    [
      { KAFKA_BROKERS: '127.0.0.1:1', KAFKA_TLS: 'on', KAFKA_TLS_CA_FILE: '/nonexistent.pem' },
      'KAFKA_TLS_CA_FILE',
    ],
  ])('with %j names the variable', async (environment, name) => {
    expect(await complaint(environment)).toContain(name);
  });

  it.each([
    [{ HOST: '0.0.0.0' }, 'HOST'],
    [{ KAFKA_BROKERS: '127.0.0.1:1' }, 'KAFKA_BROKERS'],
    [{ EVENTSTORE_CONNECTION_STRING: 'esdb://127.0.0.1:1?tls=false' }, 'EVENTSTORE_CONNECTION_STRING'],
    [{ DATABASE_URL: 'postgresql://127.0.0.1:1/x' }, 'DATABASE_URL'],
  ])('without authentication where others reach it, with %j, names the variables', async (settings, name) => {
    const said = await complaint({ ALLOW_UNAUTHENTICATED: '', ...settings });
    for (const variable of [name, 'API_KEYS_FILE', 'OIDC_ISSUER', 'ALLOW_UNAUTHENTICATED'])
      expect(said).toContain(variable);
  });

  it('does without authentication where that is asked for', async () => {
    const settings = { DATA_DIR: join(folder.path, 'open'), HOST: '0.0.0.0', ALLOW_UNAUTHENTICATED: 'on' };
    const service = await startService(settings);
    try {
      const url = service.url.replace('0.0.0.0', '127.0.0.1');
      expect((await fetch(`${url}/state/lamp-1`)).status).toBe(404);
      expect(await statusUnder('replica.example', url)).toBe(404);
    } finally {
      await service.stop();
    }
  });

  it('on its own machine alone is reached by no name that a page from elsewhere could have', async () => {
    const service = await startService({ DATA_DIR: join(folder.path, 'own'), ALLOW_UNAUTHENTICATED: '' });
    try {
      for (const [host, status] of [
        ['127.0.0.1', 404],
        ['localhost:3000', 404],
        ['rebound.example', 403],
      ] as const)
        expect([host, await statusUnder(host, service.url)]).toEqual([host, status]);
      expect(await statusUnder('rebound.example', service.url, '/health/live')).toBe(403);
    } finally {
      await service.stop();
    }
  });

  it.each([
    ['is not there', null, 'cannot read'],
    ['is empty', '', 'it is empty'],
    ['holds something else', 'dsr_secret', 'line 1: it is not JSON'],
  ])('with an API_KEYS_FILE that %s says so', async (_, text, why) => {
    const API_KEYS_FILE = join(folder.path, 'keys');
    if (text !== null) writeFileSync(API_KEYS_FILE, text);
    const said = await complaint({ API_KEYS_FILE });
    expect(said).toContain(`API_KEYS_FILE: ${why === 'cannot read' ? why : ''}`);
    expect(said).toContain(why);
    expect(said).not.toContain('secret');
  });

  it('does not show the password of a connection string', async () => {
    const said = await complaint({ EVENTSTORE_CONNECTION_STRING: 'esdb://admin:h1dden@localhost?tsl=false' });
    expect(said).not.toContain('h1dden');
  });

  it('does not leave a folder behind for a wrong setting', async () => {
    const DATA_DIR = join(folder.path, 'never');
    await complaint({ DATA_DIR, PORT: 'abc' });
    expect(existsSync(DATA_DIR)).toBe(false);
  });

  it('says that DATA_DIR is a file', async () => {
    const DATA_DIR = join(folder.path, 'file');
    writeFileSync(DATA_DIR, 'hello');
    expect(await complaint({ DATA_DIR })).toContain('DATA_DIR');
  });

  it('says that DATA_DIR holds something else', async () => {
    const DATA_DIR = join(folder.path, 'broken');
    mkdirSync(DATA_DIR);
    writeFileSync(
      join(DATA_DIR, 'events.db'),
      'this is no database, but long enough to be looked at'.repeat(100),
    );
    expect(await complaint({ DATA_DIR })).toMatch(/DATA_DIR|events/);
  });

  it('says that another process has DATA_DIR, and does not disturb it', async () => {
    const DATA_DIR = join(folder.path, 'taken');
    const first = await startService({ DATA_DIR });
    try {
      expect(await complaint({ DATA_DIR })).toContain('DATA_DIR');
      expect((await fetch(`${first.url}/health/ready`)).status).toBe(200);
    } finally {
      await first.stop();
    }
    const next = await startService({ DATA_DIR });
    await next.stop();
  });

  it('says that the port is taken', async () => {
    const server = await new Promise<Server>((resolve) => {
      const listening = createServer().listen(0, '127.0.0.1', () => resolve(listening));
    });
    try {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('a port was expected');
      expect(await complaint({ PORT: String(address.port) })).toContain(`PORT: ${address.port} is in use`);
    } finally {
      server.close();
    }
  });
});
