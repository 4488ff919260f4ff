import { expect, it } from '@jest/globals';
import { BatchFolder } from '../../../src/application/fold-batch.js';
import { type LogEntry } from '../../../src/application/ports/event-store.js';
import { type ReadModel } from '../../../src/application/ports/read-model.js';
import { type JsonObject } from '../../../src/replica/json.js';

const empty = { load: async () => [] } as unknown as ReadModel;

const folderOf = (cacheBytes = 0): BatchFolder => new BatchFolder(empty, 1, cacheBytes, () => undefined);

/** Gives the device's next event. */
function deviceOf(name: string): (type: string, state: JsonObject) => LogEntry {
  let revision = -1;
  return (type, state) => {
    revision++;
    return {
      stream: `deviceState-${name}`,
      revision,
      type,
      recordedAt: 1,
      position: BigInt(revision),
      data: JSON.stringify({ version: revision + 1, timestamp: revision, state }),
      metadata: '{"schema":1,"source":{}}',
    };
  };
}

it.each([
  ['at once', 1, 30_000],
  ['bit by bit', 300, 100],
])('weighs a device that grows %s after it has long stayed the same', async (_, events, bytesEach) => {
  const folder = folderOf();
  const next = deviceOf('grows');
  const steady = Array.from({ length: 1000 }, (_, n) => next('ReportedStateChanged', { n }));
  await folder.fold(steady);
  const before = folder.unwrittenBytes;
  const growth = Array.from({ length: events }, (_, n) =>
    next('ReportedStateChanged', { [`key-${n}`]: 'x'.repeat(bytesEach) }),
  );
  await folder.fold(growth);
  expect(folder.unwrittenBytes - before).toBeGreaterThan(events * bytesEach);
});

it('takes a small new device for no more than what its events hold', async () => {
  const folder = folderOf();
  await folder.fold([deviceOf('small')('ReportedStateChanged', { text: 'x'.repeat(200) })]);
  const before = folder.unwrittenBytes;
  await folder.fold([deviceOf('other')('ReportedStateChanged', { text: 'x'.repeat(200) })]);
  const bytes = folder.unwrittenBytes - before;
  expect(bytes).toBe(before);
  expect(bytes).toBeGreaterThan(6 * 200);
  expect(bytes).toBeLessThan(6 * 300 + 1000);
});

it('counts what a new device holds once its events have told enough', async () => {
  const folder = folderOf();
  const next = deviceOf('same');
  await folder.fold(Array.from({ length: 100 }, (_, n) => next('ReportedStateChanged', { n })));
  expect(folder.unwrittenBytes).toBeLessThan(1000);
});

it('weighs the desired changes that are settled, too, until they are taken', async () => {
  const folder = folderOf();
  const next = deviceOf('settles');
  const both = (n: number): LogEntry[] => [
    next('DesiredStateChanged', { n }),
    next('ReportedStateChanged', { n }),
  ];
  await folder.fold(both(0));
  const before = folder.unwrittenBytes;
  for (let n = 1; n <= 1000; n++) await folder.fold(both(n));
  expect(folder.unwrittenBytes - before).toBeGreaterThan(1000 * 50);
  expect((await folder.take()).settled).toHaveLength(1001);
  expect(folder.unwrittenBytes).toBe(0);
});
