import { describe, expect, it } from '@jest/globals';
import { CommandLog, Lease } from '../../support/command-log.js';
import { briefs, documentOf, header } from '../../support/outputs.js';
import { ReplicaProcess } from '../../support/replica-process.js';

async function prepared(): Promise<ReplicaProcess> {
  const service = new ReplicaProcess();
  const log = new CommandLog();
  log.send('a', { state: { reported: { temp: 1 }, desired: { temp: 2, on: true } } });
  await service.deliver(log.batch());
  return service;
}

describe('a get', () => {
  it('is answered with state, delta and metadata, or with why not, in the order of the batch', async () => {
    const service = await prepared();
    const gets = new CommandLog('get');
    const asker = { kafka_replyTopic: 'asker', kafka_correlationId: 'c', 'correlation-id': 'x' };
    gets.send('a', null);
    gets.send('missing', { clientToken: 'who' });
    gets.send('a', { clientToken: 'me' }, asker);
    gets.send('a', 'no JSON');
    gets.send(null, null);
    gets.send('a', { clientToken: 5 });

    const messages = await service.deliver(gets.batch());

    expect(briefs(messages)).toEqual([
      'a get.accepted 1',
      'missing get.rejected 404',
      'a get.accepted 1',
      'a reply to asker 1',
      'a get.rejected 400',
      '- dead-letter',
      'a get.rejected 400',
    ]);
    const [first, missing, third] = messages;
    if (!first || !missing || !third) throw new Error('three answers');
    expect(documentOf(first).state).toEqual({
      reported: { temp: 1 },
      desired: { temp: 2, on: true },
      delta: { temp: 2, on: true },
    });
    expect(documentOf(missing)).toMatchObject({
      clientToken: 'who',
      message: "No state exists for device: 'missing'",
    });
    expect(documentOf(third).clientToken).toBe('me');
    expect(header(third, 'correlation-id')).toBe('x');
    expect(service.observer.of('commandsEnded').slice(1)).toEqual([
      ['get', 'accepted', 1],
      ['get', '404', 1],
      ['get', 'accepted', 1],
      ['get', '400', 1],
      ['get', 'dead-letter', 1],
      ['get', '400', 1],
    ]);
  });

  it('waits for a store that is away', async () => {
    const service = (await prepared()).restarted();
    service.store.readFaults.push('unavailable', 'unavailable');
    const gets = new CommandLog('get');
    gets.send('a', null);

    expect(briefs(await service.deliver(gets.batch()))).toEqual(['a get.accepted 1']);
  });

  it('of a device that cannot be read is refused, and no other', async () => {
    const service = (await prepared()).restarted();
    service.store.unreadable.set('deviceState-broken', 'corrupt');
    const gets = new CommandLog('get');
    gets.send('broken', null);
    gets.send('a', null);

    expect(briefs(await service.deliver(gets.batch()))).toEqual([
      'broken get.rejected 500',
      'a get.accepted 1',
    ]);
  });

  it('is tried again where its answer cannot be sent, and given up with its batch', async () => {
    const service = await prepared();
    const gets = new CommandLog('get');
    gets.send('a', null);
    service.publishFaults.push('unavailable');
    expect(briefs(await service.deliver(gets.batch()))).toEqual(['a get.accepted 1']);
    expect(service.observer.of('commandsEnded').slice(1)).toEqual([['get', 'accepted', 1]]);

    const lease = new Lease();
    lease.isLost = true;
    service.publishFaults.push('unavailable');
    await expect(service.deliver(gets.batch(0, 1, lease))).rejects.toMatchObject({ name: 'BatchAbandoned' });
  });

  it('shows a deleted device as missing', async () => {
    const service = await prepared();
    const deletes = new CommandLog('delete');
    await service.deliver([deletes.send('a', null)]);
    const gets = new CommandLog('get');

    expect(briefs(await service.deliver([gets.send('a', null)]))).toEqual(['a get.rejected 404']);
  });
});
