import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  MemoryEventStore,
  MemoryStorage,
} from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { compareEvents } from '../../../src/application/compare-events.js';
import { copyEvents, OtherEventsError } from '../../../src/application/copy-events.js';
import {
  type AppendResult,
  EventStoreError,
  type RecordedEvent,
  type StreamAppend,
} from '../../../src/application/ports/event-store.js';

/** A log of so many events: each number is the stream of the next append, of one to three events. */
async function logOf(streams: readonly number[]): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  const store = new MemoryEventStore({ storage });
  for (const [index, number] of streams.entries()) {
    const stream = `deviceState-${number}`;
    const expectedRevision = (storage.streams.get(stream)?.length ?? 0) - 1;
    const events = Array.from({ length: 1 + (index % 3) }, (_, at) => ({
      id: randomUUID(),
      type: at === 1 ? 'DesiredStateChanged' : 'ReportedStateChanged',
      data: Buffer.from(`{"n":${index}.0,  "é":"€"}`),
      metadata: Buffer.from(`{"at":${at}}`),
    }));
    await store.append([{ stream, expectedRevision, events }]);
  }
  return storage;
}

/** A storage that holds only these events of another one. */
function partOf(storage: MemoryStorage, events: readonly RecordedEvent[]): MemoryStorage {
  const part = new MemoryStorage();
  // Positions of its own, as another store has.
  part.nextPosition = 7n;
  for (const event of events) {
    const kept = { ...event, position: part.nextPosition++ };
    part.log.push(kept);
    part.streams.set(event.stream, [...(part.streams.get(event.stream) ?? []), kept]);
  }
  return part;
}

const shown = ({ log }: MemoryStorage) =>
  log.map(({ stream, revision, id, type, data, metadata }) =>
    [stream, revision, id, type, data.toString(), metadata.toString()].join(' '),
  );

const opened = (storage: MemoryStorage): MemoryEventStore => new MemoryEventStore({ storage });

const streams = fc.array(fc.nat({ max: 3 }), { maxLength: 30 });

/** A store that takes appends in another order than they were sent in, or not at all, or without saying so. */
class UnrulyStore extends MemoryEventStore {
  private waiting: (() => void)[] = [];

  constructor(
    storage: MemoryStorage,
    private readonly random: () => number,
    private readonly failing: boolean,
  ) {
    super({ storage });
  }

  override async append(appends: readonly StreamAppend[]): Promise<AppendResult[]> {
    await new Promise<void>((resolve) => {
      this.waiting.push(resolve);
      setImmediate(() => this.waiting.splice(Math.floor(this.random() * this.waiting.length), 1)[0]?.());
    });
    const what = this.failing ? this.random() : 1;
    if (what >= 0.3) return super.append(appends);
    if (what >= 0.15) await super.append(appends);
    const code = what >= 0.15 ? 'outcome-unknown' : 'unavailable';
    return appends.map(() => ({ kind: 'failed', error: new EventStoreError(code, 'as the test asked') }));
  }
}

describe('copyEvents', () => {
  it('copies the log in its order, byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(
        streams,
        fc.integer({ min: 1, max: 7 }),
        fc.constantFrom(1, 80, 10_000),
        async (plan, batchCount, appendBytes) => {
          const source = await logOf(plan);
          const target = new MemoryStorage();
          const copied = await copyEvents(opened(source), opened(target), { batchCount, appendBytes });
          expect(shown(target)).toEqual(shown(source));
          expect(copied).toEqual({
            events: source.log.length,
            resumed: false,
            lastPosition: source.log.at(-1)?.position ?? null,
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('goes on where an earlier run stopped, wherever that was', async () => {
    const source = await logOf([0, 1, 0, 0, 2, 1, 0, 0, 0, 1, 2, 2, 0, 1, 0]);
    for (let count = 0; count <= source.log.length; count++) {
      for (const batchCount of [1, 2, 3, 5, 1000]) {
        const target = partOf(source, source.log.slice(0, count));
        const { resumed, events } = await copyEvents(opened(source), opened(target), { batchCount });
        expect(shown(target)).toEqual(shown(source));
        expect(resumed).toBe(count > 0);
        // It does not begin anew.
        expect(events).toBeLessThanOrEqual(source.log.length - count + batchCount + 1);
      }
    }
  });

  it('fills in what is missing of the batch in which an earlier run was stopped', async () => {
    const source = await logOf([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    const whole = source.log.slice(0, 10);
    const batch = source.log.slice(10, 18);
    for (const gone of [0, 1, 2, 3]) {
      const target = partOf(source, [
        ...whole,
        ...batch.filter(({ stream }) => stream !== `deviceState-${gone}`),
      ]);
      await copyEvents(opened(source), opened(target), { batchCount: 8 });
      expect(shown(target).sort()).toEqual(shown(source).sort());
    }
  });

  it('finds an equal target equal, and changes nothing in it', async () => {
    const source = await logOf([0, 1, 0, 2]);
    const target = partOf(source, source.log);
    await copyEvents(opened(source), opened(target));
    expect(shown(target)).toEqual(shown(source));
  });

  it('reaches the same where the target takes appends out of their order, or seems to lose them', async () => {
    await fc.assert(
      fc.asyncProperty(
        streams,
        fc.boolean(),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        async (plan, failing, numbers) => {
          const source = await logOf(plan);
          const target = new MemoryStorage();
          const random = (): number => (numbers.next() as IteratorResult<number, undefined>).value ?? 0.5;
          let left = failing ? 12 : 100;
          const unruly = new UnrulyStore(target, random, failing);
          const store = Object.assign(unruly, {
            append: (appends: readonly StreamAppend[]) =>
              // In the end the store is well, or the test would wait as long as a user would.
              left-- > 0
                ? UnrulyStore.prototype.append.call(unruly, appends)
                : MemoryEventStore.prototype.append.call(unruly, appends),
          });
          await copyEvents(opened(source), store, { batchCount: 9, pauseMs: 1, tries: 20 });
          expect(shown(target).sort()).toEqual(shown(source).sort());
        },
      ),
      { numRuns: 15 },
    );
  });

  it.each([
    ['another id', (event: RecordedEvent) => ({ ...event, id: randomUUID() })],
    ['another stream', (event: RecordedEvent) => ({ ...event, stream: 'deviceState-other', revision: 0 })],
  ])('refuses a target whose last event has %s', async (_, change) => {
    const source = await logOf([0, 1, 0, 2]);
    const events = source.log.slice(0, 3);
    const target = partOf(source, [...events.slice(0, -1), change(events.at(-1) as RecordedEvent)]);
    const before = shown(target);
    await expect(copyEvents(opened(source), opened(target))).rejects.toThrow(OtherEventsError);
    expect(shown(target)).toEqual(before);
  });

  it('refuses a target that has other events behind its last one', async () => {
    const source = await logOf([0, 1, 0, 2, 0]);
    const other = { ...(source.log[0] as RecordedEvent), id: randomUUID() };
    const target = partOf(source, [other, ...source.log.slice(1, 4)]);
    await expect(copyEvents(opened(source), opened(target))).rejects.toThrow(OtherEventsError);
  });

  it('refuses a target that has events, where the source has none', async () => {
    const copying = copyEvents(opened(new MemoryStorage()), opened(await logOf([0])));
    await expect(copying).rejects.toThrow(OtherEventsError);
  });

  it('fails with an error that cannot be tried again, or is there too often', async () => {
    const source = opened(await logOf([0]));
    for (const [code, calls] of [
      ['too-large', 1],
      ['unavailable', 3],
    ] as const) {
      const target = opened(new MemoryStorage());
      let called = 0;
      target.append = async (appends) => {
        called++;
        return appends.map(() => ({ kind: 'failed', error: new EventStoreError(code, 'as the test asked') }));
      };
      await expect(copyEvents(source, target, { tries: 2, pauseMs: 1 })).rejects.toMatchObject({ code });
      expect(called).toBe(calls);
    }
  });

  it('leaves to the next run what is recorded in the source meanwhile', async () => {
    const source = await logOf([0, 1, 0]);
    const count = source.log.length;
    const target = new MemoryStorage();
    let grown = false;
    const growing = opened(target);
    growing.append = async (appends) => {
      if (!grown) {
        grown = true;
        const event = {
          id: randomUUID(),
          type: 'Later',
          data: Buffer.from('{}'),
          metadata: Buffer.from('{}'),
        };
        await opened(source).append([{ stream: 'deviceState-9', expectedRevision: -1, events: [event] }]);
      }
      return MemoryEventStore.prototype.append.call(growing, appends);
    };
    const { lastPosition } = await copyEvents(opened(source), growing, { batchCount: 1 });
    expect(target.log).toHaveLength(count);
    expect(await compareEvents(opened(source), opened(target), { lastPosition })).toMatchObject({
      differences: [],
    });
    await copyEvents(opened(source), opened(target));
    expect(shown(target)).toEqual(shown(source));
  });

  it('never holds more than one batch, however long the log is', async () => {
    const storage = await logOf(Array.from({ length: 500 }, (_, n) => n % 5));
    const source = opened(storage);
    let held = 0;
    let mostHeld = 0;
    source.readAll = async function* (options) {
      for await (const event of MemoryEventStore.prototype.readAll.call(source, options)) {
        if (options?.direction !== 'backwards' && options?.maxCount === undefined) held++;
        mostHeld = Math.max(mostHeld, held);
        yield event;
      }
    };
    const target = opened(new MemoryStorage());
    target.append = async (appends) => {
      const results = await MemoryEventStore.prototype.append.call(target, appends);
      held -= appends.reduce((sum, { events }) => sum + events.length, 0);
      return results;
    };
    await copyEvents(source, target, { batchCount: 20 });
    expect(held).toBe(0);
    expect(mostHeld).toBe(20);
    await copyEvents(source, opened(new MemoryStorage()), { batchCount: 1000, batchBytes: 300 });
  });

  it('tells how far it is', async () => {
    const source = opened(await logOf([0, 1, 2, 0, 1, 2]));
    const told: { events: number; share: number }[] = [];
    await copyEvents(source, opened(new MemoryStorage()), {
      batchCount: 4,
      onProgress: (each) => told.push(each),
    });
    expect(told.map(({ events }) => events)).toEqual([4, 8, 12]);
    expect(told.at(-1)?.share).toBe(1);
    const shares = told.map(({ share }) => share);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
  });
});

describe('compareEvents', () => {
  const plan = [0, 1, 2, 0, 1, 2, 3];

  it('finds a copy the same, whatever the order of its streams is', async () => {
    const source = await logOf(plan);
    const byStream = [...source.log].sort(
      (a, b) => a.stream.localeCompare(b.stream) || a.revision - b.revision,
    );
    const target = partOf(source, byStream);
    expect(await compareEvents(opened(source), opened(target))).toEqual({
      sourceCount: source.log.length,
      targetCount: source.log.length,
      differences: [],
    });
  });

  const changes: [string, (log: RecordedEvent[]) => void][] = [
    ['an id', (log) => Object.assign(log[4] as RecordedEvent, { id: randomUUID() })],
    ['a type', (log) => Object.assign(log[4] as RecordedEvent, { type: 'Other' })],
    ['a byte of the data', (log) => Object.assign(log[4] as RecordedEvent, { data: Buffer.from('{"n":9}') })],
    [
      'a byte of the metadata',
      (log) => Object.assign(log[4] as RecordedEvent, { metadata: Buffer.from('{}') }),
    ],
    [
      'a byte that went from the data to the metadata',
      (log) => {
        const event = log[4] as RecordedEvent;
        const { data, metadata } = event;
        Object.assign(event, {
          data: data.subarray(0, -1),
          metadata: Buffer.concat([data.subarray(-1), metadata]),
        });
      },
    ],
    ['a missing event', (log) => void log.pop()],
    [
      'the order of two events of a stream',
      (log) => {
        const [a, b] = [log[1] as RecordedEvent, log[2] as RecordedEvent];
        [log[1], log[2]] = [
          { ...b, revision: a.revision },
          { ...a, revision: b.revision },
        ];
      },
    ],
  ];

  it.each(changes)('sees %s', async (_, change) => {
    const source = await logOf(plan);
    const log = source.log.map((event) => ({ ...event }));
    change(log);
    for (const [one, other] of [
      [source, partOf(source, log)],
      [partOf(source, log), source],
    ] as const) {
      const { differences } = await compareEvents(opened(one), opened(other));
      expect(differences).toHaveLength(1);
      expect(differences[0]?.stream).toMatch(/^deviceState-\d$/);
    }
  });

  it('counts a stream that only one side has', async () => {
    const source = await logOf(plan);
    const target = partOf(
      source,
      source.log.filter(({ stream }) => stream !== 'deviceState-3'),
    );
    expect((await compareEvents(opened(source), opened(target))).differences).toEqual([
      { stream: 'deviceState-3', sourceCount: 1, targetCount: 0 },
    ]);
  });

  it('finds two empty stores the same', async () => {
    const comparison = await compareEvents(opened(new MemoryStorage()), opened(new MemoryStorage()), {
      lastPosition: null,
    });
    expect(comparison).toEqual({ sourceCount: 0, targetCount: 0, differences: [] });
  });
});
