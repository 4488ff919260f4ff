import { describe, expect, it } from '@jest/globals';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { type ReadStreamOptions, type RecordedEvent } from '../../../src/application/ports/event-store.js';
import { readChunks } from '../../../src/application/read-chunks.js';
import { recordSteps } from '../../support/recorded-history.js';
import { update } from '../support/scenario.js';

const COUNT = 700;

/** The store of a device with many events, and which of its reads were left before their end. */
async function storeOf() {
  const store = new MemoryEventStore();
  const steps = Array.from({ length: COUNT }, (_, a) => update({ reported: { a } }));
  await recordSteps(store, 'd1', steps);
  const calls = { begun: 0, ended: 0 };
  const counting = {
    readStream: async function* (stream: string, options?: ReadStreamOptions): AsyncGenerator<RecordedEvent> {
      calls.begun++;
      yield* store.readStream(stream, options);
      calls.ended++;
    },
  };
  return { counting, calls };
}

describe('A read in chunks', () => {
  it.each([
    ['forwards', 0, COUNT],
    ['forwards', 5, 1],
    ['forwards', 10, 300],
    ['forwards', 600, 9999],
    ['backwards', COUNT - 1, COUNT],
    ['backwards', 20, 16],
    ['backwards', 40, 9999],
    ['forwards', 3, 0],
  ] as const)('gives what one read gives: %s from %d, %d', async (direction, from, maxCount) => {
    const { counting } = await storeOf();
    const revisions: number[] = [];
    for await (const { revision } of readChunks(counting, 'deviceState-d1', { direction, from, maxCount })) {
      revisions.push(revision);
    }
    const step = direction === 'forwards' ? 1 : -1;
    const all = Array.from({ length: COUNT }, (_, n) => from + step * n);
    expect(revisions).toEqual(all.filter((n) => n >= 0 && n < COUNT).slice(0, maxCount));
  });

  it('breaks no call off, wherever its reader leaves it', async () => {
    const { counting, calls } = await storeOf();
    for (const end of [0, 15, 16, 100, 500]) {
      const options = { direction: 'forwards', from: 0, maxCount: COUNT } as const;
      for await (const { revision } of readChunks(counting, 'deviceState-d1', options)) {
        if (revision === end) break;
      }
    }
    expect(calls.begun).toBeGreaterThan(5);
    expect(calls.ended).toBe(calls.begun);
  });
});
