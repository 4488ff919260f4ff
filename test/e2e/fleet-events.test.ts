import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EventStream, parseEvent, type StreamEvent } from '../support/event-stream.js';
import { RestClient, until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

describe('the stream of the fleet', () => {
  const folder = temporaryFolder();
  const streams: EventStream[] = [];
  let service: Service;
  let rest: RestClient;

  async function start(): Promise<void> {
    service = await startService({
      DATA_DIR: folder.path,
      FOLLOWER_STALL_MS: '1000',
      FOLLOWER_WAITING_BYTES: '65536',
      // Less than what is written while the slow reader sleeps: it must go on from the log.
      FOLLOWER_CACHE_BYTES: '4000000',
    });
    rest = new RestClient(service.url);
  }
  async function follow(query = '', lastEventId?: string): Promise<EventStream> {
    const stream = await EventStream.at(`${service.url}/fleet/events${query}`, lastEventId);
    streams.push(stream);
    expect(stream.response.status).toBe(200);
    return stream;
  }
  /** All that the log has to tell, as a reader gets it who comes now. */
  async function whole(query: string, count: number): Promise<readonly StreamEvent[]> {
    const stream = await follow(`?after=0${query}`);
    const events = [...(await stream.has(count))];
    stream.close();
    return events;
  }
  const metric = async (line: string): Promise<number> => {
    const { text } = await rest.get('/metrics');
    const found = text.split('\n').find((candidate) => candidate.startsWith(`${line} `));
    return found === undefined ? 0 : Number(found.slice(line.length + 1));
  };

  beforeAll(start);
  afterAll(async () => {
    for (const stream of streams) stream.close();
    await service.stop();
    folder.remove();
  });

  it('tells from now on what becomes of every device, with an update of both sections in one', async () => {
    await rest.report('lamp-0', { before: 1 });
    const stream = await follow();
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    await rest.update('lamp-1', { state: { reported: { on: 1 }, desired: { on: 2 } }, clientToken: 'x' });
    await rest.report('lamp-2', { on: 1 });
    await rest.delete('lamp-1');
    const events = await stream.has(5);

    expect(events.map(({ event, data }) => [event, data['deviceId']])).toEqual([
      ['accepted', 'lamp-1'],
      ['delta', 'lamp-1'],
      ['accepted', 'lamp-2'],
      ['delta', 'lamp-2'],
      ['delete-accepted', 'lamp-1'],
    ]);
    expect(events[0]?.data).toMatchObject({
      state: { reported: { on: 1 }, desired: { on: 2 } },
      version: 1,
      clientToken: 'x',
    });
    expect(events[1]?.data).toMatchObject({ state: { on: 2 }, version: 1 });
    expect(await metric('replica_fleet_followers')).toBe(1);
    stream.close();
  });

  it('tells only the devices and kinds that are asked for, also documents', async () => {
    const stream = await follow('?after=0&prefix=lamp-1&kinds=documents,delete-accepted');
    const events = await stream.has(2);
    expect(events.map(({ event }) => event)).toEqual(['documents', 'delete-accepted']);
    expect(events[0]?.data).toMatchObject({ deviceId: 'lamp-1', previous: null, current: { version: 1 } });
    stream.close();
  });

  it('begins where a list of the read model is, whose position it takes', async () => {
    const [last] = (await whole('', 7)).slice(-1);
    const position = last?.id?.split('.')[0] ?? '';
    await rest.report('lamp-3', { n: 1 });
    const stream = await follow(`?after=${position}`);
    expect((await stream.has(2)).map(({ data }) => data['deviceId'])).toEqual(['lamp-3', 'lamp-3']);
    stream.close();
  });

  it.each([
    '?after=x',
    '?kinds=accepted,rejected',
    '?prefix=a%20b',
    '?since=1',
    '?prefix=a&prefix=b',
    '?kinds=',
  ])('refuses %s', async (query) => {
    const answer = await rest.get(`/fleet/events${query}`);
    expect([answer.status, answer.body['code']]).toEqual([400, 400]);
  });

  it('goes on without a gap or a repeat when the service is killed, over and over', async () => {
    const got: StreamEvent[] = [];
    const acknowledged: string[] = [];
    let lastId = (await whole('', 9)).at(-1)?.id;
    let n = 0;
    for (let round = 0; round < 4; round++) {
      const stream = await follow('', lastId);
      let isWriting = true;
      const writers = ['a', 'b', 'c'].map(async (name) => {
        while (isWriting) {
          const reported = { n: n++ };
          const answer = await rest.report(`killed-${name}`, reported).catch(() => null);
          if (answer?.status === 200) acknowledged.push(answer.text);
        }
      });
      await stream.has(60 + 20 * round);
      await service.kill();
      isWriting = false;
      await Promise.all(writers);
      await stream.ended();
      got.push(...stream.events);
      lastId = got.at(-1)?.id ?? lastId;
      await start();
    }
    await rest.report('killed-a', { last: true });
    const stream = await follow('', lastId);
    await until('the last one', () =>
      stream.events.some(({ data }) => JSON.stringify(data).includes('"last"')),
    );
    await stream.has(2);
    got.push(...stream.events);
    stream.close();

    const all = (await whole('&prefix=killed', got.length)).slice(0, got.length);
    expect(got.filter(({ event }) => event !== 'end')).toEqual(all);
    const accepted = new Set(
      got
        .filter(({ event }) => event === 'accepted')
        .map(({ data: { deviceId: _, ...document } }) => JSON.stringify(document)),
    );
    expect(acknowledged.length).toBeGreaterThan(50);
    for (const document of acknowledged) expect(accepted.has(document)).toBe(true);
  });

  it('drops a reader that does not read, keeps nothing for it, and lets it resume', async () => {
    const { hostname, port } = new URL(service.url);
    const socket: Socket = connect(Number(port), hostname);
    socket.pause();
    socket.write('GET /fleet/events?kinds=documents HTTP/1.0\r\n\r\n');
    await until('it is there', async () => (await metric('replica_fleet_followers')) === 1);
    const other = await follow('?kinds=documents');
    const text = 'x'.repeat(15_000);
    const before = memoryOf(service.pid);
    // More than the buffers of a connection hold.
    for (let round = 0; round < 300; round++) {
      await Promise.all(['s', 't'].map((id) => rest.report(`slow-${id}`, { round, text })));
    }
    await other.has(600);
    const slow = 'replica_followers_ended_total{stream="fleet",reason="slow"}';
    await until('it is dropped', async () => (await metric(slow)) === 1);
    expect(memoryOf(service.pid) - before).toBeLessThan(250);

    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk)).resume();
    await new Promise((resolve) => socket.on('close', resolve).on('error', () => undefined));
    const events = Buffer.concat(chunks)
      .toString()
      .split('\n\n')
      // What the connection broke in is not an event.
      .slice(0, -1)
      .map(parseEvent)
      .filter((event) => event !== null);
    const got = events.filter(({ event }) => event !== 'end');
    expect(got.length).toBeLessThan(600);
    const resumed = await follow('?kinds=documents', got.at(-1)?.id);
    await resumed.has(600 - got.length);
    expect([...got, ...resumed.events]).toEqual(other.events);
  });
});

/** The resident set of a process, in MiB. */
function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}
