import { describe, expect, it } from '@jest/globals';
import { CommandLog, FIRST_TIMESTAMP } from '../../support/command-log.js';
import { answers, brief, briefs, documentOf, header, recorded } from '../../support/outputs.js';
import { OWN_TOPIC, ReplicaProcess } from '../../support/replica-process.js';

const on = { state: { desired: { power: 'on' } } };
const temp = (value: number) => ({ state: { reported: { temp: value } } });

describe('a batch of commands', () => {
  it('is recorded in one append for all devices, and answered in the order of its messages', async () => {
    const log = new CommandLog();
    log.send('a', temp(1));
    log.send('b', on);
    log.send('a', temp(2));
    log.send('c', temp(1));
    log.send('b', { state: { reported: { power: 'on' } } });
    const service = new ReplicaProcess({ publishDocuments: false });

    const messages = await service.deliver(log.batch());

    expect(answers(messages)).toEqual([
      'a update.accepted 1',
      'b update.accepted 1',
      'a update.accepted 2',
      'c update.accepted 1',
      'b update.accepted 2',
    ]);
    expect(service.store.appends).toBe(1);
    expect(recorded(service.storage).sort()).toEqual([
      'a/0 ReportedStateChanged v1',
      'a/1 ReportedStateChanged v2',
      'b/0 DesiredStateChanged v1',
      'b/1 ReportedStateChanged v2',
      'c/0 ReportedStateChanged v1',
    ]);
  });

  it('sends accepted, delta and documents of one version, then those of the next', async () => {
    const log = new CommandLog();
    log.send('a', on);
    log.send('a', temp(2));

    expect(briefs(await new ReplicaProcess().deliver(log.batch()))).toEqual([
      'a update.accepted 1',
      'a update.delta 1',
      'a update.documents 1',
      'a update.accepted 2',
      'a update.delta 2',
      'a update.documents 2',
    ]);
  });

  it('sends no documents where they are not wanted', async () => {
    const log = new CommandLog();
    log.send('a', on);

    const messages = await new ReplicaProcess({ publishDocuments: false }).deliver(log.batch());

    expect(briefs(messages)).toEqual(['a update.accepted 1', 'a update.delta 1']);
  });

  it('answers a delete, and ends the documents with a tombstone', async () => {
    const service = new ReplicaProcess();
    const log = new CommandLog();
    log.send('a', on);
    await service.deliver(log.batch());
    const deletes = new CommandLog('delete');
    deletes.send('a', { clientToken: 'bye' });
    deletes.send('a', null);

    const messages = await service.deliver(deletes.batch());

    expect(briefs(messages)).toEqual(['a delete.accepted 1', 'a update.documents', 'a delete.rejected 404']);
    expect(documentOf(messages[0] ?? fail())).toMatchObject({ clientToken: 'bye', version: 1 });
  });

  it('goes on with the version after a delete', async () => {
    const service = new ReplicaProcess({ publishDocuments: false });
    const log = new CommandLog();
    log.send('a', temp(1));
    await service.deliver(log.batch());
    const deletes = new CommandLog('delete');
    deletes.send('a', null);
    await service.deliver(deletes.batch());
    log.send('a', temp(1));

    expect(answers(await service.deliver(log.batch(1)))).toEqual(['a update.accepted 2']);
  });

  it('gives each refusal its own answer, and lets the others through', async () => {
    const log = new CommandLog();
    log.send('a', { ...temp(1), version: 5, clientToken: 'x' });
    log.send('a', 'no JSON');
    log.send('a', { state: {}, extra: 1, version: null });
    log.send('a', temp(1));
    log.send('a', { ...temp(2), version: 1 });
    log.send('a', { state: { reported: { text: 'x'.repeat(40_000) } } });
    log.send('a', Buffer.from([0x7b, 0xff, 0x7d]));
    const service = new ReplicaProcess({ publishDocuments: false });

    const messages = await service.deliver(log.batch());

    expect(answers(messages)).toEqual([
      'a update.rejected 409',
      'a update.rejected 400',
      'a update.rejected 400',
      'a update.accepted 1',
      'a update.accepted 2',
      'a update.rejected 413',
      'a update.rejected 415',
    ]);
    const conflict = documentOf(messages[0] ?? fail());
    expect(conflict).toMatchObject({ code: 409, message: 'Version conflict', clientToken: 'x' });
    expect(service.observer.of('refused')[0]).toEqual([
      {
        deviceId: 'a',
        code: 409,
        reason: 'Version conflict',
        topic: 'state.update',
        partition: 0,
        offset: 0,
      },
    ]);
    expect(service.observer.of('commandsEnded')).toEqual([
      ['update', '409', 1],
      ['update', '400', 2],
      ['update', 'accepted', 2],
      ['update', '413', 1],
      ['update', '415', 1],
    ]);
  });

  it('may be empty', async () => {
    expect(await new ReplicaProcess().deliver(new CommandLog().batch())).toEqual([]);
  });

  it('honours If-Match', async () => {
    const log = new CommandLog();
    log.send('a', temp(1), { 'if-match': '*' });
    log.send('a', temp(1), { 'if-match': '"0"' });
    log.send('a', temp(2), { 'if-match': '*' });
    log.send('a', temp(3), { 'if-match': Buffer.from('"2"') });
    log.send('a', { ...temp(4), version: 3 }, { 'if-match': '"4"' });
    log.send('a', temp(5), { 'if-match': 'W/x' });

    expect(answers(await new ReplicaProcess({ publishDocuments: false }).deliver(log.batch()))).toEqual([
      'a update.rejected 409',
      'a update.accepted 1',
      'a update.accepted 2',
      'a update.accepted 3',
      'a update.rejected 409',
      'a update.rejected 400',
    ]);
  });
});

describe('the headers of an output', () => {
  it('are complete CloudEvents attributes, and echo the correlation', async () => {
    const log = new CommandLog();
    const traceparent = Buffer.from('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
    log.send('a', on, { 'correlation-id': 'c-1', traceparent });
    log.send('a', 'no JSON', { 'correlation-id': ['c-2', 'c-3'] });

    const messages = await new ReplicaProcess().deliver(log.batch());

    const ids = messages.map((message) => header(message, 'ce_id'));
    expect(new Set(ids).size).toBe(messages.length);
    for (const message of messages) {
      expect(header(message, 'ce_specversion')).toBe('1.0');
      expect(header(message, 'ce_source')).toBe('/test');
      expect(header(message, 'ce_type')).toBe(`state.${message.channel}`);
      expect(header(message, 'ce_subject')).toBe('a');
      expect(header(message, 'ce_time')).toBe(new Date(documentOf(message).timestamp).toISOString());
      expect(header(message, 'content-type')).toBe('application/json');
    }
    expect(messages.map((message) => header(message, 'correlation-id'))).toEqual([
      'c-1',
      'c-1',
      'c-1',
      'c-2',
    ]);
    expect(messages[1]?.headers['traceparent']).toBe(traceparent);
    expect(messages[3]?.headers).not.toHaveProperty('traceparent');
  });

  it('show the epoch where a producer set a record time that no date can show', async () => {
    const log = new CommandLog('update', 'log', -9e15);
    log.send('a', 'no JSON');

    const [message] = await new ReplicaProcess().deliver(log.batch());

    expect(header(message ?? fail(), 'ce_time')).toBe('1970-01-01T00:00:00.000Z');
  });
});

describe('a reply', () => {
  const asking = {
    kafka_replyTopic: 'asker.replies',
    kafka_correlationId: 'id-1',
    kafka_replyPartition: '3',
  };

  it('carries the accepted document to the place that was asked for', async () => {
    const log = new CommandLog();
    log.send('a', temp(1), asking);

    const messages = await new ReplicaProcess({ publishDocuments: false }).deliver(log.batch());

    expect(briefs(messages)).toEqual([
      'a update.accepted 1',
      'a update.delta 1',
      'a reply to asker.replies 1',
    ]);
    expect(messages[2]).toMatchObject({ partition: 3 });
    expect(String(messages[2]?.value)).toBe(String(messages[0]?.value));
    expect(header(messages[2] ?? fail(), 'kafka_correlationId')).toBe('id-1');
    expect(messages[2]?.headers).not.toHaveProperty('kafka_nest-err');
  });

  it('carries a refusal also as an error that Nest understands', async () => {
    const log = new CommandLog();
    log.send('a', { ...temp(1), version: 7 }, { ...asking, kafka_replyPartition: 'none' });

    const messages = await new ReplicaProcess().deliver(log.batch());

    expect(briefs(messages)).toEqual(['a update.rejected 409', 'a reply to asker.replies 409']);
    expect(messages[1]).toMatchObject({ partition: null });
    expect(header(messages[1] ?? fail(), 'kafka_nest-err')).toBe(String(messages[1]?.value));
  });

  it('answers a dead letter too', async () => {
    const log = new CommandLog();
    log.send(null, temp(1), asking);

    expect(briefs(await new ReplicaProcess().deliver(log.batch()))).toEqual([
      '- dead-letter',
      '- reply to asker.replies 400',
    ]);
  });

  it.each([
    ['to the service’s own topics', { ...asking, kafka_replyTopic: OWN_TOPIC }],
    ['without a correlation id', { kafka_replyTopic: 'asker.replies' }],
    ['without a topic', { kafka_correlationId: 'id-1' }],
  ])('is not sent %s', async (_, headers) => {
    const log = new CommandLog();
    log.send('a', temp(1), headers);

    const messages = await new ReplicaProcess({ publishDocuments: false }).deliver(log.batch());

    expect(briefs(messages)).toEqual(['a update.accepted 1', 'a update.delta 1']);
  });
});

describe('a dead letter', () => {
  it.each([
    ['no key', null, 'No key'],
    ['an empty key', Buffer.alloc(0), 'No key'],
    ['a slash', Buffer.from('a/b'), 'Illegal deviceId'],
    ['a dot', Buffer.from('.'), 'Illegal deviceId'],
    ['two dots', Buffer.from('..'), 'Illegal deviceId'],
    ['129 characters', Buffer.alloc(129, 'a'), 'Illegal deviceId'],
    ['bytes that are no text', Buffer.from([0xff, 0x00]), 'Illegal deviceId'],
    ['a letter beyond ASCII', Buffer.from('ü'), 'Illegal deviceId'],
  ])('keeps the bytes of a command with %s, and says why and whence', async (_, key, reason) => {
    const log = new CommandLog();
    const value = Buffer.from([0, 1, 2, 0xff]);
    log.send('a', temp(1));
    log.send(key, value, { 'correlation-id': 'c-1' });
    const service = new ReplicaProcess({ publishDocuments: false });

    const messages = await service.deliver(log.batch());

    expect(messages.map((message) => message.channel)).toEqual([
      'update.accepted',
      'update.delta',
      'dead-letter',
    ]);
    expect(messages[2]).toMatchObject({ key, value });
    expect(messages[2]?.headers).toMatchObject({
      'correlation-id': 'c-1',
      'source-topic': 'state.update',
      'source-partition': '0',
      'source-offset': '1',
    });
    expect(header(messages[2] ?? fail(), 'reason')).toContain(reason);
    expect(service.observer.of('commandsEnded')).toContainEqual(['update', 'dead-letter', 1]);
  });

  it('is not sent for any legal id', async () => {
    const log = new CommandLog();
    const ids = ['a', '...', 'urn:dev:mac:0024befffe804ff1', 'A-b_c.d:0', 'x'.repeat(128)];
    for (const id of ids) log.send(id, temp(1));

    const messages = await new ReplicaProcess({ publishDocuments: false }).deliver(log.batch());

    expect(answers(messages)).toEqual(ids.map((id) => `${id} update.accepted 1`));
  });
});

describe('the time of a refusal', () => {
  it('is that of its record, but never before the device’s last event', async () => {
    const log = new CommandLog();
    log.send('a', 'no JSON');
    log.send('a', temp(1));
    log.send('a', 'no JSON');

    const messages = await new ReplicaProcess({ publishDocuments: false }).deliver(log.batch());

    const times = messages.map((message) => [brief(message), documentOf(message).timestamp]);
    expect(times[0]).toEqual(['a update.rejected 400', FIRST_TIMESTAMP]);
    expect(times[3]).toEqual(['a update.rejected 400', times[1]?.[1]]);
  });
});

function fail(): never {
  throw new Error('a message is missing');
}
