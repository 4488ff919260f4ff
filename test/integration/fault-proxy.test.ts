import { createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { bothWays, FaultProxy } from '../support/fault-proxy.js';
import { until } from '../support/http.js';

const CHUNK = Buffer.alloc(64 * 1024, 'x');
const sockets: Socket[] = [];
const closers: (() => void)[] = [];

/** A server that sends back what it gets, behind a proxy. */
async function echoBehindProxy(seed = 1): Promise<{ proxy: FaultProxy; server: Server; served: Socket[] }> {
  const served: Socket[] = [];
  const server = createServer((socket) => {
    served.push(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const proxy = await FaultProxy.start({ target: address.port, seed });
  closers.push(
    () => proxy.close(),
    () => server.close(),
  );
  return { proxy, server, served };
}

interface Client {
  readonly socket: Socket;
  readonly received: () => Buffer;
  readonly ending: () => string;
}

async function clientOf(port: number): Promise<Client> {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  const chunks: Buffer[] = [];
  let ending = 'open';
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => (ending = error.code ?? 'error'));
  socket.on('end', () => (ending = 'ended'));
  await once(socket, 'connect');
  return { socket, received: () => Buffer.concat(chunks), ending: () => ending };
}

async function echoed(client: Client, text: string): Promise<number> {
  const before = client.received().length;
  const start = performance.now();
  client.socket.write(text);
  await until('the echo', () => client.received().length === before + text.length);
  expect(client.received().subarray(before).toString()).toBe(text);
  return performance.now() - start;
}

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const close of closers.splice(0)) close();
});

describe('The proxy of the network faults', () => {
  it('hands on what is sent, in order, and each end', async () => {
    const { proxy } = await echoBehindProxy();
    const client = await clientOf(proxy.port);
    const sent = Buffer.concat(Array.from({ length: 50 }, (_, n) => Buffer.alloc(40_000, String(n))));
    client.socket.end(sent);
    await until('its end', () => client.ending() === 'ended');
    expect(client.received().equals(sent)).toBe(true);
    await until('it is forgotten', () => proxy.connections.length === 0);
  });

  it('delays, and keeps the order where the delay is drawn', async () => {
    const { proxy } = await echoBehindProxy();
    const client = await clientOf(proxy.port);
    proxy.faults = bothWays({ latencyMs: 100 });
    expect(await echoed(client, 'slow')).toBeGreaterThanOrEqual(199);
    proxy.faults = { toServer: { latencyMs: 10, jitterMs: 40 } };
    for (let n = 0; n < 50; n++) {
      client.socket.write(String(n % 10));
      await sleep(1);
    }
    await until('all', () => client.received().length === 54);
    expect(client.received().toString()).toBe(`slow${'0123456789'.repeat(5)}`);
  });

  it('lets it drip, and holds the sender up meanwhile', async () => {
    const { proxy } = await echoBehindProxy();
    const client = await clientOf(proxy.port);
    proxy.faults = { toServer: { bytesPerSecond: 1000 } };
    expect(await echoed(client, 'y'.repeat(200))).toBeGreaterThanOrEqual(150);
    for (let n = 0; n < 200; n++) client.socket.write(CHUNK);
    await sleep(300);
    expect(client.socket.writableLength).toBeGreaterThan(4 * 1024 * 1024);
    await proxy.heal();
    await until('all', () => client.received().length === 200 + 200 * CHUNK.length);
  });

  it('holds what is sent, and lets it pass afterwards', async () => {
    const { proxy } = await echoBehindProxy();
    const client = await clientOf(proxy.port);
    proxy.faults = bothWays({ passage: 'held' });
    client.socket.write('late');
    await sleep(100);
    expect(client.received()).toHaveLength(0);
    await proxy.heal();
    await until('it comes', () => client.received().toString() === 'late');
  });

  it('swallows, without a word, and a connection that lost something stays dead', async () => {
    const { proxy, served } = await echoBehindProxy();
    const before = await clientOf(proxy.port);
    await echoed(before, 'a');
    proxy.faults = bothWays({ passage: 'lost' });
    before.socket.write('b');
    const during = await clientOf(proxy.port);
    during.socket.write('c');
    await until('both are lost', () => proxy.stats.toServer.lostBytes === 2);
    await proxy.heal();
    before.socket.write('d');
    await echoed(await clientOf(proxy.port), 'e');
    served[0]?.destroy();
    await sleep(50);
    expect([before.ending(), during.ending(), before.received().toString()]).toEqual(['open', 'open', 'a']);
  });

  it('leaves a client alone with a connection whose server is gone', async () => {
    const { proxy, served } = await echoBehindProxy();
    const client = await clientOf(proxy.port);
    await echoed(client, 'a');
    let isReset = false;
    served[0]?.on('error', () => (isReset = true));
    proxy.halfOpen();
    client.socket.write('b');
    await until('the server is told', () => isReset);
    await sleep(50);
    expect(client.ending()).toBe('open');
    await echoed(await clientOf(proxy.port), 'c');
  });

  it('cuts by a reset, one or all', async () => {
    const { proxy } = await echoBehindProxy();
    const [one, other] = [await clientOf(proxy.port), await clientOf(proxy.port)];
    await echoed(one, 'a');
    await echoed(other, 'b');
    proxy.connections.find(({ number }) => number === 0)?.cut();
    await until('it is reset', () => one.ending() === 'ECONNRESET');
    await echoed(other, 'c');
    proxy.cut();
    await until('it is reset', () => other.ending() === 'ECONNRESET');
  });

  it('refuses connections, and takes them again', async () => {
    const { proxy } = await echoBehindProxy();
    const open = await clientOf(proxy.port);
    proxy.refuse();
    await expect(clientOf(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await echoed(open, 'still');
    await proxy.heal();
    await echoed(await clientOf(proxy.port), 'again');
  });

  it('flips bits, the same ones for the same seed', async () => {
    const flips = async (seed: number): Promise<number[]> => {
      const { proxy } = await echoBehindProxy(seed);
      proxy.faults = { toClient: { flipEveryBytes: 5_000 } };
      const client = await clientOf(proxy.port);
      client.socket.write(Buffer.alloc(100_000));
      await until('all', () => client.received().length === 100_000);
      const found: number[] = [];
      client.received().forEach((byte, at) => byte !== 0 && found.push(at, byte));
      expect(proxy.stats.toClient.flippedBits).toBe(found.length / 2);
      return found;
    };
    const [one, same, other] = [await flips(7), await flips(7), await flips(8)];
    expect(one.length).toBeGreaterThan(10);
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });

  it('lets one connection suffer alone', async () => {
    const { proxy } = await echoBehindProxy();
    const [one, other] = [await clientOf(proxy.port), await clientOf(proxy.port)];
    await echoed(one, 'a');
    const first = proxy.connections.find(({ number }) => number === 0);
    if (first === undefined) throw new Error('no connection');
    first.faults = bothWays({ latencyMs: 60 });
    expect(await echoed(one, 'b')).toBeGreaterThanOrEqual(119);
    await echoed(other, 'c');
  });
});
