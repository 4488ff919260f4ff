import { describe, expect, it } from '@jest/globals';
import { CommandLog, Lease } from '../../support/command-log.js';
import { answers, exact, recorded } from '../../support/outputs.js';
import { type ProcessSettings, ReplicaProcess, steppingClock } from '../../support/replica-process.js';

const temp = (value: number, extra: object = {}) => ({ state: { reported: { temp: value } }, ...extra });

describe('another writer', () => {
  it('that appended first is seen, and the commands are decided anew on what it left', async () => {
    const mine = new ReplicaProcess({ publishDocuments: false });
    const other = mine.restarted();
    const updates = new CommandLog();
    updates.send('a', temp(1));
    updates.send('a', temp(2, { version: 1 }));
    updates.send('b', temp(1));
    const theirs = new CommandLog('update', 'other', undefined, 1);
    theirs.send('a', temp(9));
    mine.store.appendFaults.push({ kind: 'after', first: () => other.deliver(theirs.batch()) });

    const messages = await mine.deliver(updates.batch());

    expect(answers(messages)).toEqual([
      'a update.accepted 2',
      'a update.rejected 409',
      'b update.accepted 1',
    ]);
    expect(mine.observer.of('conflict')).toEqual([['a']]);
    expect((await mine.reader.get('a'))?.version).toBe(2);
  });

  it('that deleted the device in between is respected', async () => {
    const mine = new ReplicaProcess({ publishDocuments: false });
    const updates = new CommandLog();
    updates.send('a', temp(1));
    await mine.deliver(updates.batch());
    const deletes = new CommandLog('delete');
    deletes.send('a', null);
    const other = mine.restarted();
    updates.send('a', temp(2), { 'if-match': '*' });
    mine.store.appendFaults.push({ kind: 'after', first: () => other.deliver(deletes.batch()) });

    expect(answers(await mine.deliver(updates.batch(1)))).toEqual(['a update.rejected 409']);
    expect(await mine.reader.get('a')).toBeNull();
  });

  it('that is always first makes the work pause, but not fail', async () => {
    const mine = new ReplicaProcess({ publishDocuments: false });
    const other = mine.restarted();
    const theirs = new CommandLog('update', 'other', undefined, 1);
    const first = async (): Promise<void> => {
      const message = theirs.send('a', temp(theirs.messages.length));
      await other.deliver([message]);
    };
    for (let i = 0; i < 8; i++) mine.store.appendFaults.push({ kind: 'after', first });
    const updates = new CommandLog();
    updates.send('a', temp(-1));

    expect(answers(await mine.deliver(updates.batch()))).toEqual(['a update.accepted 9']);
    expect(mine.observer.of('conflict')).toHaveLength(8);
    expect(mine.observer.of('retrying').length).toBeGreaterThan(0);
  });

  it('that is always first holds nobody up who has lost the batch', async () => {
    const mine = new ReplicaProcess();
    const other = mine.restarted();
    const theirs = new CommandLog('update', 'other', undefined, 1);
    const lease = new Lease();
    let tries = 0;
    const first = async (): Promise<void> => {
      if (++tries === 3) lease.isLost = true;
      await other.deliver([theirs.send('a', temp(tries))]);
    };
    for (let i = 0; i < 10; i++) mine.store.appendFaults.push({ kind: 'after', first });
    const updates = new CommandLog();
    updates.send('a', temp(-1));

    await expect(mine.deliver(updates.batch(0, 1, lease))).rejects.toMatchObject({ name: 'BatchAbandoned' });
    expect(mine.published).toEqual([]);
    expect(tries).toBe(3);
  });
});

describe('what another process recorded since this one kept the replica', () => {
  /** My memory has version 1, with temp 1; the store has version 2, with temp 2. */
  async function overtaken(settings: ProcessSettings = {}, other: ProcessSettings = {}) {
    const mine = new ReplicaProcess({ ...settings, publishDocuments: false });
    const updates = new CommandLog();
    updates.send('a', temp(1));
    await mine.deliver(updates.batch());
    const theirs = new CommandLog('update', 'other', undefined, 1);
    theirs.send('a', temp(2));
    await mine.restarted(other).deliver(theirs.batch());
    return { mine, updates };
  }

  it('counts for a command that would be refused without it', async () => {
    const { mine, updates } = await overtaken();
    updates.send('a', temp(3, { version: 2 }));

    expect(answers(await mine.deliver(updates.batch(1)))).toEqual(['a update.accepted 3']);
  });

  it('counts for a command that would change nothing without it', async () => {
    const { mine, updates } = await overtaken({ unchangedUpdates: 'skip' });
    updates.send('a', temp(1));

    expect(answers(await mine.deliver(updates.batch(1)))).toEqual(['a update.accepted 3']);
    expect(recorded(mine.storage)).toHaveLength(3);
  });

  it('counts for a delete of what it made', async () => {
    const { mine, updates } = await overtaken();
    const deletes = new CommandLog('delete');
    deletes.send('a', null);
    await mine.deliver(deletes.batch());
    const theirs = new CommandLog('update', 'other', undefined, 1);
    theirs.send('-', temp(0));
    theirs.send('a', temp(5));
    await mine.restarted().deliver(theirs.batch(1));
    deletes.send('a', null);

    expect(answers(await mine.deliver(deletes.batch(1)))).toEqual(['a delete.accepted 3']);
    expect(updates.messages).toHaveLength(1);
  });

  it('counts for a batch that begins with refusals', async () => {
    const { mine, updates } = await overtaken();
    updates.send('a', temp(3, { version: 1 }));
    updates.send('a', temp(4, { version: 2 }));
    updates.send('a', temp(5, { version: 2 }));
    const messages = await mine.deliver(updates.batch(1));

    expect(answers(messages)).toEqual([
      'a update.rejected 409',
      'a update.accepted 3',
      'a update.rejected 409',
    ]);
  });

  it.each([
    ['that cannot be read', 'no JSON'],
    ['that is too large', temp(7, { padding: 'x'.repeat(200_000) })],
  ])('counts for when a command was refused %s', async (_, value) => {
    const { mine, updates } = await overtaken({}, { clock: steppingClock(1_800_000_000_000) });
    updates.send('a', value);
    const refused = (await mine.deliver(updates.batch(1))).map(exact);

    expect(refused).toHaveLength(1);
    expect(refused).toEqual((await mine.restarted().deliver(updates.batch(1))).map(exact));
  });

  it('is looked up while the store is away for a moment', async () => {
    const { mine, updates } = await overtaken();
    updates.send('a', temp(3, { version: 2 }));
    mine.store.readFaults.push('unavailable', 'unavailable');

    expect(answers(await mine.deliver(updates.batch(1)))).toEqual(['a update.accepted 3']);
  });

  it('is shown to a reader', async () => {
    const { mine } = await overtaken();

    expect(await mine.reader.get('a')).toMatchObject({ version: 2 });
  });

  it('costs no read where the append itself tells', async () => {
    const mine = new ReplicaProcess({ publishDocuments: false });
    const updates = new CommandLog();
    updates.send('a', temp(1));
    await mine.deliver(updates.batch());
    const { reads } = mine.store;
    updates.send('a', temp(2, { version: 9 }));
    updates.send('a', temp(2));
    updates.send('a', 'no JSON');
    await mine.deliver(updates.batch(1));

    expect(mine.store.reads).toBe(reads);
  });
});

describe('two processes that have the same batch', () => {
  function batch(): CommandLog {
    const log = new CommandLog();
    log.send('a', temp(1));
    log.send('a', temp(2, { version: 7 }));
    log.send('b', { state: { reported: { x: 1 }, desired: { x: 2 } } });
    log.send('a', temp(3));
    log.send('c', 'no JSON');
    return log;
  }
  const ONCE = [
    'a/0 ReportedStateChanged v1',
    'a/1 ReportedStateChanged v2',
    'b/0 ReportedStateChanged v1',
    'b/1 DesiredStateChanged v1',
  ];

  it('record each command once and say the same, the one after the other', async () => {
    const log = batch();
    const mine = new ReplicaProcess();
    const zombie = mine.restarted({ clock: steppingClock(1_800_000_000_000) });
    // The zombie has decided, and is slow to append.
    let seen: string[] = [];
    zombie.store.appendFaults.push({
      kind: 'after',
      first: async () => {
        seen = (await mine.deliver(log.batch())).map(exact);
      },
    });

    const late = await zombie.deliver(log.batch());

    expect(recorded(mine.storage).sort()).toEqual(ONCE);
    expect(late.map(exact)).toEqual(seen);
    expect(await zombie.reader.get('a')).toMatchObject({ version: 2 });
  });

  it('record each command once and say the same, at one time', async () => {
    for (let round = 0; round < 20; round++) {
      const log = batch();
      const first = new ReplicaProcess();
      const all = [first, first.restarted({ clock: steppingClock(1_800_000_000_000) }), first.restarted()];

      const outputs = await Promise.all(all.map((process) => process.deliver(log.batch())));

      expect(recorded(first.storage).sort()).toEqual(ONCE);
      const [one = [], two = [], three = []] = outputs.map((messages) => messages.map(exact));
      expect(two).toEqual(one);
      expect(three).toEqual(one);
    }
  });

  it('agree also where one has a part of it that the other has not', async () => {
    const log = batch();
    const mine = new ReplicaProcess();
    const zombie = mine.restarted({ clock: steppingClock(1_800_000_000_000) });
    const whole: string[] = [];
    zombie.store.appendFaults.push({
      kind: 'after',
      first: async () => {
        whole.push(...(await mine.deliver(log.batch(0, 1))).map(exact));
      },
    });

    const late = (await zombie.deliver(log.batch())).map(exact);

    expect(late).toEqual(expect.arrayContaining(whole));
    expect(recorded(mine.storage).sort()).toEqual(ONCE);
    expect((await mine.restarted().deliver(log.batch())).map(exact)).toEqual(late);
  });

  it('show in memory what the store has', async () => {
    const log = batch();
    const mine = new ReplicaProcess();
    const zombie = mine.restarted({ clock: steppingClock(1_800_000_000_000) });
    zombie.store.appendFaults.push({ kind: 'after', first: () => mine.deliver(log.batch()) });
    await zombie.deliver(log.batch());

    const shown = JSON.parse((await zombie.reader.get('a'))?.document ?? '') as { metadata: unknown };
    const fresh = JSON.parse((await mine.restarted().reader.get('a'))?.document ?? '') as {
      metadata: unknown;
    };
    expect(shown.metadata).toEqual(fresh.metadata);
  });
});
