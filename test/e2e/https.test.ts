import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request, type RequestOptions } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { type TLSSocket } from 'node:tls';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { CertificateAuthority, describeWithOpenssl, type IssuedFiles } from '../support/certificates.js';
import { until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

/** Longer than a stop takes, in which no handshake may be waited for. */
const ARRIVAL_MS = 15_000;

interface SecureAnswer {
  readonly status: number;
  readonly text: string;
  readonly socket: TLSSocket;
}

describeWithOpenssl('REST by TLS', () => {
  const folder = temporaryFolder();
  const file = (name: string): string => join(folder.path, name);
  const authority = CertificateAuthority.root(file('ca'));
  const certificate = (name: string): IssuedFiles =>
    authority.issue(name, { usage: 'serverAuth', alternative: 'IP:127.0.0.1' });
  const first = certificate('first');
  const key = newApiKey();
  const device = newApiKey();
  const settings = {
    DATA_DIR: file('data'),
    API_KEYS_FILE: file('keys'),
    HTTP_TLS_CERT_FILE: file('server.pem'),
    HTTP_TLS_KEY_FILE: file('server.key'),
    ARRIVAL_TIMEOUT_MS: String(ARRIVAL_MS),
    MQTT: 'off',
  };
  let service: Service;

  beforeAll(async () => {
    writeFileSync(
      file('keys'),
      [
        lineOf({ id: 'ops', role: 'operator', devices: [] }, key),
        lineOf({ id: 'lamp-1', role: 'device', devices: ['lamp-1'] }, device),
      ].join('\n'),
    );
    serve(first);
    service = await startService(settings);
  });
  afterAll(async () => {
    await service.kill();
    folder.remove();
  });

  function serve({ cert, key: own }: IssuedFiles): void {
    writeFileSync(file('server.key'), readFileSync(own));
    writeFileSync(file('server.pem'), readFileSync(cert));
  }

  function call(path: string, options: RequestOptions = {}, body?: string): Promise<SecureAnswer> {
    return new Promise((resolve, reject) => {
      const headers = { 'x-api-key': key, 'content-type': 'application/json', ...options.headers };
      const all = { ca: readFileSync(authority.cert), agent: false, ...options, headers } as const;
      const asked = request(`${service.url}${path}`, all, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, text, socket: response.socket as TLSSocket });
        });
      });
      asked.on('error', reject);
      asked.end(body);
    });
  }

  const report = (state: object): Promise<SecureAnswer> =>
    call('/state/lamp-1/update', { method: 'POST' }, JSON.stringify({ state: { reported: state } }));

  it('is told in the address, and is of TLS 1.2 and 1.3 alone', async () => {
    expect(service.url).toMatch(/^https:\/\//);
    for (const [version, isSpoken] of [
      ['TLSv1.1', false],
      ['TLSv1.2', true],
      ['TLSv1.3', true],
    ] as const) {
      const ciphers = isSpoken ? {} : { ciphers: 'DEFAULT@SECLEVEL=0' };
      const answer = call('/health/live', { minVersion: version, maxVersion: version, ...ciphers });
      const status = await answer.then(
        (one) => one.status,
        () => null,
      );
      expect({ version, status }).toEqual({ version, status: isSpoken ? 200 : null });
    }
  });

  it('answers updates, and gets ahead of the routes, over one connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await report({ on: true })).status).toBe(200);
    const sockets = new Set<TLSSocket>();
    for (let round = 0; round < 3; round++) {
      const { status, text, socket } = await call('/state/lamp-1', { agent });
      expect(status).toBe(200);
      expect(JSON.parse(text)).toMatchObject({ state: { reported: { on: true } } });
      sockets.add(socket);
    }
    expect(sockets.size).toBe(1);
    agent.destroy();
  });

  it('asks who it is before all else', async () => {
    for (const path of ['/state/lamp-1', '/fleet', '/nothing']) {
      expect((await call(path, { headers: { 'x-api-key': 'wrong' } })).status).toBe(401);
    }
    expect((await call('/state/pump-1', { headers: { 'x-api-key': device } })).status).toBe(403);
    expect((await call('/state/lamp-1', { headers: { 'x-api-key': device } })).status).toBe(200);
  });

  /** What comes by a stream until it ends. */
  function follow(): { readonly text: () => string; readonly ended: Promise<void> } {
    let got = '';
    const options = {
      ca: readFileSync(authority.cert),
      agent: false,
      headers: { 'x-api-key': device },
    } as const;
    const ended = new Promise<void>((resolve, reject) => {
      request(`${service.url}/state/lamp-1/events`, options, (response) => {
        response.on('data', (chunk: Buffer) => (got += chunk.toString()));
        response.on('error', (e) =>
          reject(
            new Error(e.message + ' GOT ' + new Date().toISOString() + service.lines.slice(-8).join('\n')),
          ),
        );
        response.on('end', resolve);
      })
        .on('error', reject)
        .end();
    });
    return { text: () => got, ended };
  }

  it('is found healthy by the container', () => {
    const text = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');
    const command = /HEALTHCHECK[^]*?CMD (\[.*\])$/m.exec(text)?.[1] ?? '[]';
    const [program = '', ...args] = JSON.parse(command) as string[];
    const { port } = new URL(service.url);
    const check = (settings: object): number | null =>
      spawnSync(program, args, { env: { PATH: process.env['PATH'], PORT: port, ...settings } }).status;
    expect(check({ HTTP_TLS_CERT_FILE: 'server.pem' })).toBe(0);
    expect(check({})).toBe(1);
  });

  it('tells what happens to a device, and to who follows it that it stops', async () => {
    const { text, ended } = follow();
    await until('it has begun', () => text() !== '');
    await report({ on: false });
    await until('it is told', () => text().includes('"reported":{"on":false}'));
    await service.stop();
    await ended;
    expect(text()).toContain('"reason":"stopping"');
    service = await startService(settings);
  });

  it('ends what is no TLS, and goes on', async () => {
    const { hostname, port } = new URL(service.url);
    const socket = connectTcp(Number(port), hostname, () =>
      socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
    );
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined).resume();
    await closed;
    expect((await call('/health/live')).status).toBe(200);
  });

  it('takes a renewed certificate without a restart, and keeps the one before where the new one is broken', async () => {
    const shown = async (): Promise<string> =>
      (await call('/health/live')).socket.getPeerCertificate().serialNumber;
    const before = await shown();
    writeFileSync(file('server.key'), 'broken');
    await until('it is told', () => service.lines.some((line) => line.includes('HTTP_TLS_KEY_FILE: ')));
    expect(await shown()).toBe(before);
    serve(certificate('second'));
    await until('it is shown', async () => (await shown()) !== before);
    expect((await report({ on: true })).status).toBe(200);
  });

  it('cuts a handshake that is not completed', async () => {
    const { hostname, port } = new URL(service.url);
    const socket = connectTcp(Number(port), hostname);
    socket.on('error', () => undefined).resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect((await call('/metrics')).text).toMatch(/^replica_limited_total\{edge="http",limit="slow"\} 1$/m);
  });

  it('stops at once, with connections that rest and handshakes that are not completed', async () => {
    const { hostname, port } = new URL(service.url);
    const agent = new Agent({ keepAlive: true });
    expect((await call('/state/lamp-1', { agent })).status).toBe(200);
    const socket = connectTcp(Number(port), hostname);
    socket.on('error', () => undefined).resume();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await new Promise((resolve) => socket.once('connect', resolve));
    // The service has seen the connection by the time that it has answered another one.
    expect((await call('/health/live')).status).toBe(200);
    const began = Date.now();
    expect(await service.stop()).toBe(0);
    expect(Date.now() - began).toBeLessThan(ARRIVAL_MS);
    await closed;
    agent.destroy();
  });
});
