import { describe, expect, it } from '@jest/globals';
import { type EventRow } from '../../../src/application/event-row.js';
import { replay, type ReplayOptions } from '../../../src/application/replay.js';

/** Rows at these times, in milliseconds after the first. */
function* rowsAt(...times: number[]): Generator<EventRow> {
  for (const [index, time] of times.entries()) {
    yield {
      position: BigInt(index + 1),
      deviceId: 'a',
      version: index + 1,
      revision: index,
      type: 'ReportedStateChanged',
      section: 'reported',
      state: {},
      scope: null,
      timestamp: 1_000_000 + time,
      recordedAt: 0,
      sourceTimestamp: 0,
      clientToken: null,
      messageId: null,
      correlationId: null,
      topic: 't',
      partition: 0,
      offset: index,
      commandId: '',
      eventId: '',
    };
  }
}

async function* async_<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

/** A clock that a wait moves on, and what was published when. */
class Stand {
  now = 5_000;
  readonly published: { readonly at: number; readonly positions: number[] }[] = [];
  readonly controller = new AbortController();
  sendMs = 0;

  run(rows: Iterable<EventRow>, options: Partial<ReplayOptions> = {}) {
    const target = {
      publish: async (batch: readonly EventRow[]) => {
        this.published.push({
          at: this.now - 5_000,
          positions: batch.map(({ position }) => Number(position)),
        });
        this.now += this.sendMs;
      },
    };
    return replay(async_(rows), target, {
      speed: 1,
      signal: this.controller.signal,
      now: () => this.now,
      wait: async (milliseconds) => {
        this.now += milliseconds;
      },
      ...options,
    });
  }
}

describe('a replay', () => {
  it('keeps the pace of the events; what is due together goes together', async () => {
    const stand = new Stand();
    const done = await stand.run(rowsAt(0, 0, 1000, 1000, 4000));
    expect(stand.published).toEqual([
      { at: 0, positions: [1, 2] },
      { at: 1000, positions: [3, 4] },
      { at: 4000, positions: [5] },
    ]);
    expect(done).toEqual({ events: 5, lastPosition: 5n, isInterrupted: false });
  });

  it('is faster, or as fast as can be', async () => {
    const fast = new Stand();
    await fast.run(rowsAt(0, 1000, 4000), { speed: 10 });
    expect(fast.published.map(({ at }) => at)).toEqual([0, 100, 400]);
    const max = new Stand();
    await max.run(rowsAt(0, 1000, 40_000_000), { speed: Infinity, batchCount: 2 });
    expect(max.published).toEqual([
      { at: 0, positions: [1, 2] },
      { at: 0, positions: [3] },
    ]);
  });

  it('holds nothing up where times go back, or the target was slow', async () => {
    const back = new Stand();
    await back.run(rowsAt(0, 1000, 400, 1000, 1500));
    expect(back.published.map(({ at }) => at)).toEqual([0, 1000, 1500]);
    const slow = new Stand();
    slow.sendMs = 2500;
    await slow.run(rowsAt(0, 1000, 2000, 3000));
    expect(slow.published).toEqual([
      { at: 0, positions: [1] },
      { at: 2500, positions: [2, 3] },
      { at: 5000, positions: [4] },
    ]);
  });

  it('waits longer than a timer holds', async () => {
    const stand = new Stand();
    const year = 366 * 24 * 3_600_000;
    await stand.run(rowsAt(0, year));
    expect(stand.published.map(({ at }) => at)).toEqual([0, year]);
  });

  it('ends after what is on its way when it is told to, and says how far it came', async () => {
    const stand = new Stand();
    const done = await stand.run(rowsAt(0, 10, 20, 1000), {
      onProgress: (events) => {
        if (events === 2) stand.controller.abort();
      },
    });
    expect(done).toEqual({ events: 2, lastPosition: 2n, isInterrupted: true });
    expect(stand.published.map(({ positions }) => positions)).toEqual([[1], [2]]);
  });

  it('has nothing to say of no events', async () => {
    expect(await new Stand().run([])).toEqual({ events: 0, lastPosition: null, isInterrupted: false });
  });
});
