import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { quickGets } from '../../../src/adapters/http/quick-gets.js';
import { type ReadyReading } from '../../../src/application/read-replica.js';
import { raw } from '../../support/http.js';

const document = '{"state":{"reported":{"é":"😀"}}}';
const lamp: ReadyReading = { version: 7, bytes: Buffer.from(document).toString('latin1') };

describe('gets that are answered ahead of the routes', () => {
  let server: Server;
  let url: string;
  let read: (deviceId: string) => ReadyReading | null;
  beforeAll(async () => {
    const ahead = quickGets('state', (deviceId) => read(deviceId));
    server = createServer((request, response) => {
      if (!ahead(request, response)) response.writeHead(299).end('route');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    read = (deviceId) => (deviceId === 'lamp' ? lamp : null);
  });
  afterAll(() => {
    server.close();
  });

  const ask = (line: string, headers = '', body = ''): Promise<string> =>
    raw(url, `${line} HTTP/1.1\r\nhost: x\r\n${headers}connection: close\r\n\r\n${body}`);

  it('sends the bytes, with their number, type and version', async () => {
    const answer = await ask('GET /state/lamp');
    const length = Buffer.byteLength(document);
    expect(answer.replace(/^Date: .*$/m, 'Date')).toBe(
      `HTTP/1.1 200 OK\r\nx-content-type-options: nosniff\r\ncache-control: no-cache\r\netag: "7"\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${length}\r\nDate\r\nConnection: close\r\n\r\n${document}`,
    );
  });

  it('sends large documents whole, and those of one connection in their order', async () => {
    const large = `"${'é'.repeat(1_000_000)}"`;
    read = (deviceId) =>
      deviceId === 'lamp' ? lamp : { version: 1, bytes: Buffer.from(large).toString('latin1') };
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;
    const answers = await raw(
      url,
      `${get('/state/large')}${get('/elsewhere')}${get('/state/lamp')}GET /state/large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
    );
    const bodies = answers.split(/HTTP\/1\.1 \d+ [^]*?\r\n\r\n/).slice(1);
    const expected = [large, '5\r\nroute\r\n0\r\n\r\n', document, large];
    expect(bodies.map((body) => body.length)).toEqual(expected.map((body) => body.length));
    expect(bodies.every((body, index) => body === expected[index])).toBe(true);
  });

  it('leaves it to Node to put head and body together where Node keeps the head elsewhere', () => {
    const ends: unknown[][] = [];
    const response = {
      writeHead: () => response,
      end: (...values: unknown[]) => void ends.push(values),
    };
    const request = { method: 'GET', url: '/state/lamp', rawHeaders: [] };
    const ahead = quickGets('state', () => lamp);
    expect(ahead(request as unknown as IncomingMessage, response as unknown as ServerResponse)).toBe(true);
    expect(ends).toEqual([[lamp.bytes, 'latin1']]);
  });

  it.each([
    ['"7"', 304],
    ['W/"7"', 304],
    ['"1", "7"', 304],
    ['*', 304],
    ['"6"', 200],
  ])('answers If-None-Match: %s with %d', async (etag, status) => {
    const answer = await ask('GET /state/lamp', `If-None-Match: ${etag}\r\n`);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer.endsWith(status === 200 ? document : '\r\n\r\n')).toBe(true);
  });

  it('heeds every If-None-Match of several', async () => {
    expect(await ask('GET /state/lamp', 'if-none-match: "1"\r\nif-none-match: "7"\r\n')).toMatch(
      /^HTTP\/1.1 304 /,
    );
  });

  it.each([
    ['another device', 'GET /state/other'],
    ['a query', 'GET /state/lamp?version=1'],
    ['an empty query', 'GET /state/lamp?'],
    ['a path below', 'GET /state/lamp/get'],
    ['a slash at the end', 'GET /state/lamp/'],
    ['another prefix', 'GET /states/lamp'],
    ['a device id in other writing', 'GET /state/l%61mp'],
    ['a whole URL', 'GET http://x/state/lamp'],
    ['HEAD', 'HEAD /state/lamp'],
    ['DELETE', 'DELETE /state/lamp'],
  ])('leaves %s to the routes', async (_, line) => {
    expect(await ask(line)).toMatch(/^HTTP\/1.1 299 /);
  });

  it.each([
    ['a content-length', 'Content-Length: 2\r\n', '{}'],
    ['chunks', 'Transfer-Encoding: chunked\r\n', '0\r\n\r\n'],
  ])('leaves a request with a body, by %s, to the routes', async (_, headers, body) => {
    expect(await ask('GET /state/lamp', headers, body)).toMatch(/^HTTP\/1.1 299 /);
  });

  it('leaves what fails to the routes', async () => {
    read = () => {
      throw new Error('as the test asked');
    };
    expect(await ask('GET /state/lamp')).toMatch(/^HTTP\/1.1 299 /);
  });
});
