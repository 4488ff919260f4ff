import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CommandLog } from '../../support/command-log.js';
import { type ProcessSettings, ReplicaProcess } from '../../support/replica-process.js';

const NOW = 1_800_000_000_000;
const process = (settings: ProcessSettings = {}) => new ReplicaProcess({ clock: () => NOW, ...settings });

/** What `getNow` gives, as `get` does. */
function known(service: ReplicaProcess, deviceId: string): { version: number; document: string } | null {
  const reading = service.reader.getNow(deviceId);
  if (reading === null) return null;
  const { version, bytes } = reading;
  return { version, document: Buffer.from(bytes, 'latin1').toString('utf8') };
}

async function deliver(service: ReplicaProcess, log: CommandLog): Promise<void> {
  await service.deliver(log.batch());
}

describe('what is known of a device at once', () => {
  it('is what a get gives, whatever was recorded', async () => {
    const value = fc.oneof(fc.integer(), fc.string({ unit: 'grapheme' }), fc.constant(null), fc.constant({}));
    const section = fc.dictionary(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 3 }), value);
    const update = fc.record({ reported: section, desired: section }, { requiredKeys: [] });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(update, fc.constant('delete' as const)), { maxLength: 6 }),
        async (steps) => {
          const service = process();
          const [updates, deletes] = [new CommandLog('update'), new CommandLog('delete')];
          for (const step of steps) {
            if (step === 'delete') deletes.send('a', {});
            else updates.send('a', { state: step });
            await deliver(service, step === 'delete' ? deletes : updates);
            const now = known(service, 'a');
            expect(now).toEqual(await service.reader.get('a'));
            expect(known(service, 'a')).toEqual(now);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('is nothing while a command is under way, and the new state from its end on', async () => {
    const service = process();
    const log = new CommandLog();
    log.send('a', { state: { reported: { n: 1 } } });
    await deliver(service, log);
    let goOn = (): void => undefined;
    service.store.appendFaults.push({
      kind: 'slow',
      until: new Promise<void>((resolve) => (goOn = resolve)),
    });
    expect(known(service, 'a')?.version).toBe(1);
    log.send('a', { state: { reported: { n: 2 } } });
    const delivering = deliver(service, log);
    await new Promise((resolve) => setImmediate(resolve));
    expect(known(service, 'a')).toBeNull();
    goOn();
    await delivering;
    expect(known(service, 'a')).toMatchObject({ version: 2 });
    expect(known(service, 'a')?.document).toContain('"n":2');
  });

  it('is nothing where another process has recorded more', async () => {
    const one = process();
    const log = new CommandLog();
    log.send('a', { state: { reported: { n: 1 } } });
    await deliver(one, log);
    const other = one.restarted({ clock: () => NOW });
    log.send('a', { state: { reported: { n: 2 } } });
    await deliver(other, log);

    expect(known(one, 'a')).toBeNull();
    expect((await one.reader.get('a'))?.version).toBe(2);
    expect(known(one, 'a')?.version).toBe(2);
  });

  it('is nothing for a device that is unknown, not in memory, or deleted', async () => {
    const service = process();
    const log = new CommandLog();
    log.send('a', { state: { reported: { n: 1 } } });
    await deliver(service, log);
    expect(known(service, 'b')).toBeNull();
    expect(known(service.restarted({ clock: () => NOW }), 'a')).toBeNull();
    const deletes = new CommandLog('delete');
    deletes.send('a', {});
    await deliver(service, deletes);
    expect(known(service, 'a')).toBeNull();
  });

  it('bears no time before that of the last event', async () => {
    let now = NOW;
    const service = process({ clock: () => now });
    const log = new CommandLog();
    log.send('a', { state: { reported: { n: 1 } } });
    await deliver(service, log);
    now -= 1000;
    expect(known(service, 'a')?.document).toMatch(new RegExp(`"timestamp":${NOW}}$`));
    now += 5000;
    expect(known(service, 'a')?.document).toMatch(new RegExp(`"timestamp":${NOW + 4000}}$`));
  });
});
