import { describe, expect, it } from '@jest/globals';
import { CommandLog, Lease } from '../../support/command-log.js';
import { answers, briefs, documentOf, exact, recorded } from '../../support/outputs.js';
import { ReplicaProcess } from '../../support/replica-process.js';

const temp = (value: number, extra: object = {}) => ({ state: { reported: { temp: value } }, ...extra });
const BARE = { publishDocuments: false };

function logOf(...devices: string[]): CommandLog {
  const log = new CommandLog();
  devices.forEach((device, index) => log.send(device, temp(index)));
  return log;
}

describe('a store that is away', () => {
  it('is tried again until it is back, and then all is recorded once', async () => {
    const service = new ReplicaProcess(BARE);
    service.store.appendFaults.push(
      { kind: 'refused', code: 'unavailable' },
      { kind: 'refused', code: 'unavailable' },
    );
    const lease = new Lease();

    const messages = await service.deliver(logOf('a', 'b', 'a').batch(0, 3, lease));

    expect(answers(messages)).toEqual(['a update.accepted 1', 'b update.accepted 1', 'a update.accepted 2']);
    expect(recorded(service.storage)).toHaveLength(3);
    expect(service.observer.of('retrying').map(([step]) => step)).toEqual(['append', 'append']);
    expect(lease.keptAlive).toBe(2);
  });

  it('is tried again where it cannot be read', async () => {
    const service = new ReplicaProcess(BARE);
    service.store.readFaults.push('unavailable', 'unavailable', 'unavailable');

    expect(answers(await service.deliver(logOf('a', 'b').batch()))).toEqual([
      'a update.accepted 1',
      'b update.accepted 1',
    ]);
  });

  it('is tried again where the history of a repeat cannot be read', async () => {
    const service = new ReplicaProcess(BARE);
    const log = logOf('a');
    const first = await service.deliver(log.batch());
    service.store.readFaults.push('unavailable');

    expect((await service.deliver(log.batch())).map(exact)).toEqual(first.map(exact));
  });

  it('for one device holds up no other’s record', async () => {
    const service = new ReplicaProcess(BARE);
    service.store.unwritable.set('deviceState-a', 'unavailable');
    const lease = new Lease();
    lease.onKeepAlive = () => {
      if (lease.keptAlive < 2) return;
      expect(recorded(service.storage)).toEqual(['b/0 ReportedStateChanged v1']);
      service.store.unwritable.clear();
    };

    const messages = await service.deliver(logOf('a', 'b').batch(0, 2, lease));

    expect(answers(messages)).toEqual(['a update.accepted 1', 'b update.accepted 1']);
  });
});

describe('an append of unknown outcome', () => {
  it.each(['unknown-recorded', 'unknown-lost'] as const)('that was %s takes effect once', async (kind) => {
    const service = new ReplicaProcess(BARE);
    service.store.appendFaults.push({ kind }, { kind });
    const log = logOf('a', 'b', 'a');

    const messages = await service.deliver(log.batch());

    expect(answers(messages)).toEqual(['a update.accepted 1', 'b update.accepted 1', 'a update.accepted 2']);
    expect(recorded(service.storage)).toHaveLength(3);
    expect((await service.restarted(BARE).deliver(log.batch())).map(exact)).toEqual(messages.map(exact));
  });

  it.each(['unknown-recorded', 'unknown-lost'] as const)(
    'that was %s takes effect once where another writer came in between',
    async (kind) => {
      const service = new ReplicaProcess(BARE);
      const other = service.restarted(BARE);
      const theirs = new CommandLog('update', 'other', undefined, 1);
      theirs.send('a', temp(100));
      service.store.appendFaults.push(
        { kind },
        { kind: 'after', first: () => other.deliver(theirs.batch()) },
      );
      const log = logOf('a', 'a');

      const messages = await service.deliver(log.batch());

      expect(recorded(service.storage)).toHaveLength(3);
      expect((await service.restarted(BARE).deliver(log.batch())).map(exact)).toEqual(messages.map(exact));
      expect((await service.reader.get('a'))?.version).toBe(3);
    },
  );
});

describe('a stream that cannot be read or written', () => {
  it.each(['corrupt', 'stream-deleted'] as const)(
    'for being %s has its commands refused, and no others',
    async (code) => {
      const service = new ReplicaProcess(BARE);
      service.store.unreadable.set('deviceState-a', code);

      const messages = await service.deliver(logOf('a', 'b', 'a').batch());

      expect(answers(messages)).toEqual([
        'a update.rejected 500',
        'b update.accepted 1',
        'a update.rejected 500',
      ]);
      expect(service.observer.of('failed')).toHaveLength(1);
    },
  );

  it('refuses what the stream does not take', async () => {
    const service = new ReplicaProcess(BARE);
    service.store.unwritable.set('deviceState-a', 'stream-deleted');

    expect(answers(await service.deliver(logOf('a', 'b', 'a').batch()))).toEqual([
      'a update.rejected 500',
      'b update.accepted 1',
      'a update.rejected 500',
    ]);
    service.store.unwritable.clear();
    expect(await service.reader.get('a')).toBeNull();
  });

  it.each([
    ['data that is no JSON', 'ReportedStateChanged', '{'],
    ['an unknown type', 'SomethingElse', '{"version":1,"timestamp":1,"state":{}}'],
    ['a state that is none', 'ReportedStateChanged', '{"version":1,"timestamp":1,"state":[]}'],
  ])('for %s is named, and its neighbours are served', async (_, type, data) => {
    const service = new ReplicaProcess(BARE);
    await service.store.append([
      {
        stream: 'deviceState-a',
        expectedRevision: -1,
        events: [
          {
            id: '00000000-0000-4000-8000-000000000000',
            type,
            data: Buffer.from(data),
            metadata: Buffer.from('{"schema":1}'),
          },
        ],
      },
    ]);

    expect(answers(await service.deliver(logOf('a', 'b').batch()))).toEqual([
      'a update.rejected 500',
      'b update.accepted 1',
    ]);
    const [step, error] = service.observer.of('failed')[0] ?? [];
    expect([step, String(error)]).toEqual([
      expect.any(String),
      expect.stringContaining('deviceState-a revision 0'),
    ]);
    await expect(service.reader.get('a')).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('for its own size refuses that command alone', async () => {
    const service = new ReplicaProcess({ ...BARE, maxAppendBytes: 2000 });
    const log = new CommandLog();
    const large = { state: { reported: { x: 'x'.repeat(1800) } } };
    log.send('a', temp(1));
    log.send('a', large);
    log.send('a', temp(2));
    log.send('b', temp(1));
    log.send('a', temp(3));

    const messages = await service.deliver(log.batch());

    expect(answers(messages)).toEqual([
      'a update.accepted 1',
      'a update.rejected 413',
      'a update.accepted 2',
      'b update.accepted 1',
      'a update.accepted 3',
    ]);
    expect(answers(await service.deliver(log.batch()))).toEqual(answers(messages));
    expect(recorded(service.storage)).toHaveLength(4);
  });

  it('for the size of many commands together takes them one by one', async () => {
    const service = new ReplicaProcess({ ...BARE, maxAppendBytes: 2000 });
    const log = new CommandLog();
    for (let n = 0; n < 20; n++) log.send('a', temp(n));

    const messages = await service.deliver(log.batch());

    expect(answers(messages)).toEqual(Array.from({ length: 20 }, (_, n) => `a update.accepted ${n + 1}`));
    expect((await service.reader.get('a'))?.version).toBe(20);
  });
});

describe('a publish that fails', () => {
  it.each(['unavailable', 'lost-after-sending'] as const)('as %s is tried again, whole', async (fault) => {
    const service = new ReplicaProcess(BARE);
    service.publishFaults.push(fault);

    const messages = await service.deliver(logOf('a', 'b').batch());

    expect(new Set(answers(messages))).toEqual(new Set(['a update.accepted 1', 'b update.accepted 1']));
    expect(answers(messages).slice(-2)).toEqual(['a update.accepted 1', 'b update.accepted 1']);
    expect(recorded(service.storage)).toHaveLength(2);
  });

  it('for good gives the batch up; it can be delivered again', async () => {
    const service = new ReplicaProcess(BARE);
    service.publishFaults.push('closed');
    const log = logOf('a');

    await expect(service.deliver(log.batch())).rejects.toMatchObject({ name: 'BatchAbandoned' });
    expect(briefs(await service.deliver(log.batch()))).toEqual(['a update.accepted 1', 'a update.delta 1']);
    expect(recorded(service.storage)).toHaveLength(1);
  });

  it('holds up nobody who asks for the state', async () => {
    const service = new ReplicaProcess(BARE);
    service.publishFaults.push('crash-before');
    await service.deliverAndCrash(logOf('a').batch());

    expect(await service.reader.get('a')).toMatchObject({ version: 1 });
  });
});

describe('the time of what is refused', () => {
  it('is stated in every answer', async () => {
    const service = new ReplicaProcess(BARE);
    service.store.unreadable.set('deviceState-a', 'corrupt');

    const [message] = await service.deliver(logOf('a').batch());

    expect(message && documentOf(message)).toEqual({
      code: 500,
      message: 'The state of this device cannot be read or recorded: corrupt',
      timestamp: logOf('a').messages[0]?.position.timestamp,
    });
  });
});
