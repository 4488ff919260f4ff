import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { EventStoreDBClient } from '@eventstore/db-client';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { EventStoreServer } from '../support/eventstore-server/index.js';
import {
  all,
  change,
  closeAll,
  connect,
  errorOf,
  follow,
  newName,
  revisions,
  startServer,
} from './eventstore-server.support.js';

afterEach(closeAll);

async function within(milliseconds: number, promise: Promise<unknown>): Promise<unknown> {
  const timeout = new Promise((resolve) => setTimeout(resolve, milliseconds, 'nothing'));
  return Promise.race([promise, timeout]);
}

describe.each([
  ['batch appends', true],
  ['single appends', false],
])('Faults of %s', (_name, batchAppend) => {
  let server: EventStoreServer;
  let client: EventStoreDBClient;
  let stream: string;

  beforeEach(async () => {
    server = await startServer({ batchAppend });
    client = connect(server);
    stream = newName();
    // The client has asked for the features now.
    await client.appendToStream(stream, change());
  });

  const recorded = () => server.storage.stream(stream).events.length - 1;

  it('drop the response of an append that took place', async () => {
    server.faults.dropResponseAfterAppend(1);
    const event = change();
    const options = { expectedRevision: 0n };
    expect(await errorOf(client.appendToStream(stream, event, options))).toMatchObject({
      type: 'unavailable',
    });
    expect(recorded()).toBe(1);
    expect((await client.appendToStream(stream, event, options)).nextExpectedRevision).toBe(1n);
    expect(recorded()).toBe(1);
  });

  it('leave an append that took place without an answer', async () => {
    server.faults.dropResponseAfterAppend(1, 'hang');
    const append = client.appendToStream(stream, change(), { deadline: 300 }).catch((error: Error) => error);
    const answer = await within(1_000, append);
    // The client has no deadline of its own for batch appends.
    if (batchAppend) expect(answer).toBe('nothing');
    else expect(answer).toMatchObject({ type: 'deadline-exceeded' });
    expect(recorded()).toBe(1);
    await client.appendToStream(stream, change());
    expect(recorded()).toBe(2);
  });

  it('refuse as many appends as told before anything is recorded', async () => {
    server.faults.unavailable(2);
    for (const _time of [1, 2]) {
      expect(await errorOf(client.appendToStream(stream, change()))).toMatchObject({ type: 'unavailable' });
    }
    expect(recorded()).toBe(0);
    await client.appendToStream(stream, change());
    expect(recorded()).toBe(1);
  });

  it('refuse every call until they are cleared, the question for the features as well when told', async () => {
    server.faults.unavailable(Infinity, ['features', 'append', 'read']);
    expect(await errorOf(client.appendToStream(stream, change()))).toMatchObject({ type: 'unavailable' });
    expect(await errorOf(all(client.readStream(stream)))).toMatchObject({ type: 'unavailable' });
    expect(await errorOf(client.appendToStream(stream, change()))).toMatchObject({ code: 14 });
    server.faults.clear();
    await client.appendToStream(stream, change());
  });

  it('name another leader', async () => {
    const leader = await startServer({ batchAppend });
    server.faults.notLeader(1, { host: '127.0.0.1', port: leader.port });
    const error = await errorOf(client.appendToStream(stream, change()));
    expect(error).toMatchObject({ type: 'not-leader', leader: { address: '127.0.0.1', port: leader.port } });
    expect(recorded()).toBe(0);
    await client.appendToStream(stream, change());
    expect(recorded()).toBe(0);
    expect(leader.storage.stream(stream).events).toHaveLength(1);
  });

  it('name itself as the leader', async () => {
    server.faults.notLeader();
    expect(await errorOf(client.deleteStream(stream))).toMatchObject({ type: 'not-leader' });
    await client.deleteStream(stream);
  });

  it('are not ready', async () => {
    server.faults.notReady();
    const error = await errorOf(client.appendToStream(stream, change()));
    expect(error).toMatchObject({ type: batchAppend ? 'unknown' : 'unavailable' });
    expect(error.message).toContain('Server Is Not Ready');
    expect(recorded()).toBe(0);
  });

  it('claim a wrong expected version', async () => {
    server.faults.wrongExpectedVersion();
    const error = await errorOf(client.appendToStream(stream, change(), { expectedRevision: 0n }));
    expect(error).toMatchObject({ type: 'wrong-expected-version', expectedVersion: 0n, actualVersion: 0n });
    expect(recorded()).toBe(0);
  });

  it('delay appends and reads', async () => {
    server.faults.delayMs = 150;
    const started = Date.now();
    await Promise.all([client.appendToStream(stream, change()), client.appendToStream(stream, change())]);
    const appended = Date.now();
    expect(appended - started).toBeGreaterThanOrEqual(140);
    if (batchAppend) expect(server.stats.maxBatchAppendsInFlight).toBe(2);
    await revisions(client.readStream(stream));
    expect(Date.now() - appended).toBeGreaterThanOrEqual(140);
  });

  it('let an append time out that is not recorded, or one that is', async () => {
    server.faults.delayMs = 400;
    const early = errorOf(client.appendToStream(stream, change(), { deadline: 150 }));
    expect(await early).toMatchObject({ type: 'deadline-exceeded' });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(recorded()).toBe(0);
    server.faults.clear();
    server.faults.delayResponseMs = 400;
    const late = errorOf(client.appendToStream(stream, change(), { deadline: 150 }));
    expect(await late).toMatchObject({ type: 'deadline-exceeded' });
    expect(recorded()).toBe(1);
  });

  it('restart on the same port with the same events', async () => {
    const { error, until } = follow(client.subscribeToStream(stream));
    await until((notes) => notes.includes('caughtUp'));
    const { port } = server;
    await server.restart();
    expect(server.port).toBe(port);
    expect((await error).type).toMatch(/unavailable|cancelled/);
    let result: unknown;
    // The client notices with its first calls.
    while (result === undefined) {
      result = await client.appendToStream(stream, change()).catch(() => undefined);
    }
    expect(await revisions(client.readStream(stream))).toEqual(
      server.storage.stream(stream).events.map(({ revision }) => String(revision)),
    );
  });
});

describe('Faults of the server', () => {
  it('end live subscriptions as too slow', async () => {
    const server = await startServer();
    const { error, until } = follow(connect(server).subscribeToAll());
    await until((notes) => notes.includes('caughtUp'));
    expect(server.faults.abortSubscriptionsAsSlow()).toBe(1);
    expect(await error).toMatchObject({ type: 'timeout', code: 10 });
    expect(server.faults.abortSubscriptionsAsSlow()).toBe(0);
  });

  it('end a time-out of 2 s whatever the client asks for', async () => {
    const server = await startServer();
    const client = connect(server);
    server.faults.delayMs = 2_500;
    const started = Date.now();
    const error = await errorOf(client.appendToStream(newName(), change(), { deadline: 60_000 }));
    server.faults.clear();
    expect(error).toMatchObject({ type: 'deadline-exceeded' });
    // The delay of the question for the features, and the limit itself.
    expect(Date.now() - started).toBeGreaterThanOrEqual(4_400);
  });

  it('lead a client that discovers a cluster to its leader', async () => {
    const [follower, leader] = [await startServer(), await startServer()];
    follower.members = [
      { host: '127.0.0.1', port: follower.port, state: 'follower' },
      { host: '127.0.0.1', port: leader.port, state: 'leader' },
    ];
    const client = EventStoreDBClient.connectionString(
      `esdb+discover://127.0.0.1:${follower.port}?tls=false`,
    );
    const stream = newName();
    await client.appendToStream(stream, change());
    await client.dispose();
    expect(leader.storage.find(stream)?.events).toHaveLength(1);
  });

  it('come after its stop, and a process of its own can be killed', async () => {
    const cli = join(import.meta.dirname, '..', 'support', 'eventstore-server', 'cli.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', cli], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const [, connectionString = ''] = /^EVENTSTORE_CONNECTION_STRING=(esdb:\S+)\n$/.exec(String(line)) ?? [];
    const client = EventStoreDBClient.connectionString(connectionString);
    await client.appendToStream(newName(), change());
    child.kill('SIGKILL');
    await once(child, 'exit');
    // The error of the question for the features comes as it is from gRPC, without a type.
    expect(await errorOf(client.appendToStream(newName(), change()))).toMatchObject({ code: 14 });
    await client.dispose();
  });
});
