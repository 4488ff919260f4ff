import { describe, expect, it } from '@jest/globals';
import { CommandLog, Lease } from '../../support/command-log.js';
import { answers, exact, recorded } from '../../support/outputs.js';
import { ReplicaProcess } from '../../support/replica-process.js';

const temp = (value: number) => ({ state: { reported: { temp: value } } });
const BARE = { publishDocuments: false };
const ABANDONED = { name: 'BatchAbandoned' };

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A process that has recorded and cached version 1 of these devices. */
async function prepared(...devices: string[]): Promise<ReplicaProcess> {
  const service = new ReplicaProcess(BARE);
  const log = new CommandLog('update', 'before', undefined, 7);
  for (const device of devices) log.send(device, temp(0));
  await service.deliver(log.batch());
  return service;
}

describe('a batch that is given up', () => {
  it.each(['lost', 'thrown'] as const)(
    'while the store is away (%s) leaves nothing undurable in memory',
    async (how) => {
      const service = await prepared('a', 'b');
      const log = new CommandLog();
      log.send('a', temp(1));
      log.send('b', temp(1));
      const lease = new Lease();
      service.store.appendFaults.push({ kind: 'refused', code: 'unavailable' });
      const batch = log.batch(0, 2, lease);
      if (how === 'lost') batch.keepAlive = async () => undefined;
      lease.isLost = true;

      await expect(service.deliver(batch)).rejects.toMatchObject(ABANDONED);

      expect((await service.reader.get('a'))?.version).toBe(1);
      expect((await service.reader.get('b'))?.version).toBe(1);
      expect(answers(await service.deliver(log.batch()))).toEqual([
        'a update.accepted 2',
        'b update.accepted 2',
      ]);
    },
  );

  it('after an append of unknown outcome shows what the store has, and is recorded once', async () => {
    const service = await prepared('a');
    const log = new CommandLog();
    log.send('a', temp(1));
    const lease = new Lease();
    lease.isLost = true;
    service.store.appendFaults.push({ kind: 'unknown-recorded' });

    await expect(service.deliver(log.batch(0, 1, lease))).rejects.toMatchObject(ABANDONED);

    expect((await service.reader.get('a'))?.version).toBe(2);
    expect(answers(await service.deliver(log.batch()))).toEqual(['a update.accepted 2']);
    expect(recorded(service.storage)).toHaveLength(2);
  });

  it('while its outputs are held up was recorded, and comes again with the same answers', async () => {
    const service = await prepared('a');
    const log = new CommandLog();
    log.send('a', temp(1));
    const lease = new Lease();
    lease.isLost = true;
    service.publishFaults.push('unavailable');

    await expect(service.deliver(log.batch(0, 1, lease))).rejects.toMatchObject(ABANDONED);

    const again = await service.deliver(log.batch());
    expect(answers(again)).toEqual(['a update.accepted 2']);
    expect((await service.restarted(BARE).deliver(log.batch())).map(exact)).toEqual(again.map(exact));
  });

  it('is confirmed before anything is decided', async () => {
    const service = await prepared('a');
    const log = new CommandLog();
    for (const device of ['a', 'b', 'c', 'a']) log.send(device, temp(1));
    const lease = new Lease();
    lease.isConfirmed = false;

    expect(answers(await service.deliver(log.batch(0, 4, lease)))).toHaveLength(4);

    expect(lease.confirmed).toBeGreaterThan(0);
  });

  /** Lost, which only the coordinator knows. */
  const fenced = async (): Promise<never> => {
    throw new Error('the member is not of this generation');
  };

  it('decides nothing on what its successor has made, nor on what it kept, once it is not confirmed', async () => {
    const service = await prepared('a');
    const log = new CommandLog();
    log.send('a', temp(1));
    log.send('new', 'no command');
    const batch = { ...log.batch(), isConfirmed: () => false, confirm: fenced };
    const before = service.published.length;

    await expect(service.deliver(batch)).rejects.toMatchObject(ABANDONED);

    expect(recorded(service.storage)).toHaveLength(1);
    expect(service.published).toHaveLength(before);
    expect((await service.reader.get('a'))?.version).toBe(1);
  });

  it('does not decide again where another writer was faster, once it is not confirmed', async () => {
    const service = await prepared('a');
    const log = new CommandLog();
    log.send('a', temp(1));
    const others = new CommandLog('update', 'other', undefined, 3);
    others.send('a', temp(2));
    let isConfirmed = true;
    service.store.appendFaults.push({
      kind: 'after',
      first: async () => {
        await service.restarted(BARE).deliver(others.batch());
        isConfirmed = false;
      },
    });
    const batch = { ...log.batch(), isConfirmed: () => isConfirmed, confirm: fenced };

    await expect(service.deliver(batch)).rejects.toMatchObject(ABANDONED);

    expect(recorded(service.storage)).toHaveLength(2);
    expect((await service.reader.get('a'))?.version).toBe(2);
  });

  it('as the store is closed says so', async () => {
    const service = await prepared('a');
    await service.store.close();
    const log = new CommandLog();
    log.send('a', temp(1));
    log.send('new', temp(1));

    await expect(service.deliver(log.batch())).rejects.toMatchObject({
      ...ABANDONED,
      cause: { code: 'closed' },
    });
  });

  it('leaves no work behind that goes on without the device’s lock', async () => {
    const service = new ReplicaProcess(BARE);
    const setUp = new CommandLog('update', 'before', undefined, 7);
    setUp.send('slow', temp(0));
    const writer = service.restarted(BARE);
    await writer.deliver(setUp.batch());

    // One device cannot be read and the batch is lost; another device's read is under way, and slow.
    const log = new CommandLog();
    log.send('broken', temp(1));
    log.send('slow', 'no JSON, so nothing is appended');
    const lease = new Lease();
    lease.isLost = true;
    service.store.unreadable.set('deviceState-broken', 'unavailable');
    const read = deferred();
    const reading = deferred();
    service.store.beforeRead = async (stream) => {
      if (stream !== 'deviceState-slow') return;
      reading.resolve();
      // After what was there was read, and before it is worked with.
      await read.promise;
    };
    const first = service.deliver(log.batch(0, 2, lease)).catch((error: unknown) => error);
    await reading.promise;
    service.store.beforeRead = async () => undefined;
    // The next one for the slow device must not begin before the first has let go of it.
    const next = new CommandLog('update', 'next', undefined, 3);
    next.send('slow', temp(5));
    let isDone = false;
    const second = service.deliver(next.batch()).then((messages) => {
      isDone = true;
      return messages;
    });
    await Promise.race([second, new Promise((resolve) => setTimeout(resolve, 200))]);
    expect(isDone).toBe(false);
    read.resolve();

    expect(await first).toMatchObject(ABANDONED);
    expect(answers(await second)).toEqual(['slow update.accepted 2']);
    expect((await service.reader.get('slow'))?.version).toBe(2);
  });
});

describe('a read while commands are recorded', () => {
  it('never shows what is not yet durable', async () => {
    const service = await prepared('a');
    const append = deferred();
    service.store.appendFaults.push({ kind: 'slow', until: append.promise });
    const log = new CommandLog();
    log.send('a', temp(1));
    const recording = service.deliver(log.batch());
    const isAppending = async (): Promise<void> => {
      while (service.store.appends < 2) await new Promise((resolve) => setImmediate(resolve));
    };
    await isAppending();

    const reading = service.reader.get('a').then((result) => {
      // Whatever it shows stands in the store by then.
      expect(result?.version).toBe(service.storage.log.length);
      return result;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    append.resolve();
    await recording;
    await reading;
    expect((await service.reader.get('a'))?.version).toBe(2);
  });

  it('is answered from the store where an append does not end', async () => {
    const service = await prepared('a');
    service.store.appendFaults.push({ kind: 'crash-before' });
    const log = new CommandLog();
    log.send('a', temp(1));
    await service.deliverAndCrash(log.batch());

    expect((await service.reader.get('a'))?.version).toBe(1);
    expect((await service.reader.delta('a'))?.document).toBeNull();
  });

  it('says that the store is away where it is', async () => {
    const service = await prepared('a');
    service.store.appendFaults.push({ kind: 'crash-before' });
    const log = new CommandLog();
    log.send('a', temp(1));
    await service.deliverAndCrash(log.batch());
    service.store.unreadable.set('deviceState-a', 'unavailable');

    await expect(service.reader.get('a')).rejects.toMatchObject({ code: 'unavailable' });
  });
});
