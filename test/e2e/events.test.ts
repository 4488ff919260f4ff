import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EventStream } from '../support/event-stream.js';
import { raw, RestClient, until } from '../support/http.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

/** The value of a metric, with or without labels; 0 where it is not there yet. */
async function metric(rest: RestClient, name: string): Promise<number> {
  const { text } = await rest.get('/metrics');
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

describe('the stream of a device’s outputs', () => {
  const folder = temporaryFolder();
  const environment = { DATA_DIR: folder.path, MAX_FOLLOWER_COUNT: '5' };
  const streams: EventStream[] = [];
  let service: Service;
  let rest: RestClient;

  async function start(): Promise<void> {
    service = await startService(environment);
    rest = new RestClient(service.url);
  }

  async function follow(deviceId: string, lastEventId?: string): Promise<EventStream> {
    const before = await metric(rest, 'replica_followers');
    const stream = await EventStream.open(service.url, deviceId, lastEventId);
    streams.push(stream);
    expect(stream.response.status).toBe(200);
    expect(await metric(rest, 'replica_followers')).toBe(before + 1);
    return stream;
  }

  async function closeAll(): Promise<void> {
    for (const stream of streams.splice(0)) stream.close();
    await until('all followers gone', async () => (await metric(rest, 'replica_followers')) === 0);
  }

  beforeAll(start);
  afterAll(async () => {
    for (const stream of streams) stream.close();
    await service.stop();
    folder.remove();
  });

  it('tells accepted, delta, documents and rejected, and a delete', async () => {
    const stream = await follow('lamp');
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    await rest.update('lamp', { state: { reported: { on: 1 }, desired: { on: 2 } }, clientToken: 'x' });
    await stream.has(3);
    await rest.update('lamp', { state: { reported: { on: 2 } }, version: 9, clientToken: 'y' });
    await stream.has(4);
    await rest.delete('lamp');
    const events = await stream.has(5);

    expect(stream.names).toEqual(['accepted', 'delta', 'documents', 'rejected', 'delete-accepted']);
    expect(events.map(({ id }) => id)).toEqual(['1.0', '1.1', '1.2', undefined, '2.0']);
    expect(events[0]?.data).toMatchObject({ version: 1, clientToken: 'x' });
    expect(events[1]?.data).toMatchObject({ state: { on: 2 }, changed: { reported: { on: 1 } } });
    expect(events[2]?.data).toMatchObject({ previous: null, current: { version: 1 } });
    expect(events[3]?.data).toMatchObject({ code: 409, clientToken: 'y' });
    await closeAll();
  });

  it('goes on after the last id, also when the service was started anew', async () => {
    await rest.report('resumed', { n: 1 });
    await rest.report('resumed', { n: 2 });
    const first = await follow('resumed', '0.0');
    const before = await first.has(5);
    expect(before.map(({ id }) => id)).toEqual(['0.1', '0.2', '1.0', '1.1', '1.2']);
    await service.stop();
    await first.ended();
    const end = before.at(-1);
    expect([end?.event, end?.id, end?.data]).toEqual([
      'end',
      undefined,
      { reason: 'stopping', message: expect.any(String), canResume: true },
    ]);
    await start();
    await rest.report('resumed', { n: 3 });

    const second = await follow('resumed', before[4]?.id);

    expect((await second.has(3)).map(({ id }) => id)).toEqual(['2.0', '2.1', '2.2']);
    await closeAll();
  });

  it('tells nobody of another device', async () => {
    const stream = await follow('mine');
    await rest.report('other', { n: 1 });
    await rest.update('other', '{');
    await rest.report('mine', { n: 1 });

    await stream.has(3);
    expect(stream.events.map(({ data }) => data['code'])).toEqual([undefined, undefined, undefined]);
    await closeAll();
  });

  it.each(['x', '1', '1.9', '-1.0'])('refuses the Last-Event-ID %s', async (id) => {
    const answer = await rest.get('/state/lamp/events', { 'last-event-id': id });
    expect([answer.status, answer.body['code']]).toEqual([400, 400]);
  });

  it('refuses more readers than it may have, and has room again when one leaves', async () => {
    for (let n = 0; n < 5; n++) await follow('full');
    const answer = await rest.get('/state/full/events');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    await closeAll();
    await follow('full');
    await closeAll();
  });

  it('is neither held up nor filled up by a reader that does not read', async () => {
    const { hostname, port } = new URL(service.url);
    const idle = raw(
      `http://${hostname}:${port}`,
      'GET /state/busy/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
    ).catch(() => '');
    await until('the reader is there', async () => (await metric(rest, 'replica_followers')) === 1);
    const reader = await follow('busy');
    const text = 'x'.repeat(20_000);
    for (let n = 0; n < 100; n++) await rest.report('busy', { n, text });

    expect(await reader.has(300)).toHaveLength(300);
    await service.kill();
    await idle;
    await start();
    expect((await rest.get('/state/busy')).body['version']).toBe(100);
  });
});
