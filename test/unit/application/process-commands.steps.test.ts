import { describe, expect, it } from '@jest/globals';
import { CommandLog, Lease } from '../../support/command-log.js';
import { answers, exact, recorded } from '../../support/outputs.js';
import { ReplicaProcess } from '../../support/replica-process.js';

const STEPS = { publishDocuments: false, stepCount: 3 };

function tenCommands(): CommandLog {
  const log = new CommandLog();
  for (let n = 0; n < 10; n++) log.send(n % 2 === 0 ? 'a' : 'b', { state: { reported: { n } } });
  return log;
}

describe('a batch of several steps', () => {
  it('gives the bytes that it gives in one', async () => {
    const clock = () => 1_700_001_000_000;
    const whole = await new ReplicaProcess({ ...STEPS, stepCount: 100, clock }).deliver(
      tenCommands().batch(),
    );
    const service = new ReplicaProcess({ ...STEPS, clock });
    const inSteps = await service.deliver(tenCommands().batch());

    expect(inSteps.map(exact)).toEqual(whole.map(exact));
    expect(service.store.appends).toBe(4);
  });

  it('keeps the order of its outputs where the first ones cannot be sent for a while', async () => {
    const service = new ReplicaProcess(STEPS);
    service.publishFaults.push('unavailable', 'unavailable', null, 'unavailable');

    const messages = await service.deliver(tenCommands().batch());

    expect(answers(messages)).toEqual(
      Array.from(
        { length: 10 },
        (_, n) => `${n % 2 === 0 ? 'a' : 'b'} update.accepted ${1 + Math.floor(n / 2)}`,
      ),
    );
  });

  it('sends nothing of a step whose predecessor could not be sent, and all of it when it comes again', async () => {
    const service = new ReplicaProcess(STEPS);
    service.publishFaults.push(null, 'closed');
    const log = tenCommands();

    await expect(service.deliver(log.batch())).rejects.toMatchObject({ name: 'BatchAbandoned' });
    const sent = service.published.map(exact);
    expect(answers(service.published)).toHaveLength(3);

    const again = await service.restarted(STEPS).deliver(log.batch());
    expect(again.slice(0, sent.length).map(exact)).toEqual(sent);
    expect(answers(again)).toHaveLength(10);
    expect(recorded(service.storage)).toHaveLength(10);
  });

  it('does not wait for the outputs of another partition, but for those of another command topic', async () => {
    const service = new ReplicaProcess(STEPS);
    const [updates, others] = [new CommandLog(), new CommandLog('update', 'first-life', undefined, 1)];
    const deletes = new CommandLog('delete', 'first-life', undefined, 2);
    updates.send('a', { state: { reported: { n: 1 } } });
    others.send('b', { state: { reported: { n: 1 } } });
    deletes.send('a', null);
    service.publishFaults.push('unavailable');

    await Promise.all([updates, others, deletes].map((log) => service.deliver(log.batch())));

    expect(answers(service.published)).toEqual([
      'b update.accepted 1',
      'a update.accepted 1',
      'a delete.accepted 1',
    ]);
  });

  it('keeps the order of a device whose commands come in two partitions of one topic', async () => {
    const service = new ReplicaProcess(STEPS);
    const [first, second] = [new CommandLog(), new CommandLog('update', 'first-life', undefined, 1)];
    first.send('a', { state: { reported: { n: 1 } } });
    first.send('b', { state: { reported: { n: 1 } } });
    second.send('c', { state: { reported: { n: 1 } } });
    second.send('a', { state: { reported: { n: 2 } } });
    service.publishFaults.push('unavailable');

    await Promise.all([first, second].map((log) => service.deliver(log.batch())));

    expect(answers(service.published)).toEqual([
      'a update.accepted 1',
      'b update.accepted 1',
      'c update.accepted 1',
      'a update.accepted 2',
    ]);
  });

  it('is not committed before its last outputs are acknowledged', async () => {
    const service = new ReplicaProcess(STEPS);
    service.publishFaults.push(null, null, null, 'crash-before');
    await service.deliverAndCrash(tenCommands().batch());

    expect(answers(service.published)).toHaveLength(9);
    expect(answers(await service.restarted(STEPS).deliver(tenCommands().batch()))).toHaveLength(10);
  });

  it('that is lost between two of them has sent what it has recorded, and no more', async () => {
    const service = new ReplicaProcess(STEPS);
    const log = tenCommands();
    const lease = new Lease();
    lease.isLost = true;
    service.store.appendFaults.push(null, { kind: 'refused', code: 'unavailable' });

    await expect(service.deliver(log.batch(0, 10, lease))).rejects.toMatchObject({ name: 'BatchAbandoned' });

    expect(answers(service.published)).toHaveLength(3);
    expect(recorded(service.storage)).toHaveLength(3);
    expect(answers(await service.deliver(log.batch()))).toHaveLength(10);
    expect(recorded(service.storage)).toHaveLength(10);
  });
});
