import { expect, it } from '@jest/globals';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { selectEvents } from '../../../src/application/select-events.js';
import { Histories, randomFrom } from '../../support/histories.js';

it('ends with its signal, also where nothing is selected', async () => {
  const store = new MemoryEventStore();
  await new Histories(randomFrom(1), 5).append(store, 500);
  const controller = new AbortController();
  const devices = { ids: new Set<string>(), prefixes: ['none'] };
  let looked = 0;
  const selected = selectEvents(
    store,
    { from: null, to: null, devices, after: null },
    controller.signal,
    () => {
      if (++looked === 10) controller.abort();
    },
  );
  for await (const row of selected) expect(row).toBeUndefined();
  expect(looked).toBe(10);
});
