import { describe, expect, it } from '@jest/globals';
import { CommandLog, FIRST_TIMESTAMP, underNewLog } from '../../support/command-log.js';
import { type Message } from '../../../src/application/outputs.js';
import { answers, commandIds, exact, header, recorded } from '../../support/outputs.js';
import { type ProcessSettings, ReplicaProcess, steppingClock } from '../../support/replica-process.js';

const temp = (value: number, extra: object = {}) => ({ state: { reported: { temp: value } }, ...extra });

/** Batches with every kind of command in front of, between and behind what is recorded. */
const BATCHES: readonly (readonly [
  name: string,
  fill: (log: CommandLog) => void,
  settings: ProcessSettings,
])[] = [
  ['one update', (log) => log.send('a', temp(1)), {}],
  [
    'a version conflict before and after an update',
    (log) => {
      log.send('a', temp(1, { version: 5 }));
      log.send('a', temp(1));
      log.send('a', temp(2, { version: 0 }));
      log.send('a', temp(3, { version: 1 }));
      log.send('a', temp(4, { version: 1 }));
    },
    {},
  ],
  [
    'versions that would be right when the batch comes again',
    (log) => {
      log.send('a', temp(1, { version: 2 }));
      log.send('a', temp(2, { version: 0 }));
      log.send('a', temp(3, { version: 1 }));
      log.send('a', temp(4, { version: 3 }));
    },
    {},
  ],
  [
    'malformed commands between updates',
    (log) => {
      log.send('a', 'no JSON');
      log.send('a', temp(1));
      log.send('a', Buffer.from([0xff]));
      log.send('a', temp(2), { 'message-id': 'has a space' });
      log.send('a', temp(2));
      log.send('a', null);
    },
    {},
  ],
  [
    'updates too large for the state of then, and not for that of later',
    (log) => {
      log.send('a', { state: { reported: { x: 'x'.repeat(60) } } });
      log.send('a', { state: { desired: { y: 'y'.repeat(60) } } });
      log.send('a', { state: { reported: null } });
      log.send('a', temp(2));
    },
    { limits: { maxRequestBytes: 1000, maxStateBytes: 100, maxDepth: 6 } },
  ],
  [
    'updates that change nothing and are skipped',
    (log) => {
      log.send('a', temp(1));
      log.send('a', temp(1, { clientToken: 'again' }));
      log.send('a', { state: { desired: { temp: 2 } } });
      log.send('a', temp(1, { clientToken: 'once more' }));
      log.send('a', temp(2));
      log.send('a', temp(2));
    },
    { unchangedUpdates: 'skip' },
  ],
  [
    'message ids that come twice, with the same and with another body',
    (log) => {
      log.send('a', temp(1), { 'message-id': 'm1' });
      log.send('a', temp(1), { 'message-id': 'm1' });
      log.send('a', temp(2), { 'message-id': 'm1' });
      log.send('a', temp(3), { 'message-id': 'm2' });
      log.send('b', temp(1), { 'message-id': 'm1' });
    },
    {},
  ],
  [
    'a message id that was refused at first and accepted later',
    (log) => {
      log.send('a', temp(2, { version: 1 }), { 'message-id': 'm1' });
      log.send('a', temp(1));
      log.send('a', temp(2, { version: 1 }), { 'message-id': 'm1' });
      log.send('a', temp(3));
    },
    {},
  ],
  [
    'several devices and a dead letter',
    (log) => {
      log.send('a', temp(1));
      log.send(null, temp(1));
      log.send('b', { state: { reported: { a: 1 }, desired: { a: 2 } } });
      log.send('a', { state: null });
      log.send('b', temp(1, { version: 0 }));
    },
    {},
  ],
];

/** Each of them by itself, and where every restart begins at snapshots. */
const ALL: typeof BATCHES = [
  ...BATCHES,
  ...BATCHES.map(
    ([name, fill, settings]) =>
      [`${name}, with snapshots`, fill, { ...settings, snapshotEveryCount: 1 }] as const,
  ),
];

describe.each(ALL)('a batch with %s', (_, fill, settings) => {
  function prepared(): CommandLog {
    const log = new CommandLog();
    fill(log);
    return log;
  }

  it('gives the same bytes when it comes again, and records nothing new', async () => {
    const log = prepared();
    const service = new ReplicaProcess(settings);
    const first = await service.deliver(log.batch());
    const stored = recorded(service.storage);

    const second = await service.deliver(log.batch());
    const third = await service.restarted(settings).deliver(log.batch());

    expect(second.map(exact)).toEqual(first.map(exact));
    expect(third.map(exact)).toEqual(first.map(exact));
    expect(recorded(service.storage)).toEqual(stored);
  });

  it('gives the same bytes after a crash between append and publish', async () => {
    const log = prepared();
    const service = new ReplicaProcess(settings);
    service.publishFaults.push('crash-before');
    await service.deliverAndCrash(log.batch());
    const stored = recorded(service.storage);
    const reference = await service.restarted(settings).deliver(log.batch());

    expect(recorded(service.storage)).toEqual(stored);
    expect((await service.restarted(settings).deliver(log.batch())).map(exact)).toEqual(reference.map(exact));
    // What was decided the first time was never seen; it is what a run without a crash answers.
    const undisturbed = await new ReplicaProcess(settings).deliver(prepared().batch());
    expect(answers(reference)).toEqual(answers(undisturbed));
  });

  it('gives the same bytes after a crash between publish and commit', async () => {
    const log = prepared();
    const service = new ReplicaProcess(settings);
    service.publishFaults.push('crash-after');
    const first = await service.deliverAndCrash(log.batch());
    const stored = recorded(service.storage);

    const second = await service.restarted(settings).deliver(log.batch());

    expect(second.map(exact)).toEqual(first.map(exact));
    expect(recorded(service.storage)).toEqual(stored);
  });

  it('is as new after a crash before the append', async () => {
    const log = prepared();
    const service = new ReplicaProcess(settings);
    service.store.appendFaults.push({ kind: 'crash-before' });
    await service.deliverAndCrash(log.batch());
    expect(recorded(service.storage)).toEqual([]);

    const messages = await service.restarted(settings).deliver(log.batch());

    expect(answers(messages)).toEqual(
      answers(await new ReplicaProcess(settings).deliver(prepared().batch())),
    );
  });

  it('is recognised in every part, from wherever it is read again', async () => {
    const log = prepared();
    const { length } = log.messages;
    const service = new ReplicaProcess(settings);
    const first: string[][] = [];
    for (let at = 0; at < length; at++) {
      first.push((await service.deliver(log.batch(at, at + 1))).map(exact));
    }
    const stored = recorded(service.storage);

    for (let from = 0; from < length; from++) {
      for (const to of [from + 1, length]) {
        for (const other of [service, service.restarted(settings)]) {
          const again = await other.deliver(log.batch(from, to));
          expect(again.map(exact)).toEqual(first.slice(from, to).flat());
        }
      }
    }
    expect(recorded(service.storage)).toEqual(stored);
  });

  it('is recognised where new commands follow in the same batch', async () => {
    const log = prepared();
    const service = new ReplicaProcess(settings);
    const first = await service.deliver(log.batch());
    const count = recorded(service.storage).length;
    log.send('a', { state: { reported: { new: true } } });
    log.send('new', temp(1));

    const second = await service.restarted(settings).deliver(log.batch());

    expect(second.slice(0, first.length).map(exact)).toEqual(first.map(exact));
    expect(answers(second.slice(first.length))).toEqual([
      expect.stringMatching(/^a update.accepted/),
      'new update.accepted 1',
    ]);
    expect(recorded(service.storage)).toHaveLength(count + 2);
  });

  it('has its recorded commands recognised under another name of the same log', async () => {
    const log = prepared();
    const service = new ReplicaProcess(settings);
    const first = await service.deliver(log.batch());
    const stored = recorded(service.storage);
    const ids = commandIds(service.storage);
    const ofRecorded = (messages: readonly Message[]) =>
      messages
        .filter(({ channel }) => channel === 'update.accepted')
        .filter((message) => ids.some((id) => header(message, 'ce_id')?.startsWith(`${id}:`)))
        .map(exact);

    const again = await service.restarted(settings).deliver(underNewLog(log.messages, 'name-lost'));

    // A message id may have stood on a command that was refused at first: it now has the answer of its id.
    expect(new Set(ofRecorded(again))).toEqual(new Set(ofRecorded(first)));
    expect(recorded(service.storage).slice(0, stored.length)).toEqual(stored);
  });
});

describe('a delete', () => {
  it('of a missing device stays refused when the device was made meanwhile', async () => {
    const service = new ReplicaProcess();
    const log = new CommandLog('delete');
    log.send('a', null);
    const first = await service.deliver(log.batch());
    expect(answers(first)).toEqual(['a delete.rejected 404']);
    const updates = new CommandLog();
    updates.send('a', temp(1));
    await service.deliver(updates.batch());
    log.send('a', null);
    await service.deliver(log.batch(1));

    const again = await service.restarted().deliver(log.batch());

    expect(answers(again)).toEqual(['a delete.rejected 404', 'a delete.accepted 1']);
    expect(recorded(service.storage)).toHaveLength(2);
  });

  it('that comes again deletes nothing that was made since', async () => {
    const service = new ReplicaProcess();
    const updates = new CommandLog();
    const deletes = new CommandLog('delete');
    updates.send('a', temp(1));
    await service.deliver(updates.batch());
    deletes.send('a', null);
    const first = await service.deliver(deletes.batch());
    updates.send('a', temp(2));
    await service.deliver(updates.batch(1));

    expect((await service.restarted().deliver(deletes.batch())).map(exact)).toEqual(first.map(exact));
    expect((await service.reader.get('a'))?.version).toBe(2);
  });
});

describe('a refused command that comes again', () => {
  it.each([undefined, 1])(
    'is not done later, whatever was made and deleted since (snapshots: %s)',
    async (count) => {
      const settings = count === undefined ? {} : { snapshotEveryCount: count };
      const service = new ReplicaProcess(settings);
      const updates = new CommandLog();
      const deletes = new CommandLog('delete');
      deletes.send('a', null);
      const first = await service.deliver(deletes.batch());
      updates.send('a', temp(1));
      await service.deliver(updates.batch());
      deletes.send('a', null);
      first.push(...(await service.deliver(deletes.batch(1))));
      updates.send('a', temp(2));
      await service.deliver(updates.batch(1));
      await service.snapshots?.flush();

      const again = await service.restarted(settings).deliver(deletes.batch());

      expect(answers(first)).toEqual(['a delete.rejected 404', 'a delete.accepted 1']);
      expect(again.map(exact)).toEqual(first.map(exact));
      expect((await service.reader.get('a'))?.version).toBe(2);
    },
  );

  it('is refused again by a clock that lags behind its sender, whatever was made since', async () => {
    // By this clock, and so by the snapshots, all was there before the records were sent.
    const settings = { snapshotEveryCount: 1, clock: steppingClock(FIRST_TIMESTAMP - 5000) };
    const service = new ReplicaProcess(settings);
    const updates = new CommandLog('update', 'first-life', FIRST_TIMESTAMP - 10_000);
    const deletes = new CommandLog('delete');
    updates.send('a', temp(1));
    await service.deliver(updates.batch());
    deletes.send('a', null);
    deletes.send('a', null);
    const first = await service.deliver(deletes.batch());
    updates.send('a', temp(2));
    await service.deliver(updates.batch(1));
    deletes.send('a', null);
    first.push(...(await service.deliver(deletes.batch(2))));
    await service.snapshots?.flush();

    const again = await service.restarted(settings).deliver(deletes.batch());

    expect(answers(first)).toEqual(['a delete.accepted 1', 'a delete.rejected 404', 'a delete.accepted 2']);
    expect(again.map(exact)).toEqual(first.map(exact));
  });

  it('is refused at the same time by processes whose clocks differ, and lag behind its sender', async () => {
    const log = new CommandLog();
    log.send('a', temp(1, { version: 5 }));
    log.send('a', 'no JSON');
    const slow = { clock: steppingClock(FIRST_TIMESTAMP - 5000) };
    const service = new ReplicaProcess(slow);

    const first = await service.deliver(log.batch());
    const again = await service
      .restarted({ clock: steppingClock(FIRST_TIMESTAMP - 100) })
      .deliver(log.batch());

    expect(again.map(exact)).toEqual(first.map(exact));
  });

  it('is refused at a time that a date can show, whatever its record says', async () => {
    const log = new CommandLog('update', 'first-life', 9_000_000_000_000_000_000);
    log.send('a', 'no JSON');

    const [refusal] = (await new ReplicaProcess({}).deliver(log.batch())) as [Message];

    expect(JSON.parse(String(refusal?.value))).toMatchObject({ code: 400, timestamp: 8_640_000_000_000_000 });
    expect(header(refusal, 'ce_time')).toBe('+275760-09-13T00:00:00.000Z');
  });

  it('is refused at the same time where the event store did not take it', async () => {
    const settings = { maxAppendBytes: 1000 };
    const log = new CommandLog();
    log.send('a', temp(1));
    log.send('a', { state: { reported: { x: 'x'.repeat(1000) } } });
    log.send('a', temp(2));
    log.send('a', { state: { reported: { x: 'x'.repeat(1000) } }, version: 2 });
    log.send('a', { state: { reported: { x: 'x'.repeat(1000) } } }, { 'message-id': 'm' });
    log.send('a', temp(3), { 'message-id': 'm' });
    const service = new ReplicaProcess(settings);
    const first = await service.deliver(log.batch());
    expect(answers(first)).toEqual([
      'a update.accepted 1',
      'a update.rejected 413',
      'a update.accepted 2',
      'a update.rejected 413',
      'a update.rejected 413',
      'a update.accepted 3',
    ]);

    const again = await service.restarted(settings).deliver(log.batch());

    expect(again.map(exact)).toEqual(first.map(exact));
  });
});

describe('a topic that was deleted and made anew', () => {
  const bodies = [temp(1), temp(2), temp(3)];
  const filled = (name: string, start: number): CommandLog => {
    const log = new CommandLog('update', name, start);
    for (const body of bodies) log.send('a', body);
    return log;
  };

  it('has new commands at the old offsets, even with the same bytes', async () => {
    const service = new ReplicaProcess();
    await service.deliver(filled('first-life', FIRST_TIMESTAMP).batch());
    const second = filled('second-life', FIRST_TIMESTAMP + 5000);

    const messages = await service.restarted().deliver(second.batch());
    expect(answers(messages)).toEqual(['a update.accepted 4', 'a update.accepted 5', 'a update.accepted 6']);

    expect((await service.restarted().deliver(second.batch())).map(exact)).toEqual(messages.map(exact));
    expect(recorded(service.storage)).toHaveLength(6);
  });

  it('has new commands also where its record times are earlier', async () => {
    const service = new ReplicaProcess();
    await service.deliver(filled('first-life', FIRST_TIMESTAMP).batch());
    const second = filled('second-life', FIRST_TIMESTAMP - 5000);

    const messages = await service.deliver(second.batch());

    expect(answers(messages)).toEqual(['a update.accepted 4', 'a update.accepted 5', 'a update.accepted 6']);
    expect((await service.deliver(second.batch())).map(exact)).toEqual(messages.map(exact));
  });

  it('may lie between two readings of the first one', async () => {
    const service = new ReplicaProcess();
    const old = filled('first-life', FIRST_TIMESTAMP);
    const first = await service.deliver(old.batch());
    const made = filled('second-life', FIRST_TIMESTAMP + 5000);
    await service.deliver(made.batch(0, 2));

    // A zombie of the first life, which has still to answer its batch.
    expect((await service.restarted().deliver(old.batch())).map(exact)).toEqual(first.map(exact));
    expect(answers(await service.deliver(made.batch(2)))).toEqual(['a update.accepted 6']);
  });
});
