import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { installConnectionGuard } from '../../../src/adapters/bus/kafka/connection-guard.js';
import { EncoderClass, requestQueuePrototype } from '../../../src/adapters/bus/kafka/kafkajs-internals.js';
import { deferred } from '../../../src/application/timing.js';

interface KafkaConnection {
  readonly socket: Socket;
  isConnected(): boolean;
  connect(): Promise<unknown>;
  disconnect(): Promise<unknown>;
  send(protocol: object): Promise<{ payload: Buffer }>;
  readonly requestQueue: { throttledUntil: number };
}

const load = createRequire(import.meta.url);
const ConnectionClass = load('kafkajs/src/network/connection') as new (options: object) => KafkaConnection;
const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
const PLENTY_MS = 20_000;
/** The key of a fetch, by Kafka's protocol. */
const FETCH = 1;

installConnectionGuard();

/** A request without a content, and an answer that is whatever came. */
const protocol = (throttleMs = 0, apiKey = 3): object => ({
  request: { apiKey, apiVersion: 0, apiName: 'Test', encode: async () => new EncoderClass() },
  response: {
    decode: async (payload: Buffer) => ({ payload, clientSideThrottleTime: throttleMs }),
    parse: async (data: object) => data,
  },
});

function frame(correlationId: number, payload: string, length?: number): Buffer {
  const bytes = Buffer.alloc(8 + payload.length);
  bytes.writeInt32BE(length ?? 4 + payload.length, 0);
  bytes.writeInt32BE(correlationId, 4);
  bytes.write(payload, 8);
  return bytes;
}

const servers: Server[] = [];
const connections: KafkaConnection[] = [];

/** A client of a broker that does with each request what it is told. */
async function clientOf(
  answer: (socket: Socket, correlationId: number, connectionNumber: number) => void,
  requestTimeout = PLENTY_MS,
): Promise<{ client: KafkaConnection; another: () => Promise<KafkaConnection>; accepted: () => number }> {
  let accepted = 0;
  const server = createServer((socket) => {
    const number = accepted++;
    socket.on('error', () => undefined);
    let correlationId = 0;
    // Each request of the test is sent when the one before it is over, or together with it.
    socket.on('data', (data) => {
      for (let at = 0; at < data.length; at += 4 + data.readInt32BE(at)) {
        correlationId = data.readInt32BE(at + 8);
        answer(socket, correlationId, number);
      }
    });
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const another = async (): Promise<KafkaConnection> => {
    const client = new ConnectionClass({
      host: '127.0.0.1',
      port: address.port,
      logger: { namespace: () => silent },
      socketFactory: ({ host, port, onConnect }: { host: string; port: number; onConnect: () => void }) =>
        connect({ host, port }, onConnect),
      requestTimeout,
      connectionTimeout: PLENTY_MS,
    });
    connections.push(client);
    await client.connect();
    return client;
  };
  return { client: await another(), another, accepted: () => accepted };
}

/** Its socket tells what has become of it a little later than the request. */
async function connectAgain(client: KafkaConnection): Promise<void> {
  while (client.isConnected()) await sleep(5);
  await client.connect();
}

afterEach(async () => {
  for (const connection of connections.splice(0)) {
    connection.socket.destroy();
    await connection.disconnect();
  }
  for (const server of servers.splice(0)) server.close();
});

describe('A connection to Kafka', () => {
  it('takes answers in pieces of any size', async () => {
    const { client } = await clientOf((socket, id) => {
      for (const byte of frame(id, `answer ${id}`)) socket.write(Buffer.from([byte]));
    });
    const answers = await Promise.all([client.send(protocol()), client.send(protocol())]);
    expect(answers.map(({ payload }) => payload.toString())).toEqual(['answer 0', 'answer 1']);
  });

  it.each([
    ['of a length below zero', (id: number) => frame(id, 'x', -8)],
    ['of a length without room for its number', (id: number) => frame(id, 'x', 2)],
    ['of a length that cannot be', (id: number) => frame(id, 'x', 0x7fff_ffff)],
    ['to nobody', (id: number) => frame(id + 1000, 'x')],
  ])('is given up after an answer %s, and the next one works', async (_, wrong) => {
    const { client } = await clientOf((socket, id, number) => {
      socket.write(number === 0 ? wrong(id) : frame(id, 'right'));
    });
    await expect(client.send(protocol())).rejects.toThrow(/an answer/);
    await connectAgain(client);
    expect((await client.send(protocol())).payload.toString()).toBe('right');
  });

  it('is given up when an answer does not come in time', async () => {
    const { client, accepted } = await clientOf((socket, id, number) => {
      if (number > 0) socket.write(frame(id, 'right'));
    }, 200);
    await expect(client.send(protocol())).rejects.toThrow(/timed out/);
    await connectAgain(client);
    expect((await client.send(protocol())).payload.toString()).toBe('right');
    expect(accepted()).toBe(2);
  });

  it('takes those with it that have been silent for as long', async () => {
    const { client, another } = await clientOf((socket, id, number) => {
      if (number === 1) socket.write(frame(id, 'right'));
    }, 400);
    const lively = await another();
    const idle = await another();
    await sleep(50);
    const asked = expect(client.send(protocol())).rejects.toThrow(/timed out/);
    await sleep(100);
    await lively.send(protocol());
    await asked;
    expect([client, lively, idle].map(({ socket }) => socket.destroyed)).toEqual([true, false, true]);
  });

  it('begins anew after one that was cut amid an answer', async () => {
    const { client } = await clientOf((socket, id, number) => {
      if (number > 0) socket.write(frame(id, 'right'));
      else socket.write(frame(id, 'a long answer').subarray(0, 11), () => socket.destroy());
    });
    await expect(client.send(protocol())).rejects.toThrow(/closed|ECONNRESET/i);
    await connectAgain(client);
    expect((await client.send(protocol())).payload.toString()).toBe('right');
  });

  it('is opened once, however many ask for it', async () => {
    const { client, accepted } = await clientOf((socket, id) => socket.write(frame(id, 'right')));
    await client.disconnect();
    await Promise.all([client.connect(), client.connect(), client.connect()]);
    await client.send(protocol());
    expect(accepted()).toBe(2);
  });

  it('ends also where what was asked on it is not answered any more', async () => {
    const { client } = await clientOf(() => undefined);
    const asked = expect(client.send(protocol())).rejects.toThrow(/no answer/);
    await sleep(50);
    await client.disconnect();
    await asked;
    expect(client.socket.destroyed).toBe(true);
  });

  it('ends at once where a fetch is under way', async () => {
    const asked = deferred<void>();
    const { client } = await clientOf(() => asked.resolve());
    const fetched = expect(client.send(protocol(0, FETCH))).rejects.toThrow(/ended during a fetch/);
    await asked.promise;
    const { socket } = client;
    const ended = client.disconnect();
    // And not only after the time in which other answers may still come.
    expect(socket.destroyed).toBe(true);
    await ended;
    await fetched;
  });

  it('is not kept quiet for longer than any broker asks', async () => {
    const { client } = await clientOf((socket, id) => socket.write(frame(id, 'right')));
    await client.send(protocol(2 ** 31 - 1));
    expect(client.requestQueue.throttledUntil).toBeLessThanOrEqual(Date.now() + 30_000);
    expect(client.requestQueue.throttledUntil).toBeGreaterThan(Date.now());
  });

  it('is guarded by pieces of kafkajs that are where they were', () => {
    expect(ConnectionClass.prototype).toMatchObject({
      processData: expect.any(Function),
      send: expect.any(Function),
      connect: expect.any(Function),
      disconnect: expect.any(Function),
    });
    expect(requestQueuePrototype.maybeThrottle).toEqual(expect.any(Function));
  });
});
