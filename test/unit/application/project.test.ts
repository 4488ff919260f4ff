import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { openSqliteReadModel } from '../../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { VIEW_SCHEMA_VERSION } from '../../../src/application/device-view.js';
import {
  EventStoreError,
  type EventStore,
  type RecordedEvent,
} from '../../../src/application/ports/event-store.js';
import { type ReadModel, ReadModelError } from '../../../src/application/ports/read-model.js';
import { Projection, type ProjectOptions } from '../../../src/application/project.js';
import { Projections } from '../../../src/application/projections.js';
import { rebuild } from '../../../src/application/rebuild.js';
import { deferred } from '../../../src/application/timing.js';
import { Histories, randomFrom } from '../../support/histories.js';
import { until } from '../../support/http.js';
import { dependenciesOf, foldOfLog, hoursOf, rowsShown, settledShown } from '../../support/projections.js';

const root = mkdtempSync(join(tmpdir(), 'project-'));
let folderCount = 0;
afterAll(() => rmSync(root, { recursive: true }));
const openModel = (): ReadModel =>
  openSqliteReadModel(join(root, String(folderCount++)), { warn: () => undefined });

const never = new AbortController().signal;

/** Fills a new generation with what the log has, and makes it the active one. */
async function projectOnce(store: EventStore, model: ReadModel, options: Partial<ProjectOptions> = {}) {
  const dependencies = dependenciesOf(store, model, options);
  await rebuild(dependencies, never);
  return dependencies.observer;
}

async function expectShown(store: EventStore, model: ReadModel): Promise<void> {
  const { rows, settled } = await foldOfLog(store);
  expect(await rowsShown(model, rows.keys())).toEqual(rows);
  expect(await settledShown(model, hoursOf(settled))).toEqual(settled);
}

describe('The projection', () => {
  let store: MemoryEventStore;
  let model: ReadModel;
  beforeEach(() => {
    store = new MemoryEventStore();
    model = openModel();
  });
  afterEach(async () => {
    await model.close();
    await store.close();
  });

  const raw = async (deviceId: string, revision: number, type: string, data: string): Promise<void> => {
    const metadata = Buffer.from(
      '{"schema":1,"$causationId":"c","source":{"topic":"t","partition":0,"offset":1,"timestamp":1,"log":"l"},"fingerprint":"f"}',
    );
    const events = [{ id: randomUUID(), type, data: Buffer.from(data), metadata }];
    await store.append([{ stream: `deviceState-${deviceId}`, expectedRevision: revision - 1, events }]);
  };
  const reported = (deviceId: string, revision: number): Promise<void> =>
    raw(
      deviceId,
      revision,
      'ReportedStateChanged',
      `{"version":${revision + 1},"timestamp":${revision},"state":{"a":${revision}}}`,
    );

  it('shows what the log folds to, whatever the histories, the batches and the memory', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(),
          devices: fc.integer({ min: 1, max: 12 }),
          commands: fc.integer({ min: 0, max: 80 }),
          batchCount: fc.integer({ min: 1, max: 40 }),
          batchBytes: fc.constantFrom(1, 2000, 1_000_000),
          cacheBytes: fc.constantFrom(0, 3000, 1_000_000),
          cuts: fc.integer({ min: 1, max: 3 }),
        }),
        async ({ seed, devices, commands, cuts, ...options }) => {
          const log = new MemoryEventStore();
          const rows = openModel();
          const histories = new Histories(randomFrom(seed), devices);
          await histories.append(log, commands);
          await projectOnce(log, rows, options);
          // Gone on with by projections of their own, from the rows alone.
          for (let cut = 0; cut < cuts; cut++) {
            await histories.append(log, commands / 2);
            const [active] = await rows.generations();
            if (active === undefined) throw new Error('There is no generation');
            const projection = new Projection(dependenciesOf(log, rows, options), active, 'live');
            await projection.run({ signal: never, onCaughtUp: () => true });
          }
          await expectShown(log, rows);
          await projectOnce(log, rows, options);
          await expectShown(log, rows);
          await rows.close();
          await log.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('marks a device whose event it does not know as broken, and goes on with the others', async () => {
    await reported('good', 0);
    await reported('bad', 0);
    await raw('bad', 1, 'FromTheFuture', '{"version":2,"timestamp":1}');
    await reported('bad', 2);
    await raw('worse', 0, 'ReportedStateChanged', '{"version":');
    await reported('good', 1);
    const observer = await projectOnce(store, model, { batchCount: 2 });
    expect(observer.broken).toEqual([
      {
        deviceId: 'bad',
        reason: expect.stringContaining(
          "deviceState-bad revision 1: Event type is not known: 'FromTheFuture'",
        ),
      },
      { deviceId: 'worse', reason: expect.stringContaining('deviceState-worse revision 0') },
    ]);
    expect(await model.find('bad')).toMatchObject({ status: 'broken', revision: 0, version: 1 });
    expect(await model.find('worse')).toMatchObject({ status: 'broken', revision: -1, version: 0 });
    expect(await model.find('good')).toMatchObject({ status: 'in-sync', revision: 1 });
    expect(await model.count()).toMatchObject({ inSync: 1, broken: 2 });
  });

  it('passes over an event that the store finds damaged', async () => {
    for (const revision of [0, 1, 2]) {
      await reported('bad', revision);
      await reported('good', revision);
    }
    const damaged: EventStore = Object.create(store) as EventStore;
    damaged.readAll = async function* (options) {
      for await (const event of store.readAll(options)) {
        if (event.stream === 'deviceState-bad' && event.revision === 1) {
          const place = { stream: event.stream, position: event.position };
          throw new EventStoreError('corrupt', 'it is damaged', { damaged: place });
        }
        yield event;
      }
    };
    const observer = await projectOnce(damaged, model);
    expect(observer.broken).toEqual([{ deviceId: 'bad', reason: 'it is damaged' }]);
    expect(await model.find('bad')).toMatchObject({ status: 'broken', revision: 0 });
    expect(await model.find('good')).toMatchObject({ revision: 2 });
  });

  it('takes a missing event for damage', async () => {
    await reported('gap', 0);
    await reported('gap', 1);
    await reported('gap', 2);
    const lossy: EventStore = Object.create(store) as EventStore;
    lossy.readAll = async function* (options) {
      for await (const event of store.readAll(options)) if (event.revision !== 1) yield event;
    };
    const observer = await projectOnce(lossy, model);
    const reason = expect.stringMatching(/^Event 1 is missing from deviceState-gap: cut off .*, or lost$/);
    expect(observer.broken).toEqual([{ deviceId: 'gap', reason }]);
  });

  it('shows a device whose stream was cut off at its start as broken, and says what that may be', async () => {
    for (const revision of [0, 1, 2, 3]) await reported('cut', revision);
    await reported('whole', 0);
    const isCut = ({ stream, revision }: RecordedEvent): boolean =>
      stream === 'deviceState-cut' && revision < 2;
    const lossy: EventStore = Object.create(store) as EventStore;
    lossy.readAll = async function* (options) {
      for await (const event of store.readAll(options)) if (!isCut(event)) yield event;
    };
    lossy.subscribe = async function* (options) {
      for await (const item of store.subscribe(options)) {
        if (item.kind !== 'event' || !isCut(item.event)) yield item;
      }
    };
    const observer = await projectOnce(lossy, model);
    const reason =
      'Events 0 to 1 are missing from deviceState-cut: cut off ($maxCount, $maxAge, $tb or a deletion of the stream), or lost';
    expect(observer.broken).toEqual([{ deviceId: 'cut', reason }]);
    expect(await model.find('cut')).toMatchObject({ status: 'broken', revision: -1, broken: reason });
    expect(await model.find('whole')).toMatchObject({ revision: 0 });
  });

  it('leaves streams alone that are no device’s', async () => {
    const events = [{ id: randomUUID(), type: 'Theirs', data: Buffer.from('x'), metadata: Buffer.from('') }];
    await store.append([{ stream: 'theirs', expectedRevision: -1, events }]);
    const observer = await projectOnce(store, model);
    expect(observer.broken).toEqual([]);
    expect((await model.generations())[0]?.checkpoint?.position).not.toBeNull();
  });

  it('writes what was folded before the event store went away, so that each try of a rebuild gets further', async () => {
    await new Histories(randomFrom(11), 10).append(store, 200);
    const away: EventStore = Object.create(store) as EventStore;
    away.readAll = async function* (options) {
      let count = 0;
      for await (const event of store.readAll(options)) {
        if (options?.maxCount === undefined && count++ === 60)
          throw new EventStoreError('unavailable', 'away');
        yield event;
      }
    };
    const dependencies = dependenciesOf(away, model, { batchCount: 1_000_000 });
    let tries = 0;
    for (let done = false; !done && tries < 20; tries++) {
      done = await rebuild(dependencies, never).then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'unavailable' });
          return false;
        },
      );
    }
    expect(tries).toBeGreaterThan(2);
    expect(tries).toBeLessThan(20);
    await expectShown(store, model);
  });

  it('goes on where the last event of a batch can only be read page by page', async () => {
    await new Histories(randomFrom(12), 5).append(store, 100);
    const damaged: EventStore = Object.create(store) as EventStore;
    damaged.readPages = async function* (after) {
      for await (const { id: _, data, metadata, ...rest } of store.readAll(
        after === undefined ? {} : { after },
      ))
        yield [{ ...rest, data: data.toString(), metadata: metadata.toString() }];
    };
    damaged.readStream = () => {
      throw new EventStoreError('corrupt', 'its index is damaged');
    };
    await rebuild(dependenciesOf(damaged, model), never);
    await expectShown(store, model);
  });

  it('says how old the oldest event is that the rows do not have yet', async () => {
    await reported('device', 0);
    await reported('device', 1);
    const [old, recent] = [1_800_000_000_000, 1_800_000_600_000];
    const aged: EventStore = Object.create(store) as EventStore;
    aged.readAll = async function* (options) {
      for await (const event of store.readAll(options))
        yield { ...event, recordedAt: event.revision === 0 ? old : recent };
    };
    const writing = deferred<void>();
    const written = deferred<void>();
    const write = model.write.bind(model);
    model.write = async (id, rows) => {
      writing.resolve();
      await written.promise;
      return write(id, rows);
    };
    const generation = await model.begin(VIEW_SCHEMA_VERSION);
    const dependencies = { ...dependenciesOf(aged, model, { batchCount: 2 }), clock: () => recent + 1000 };
    const projection = new Projection(dependencies, generation, 'live');
    const running = projection.run({ signal: never, onCaughtUp: () => true });
    await writing.promise;
    expect(projection.lagMs()).toBe(601_000);
    written.resolve();
    await running;
    expect(projection.lagMs()).toBe(0);
  });

  it('writes what waits for others also where the clock is set back, and is behind until then', async () => {
    let now = 1_800_000_000_000;
    const stop = new AbortController();
    const generation = await model.begin(VIEW_SCHEMA_VERSION);
    await model.activate(generation.id);
    const dependencies = { ...dependenciesOf(store, model, { delayMs: 1 }), clock: () => now };
    const projection = new Projection(dependencies, generation, 'live');
    const running = projection.run({ signal: stop.signal });
    await until('it has caught up', () => projection.hasCaughtUp);
    const lags: number[] = [];
    const fold = model.load.bind(model);
    model.load = async (id, deviceIds) => {
      lags.push(projection.lagMs());
      return fold(id, deviceIds);
    };
    await reported('device', 0);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 3_600_000;
    await until('it is written', () => projection.writtenPosition !== null);
    expect(lags).toEqual([expect.any(Number)]);
    expect(lags[0]).toBeGreaterThan(0);
    stop.abort();
    await running;
  });

  describe('kept by the service', () => {
    const start = (options: Partial<ProjectOptions> = {}) => {
      const dependencies = dependenciesOf(store, model, options);
      const projections = new Projections(dependencies);
      projections.start();
      return { projections, observer: dependencies.observer };
    };
    const caughtUp = async (projections: Projections): Promise<void> => {
      let last = 0n;
      for await (const { position } of store.readAll({ direction: 'backwards', maxCount: 1 }))
        last = position;
      await until('the projection has caught up', () => {
        const { position, lagMs } = projections.status();
        return (position ?? 0n) === last && lagMs === 0;
      });
    };

    it('follows the log, and says how far it is', async () => {
      const { projections, observer } = start();
      const histories = new Histories(randomFrom(1), 5);
      for (let n = 0; n < 5; n++) {
        await histories.append(store, 20);
        await caughtUp(projections);
        await expectShown(store, model);
      }
      expect(projections.status().rebuild).toBeNull();
      await projections.stop();
      expect(observer.failures).toEqual([]);
    });

    it('rebuilds beside what readers see, and swaps it', async () => {
      const histories = new Histories(randomFrom(2), 10);
      await histories.append(store, 300);
      const { projections } = start({ batchCount: 10 });
      await caughtUp(projections);
      const [before] = await model.generations();
      const count = await model.count();
      expect(projections.rebuild().rebuild).not.toBeNull();
      expect(projections.rebuild().rebuild).not.toBeNull();
      while (projections.status().rebuild !== null) {
        expect(await model.count()).toEqual(count);
        await new Promise((resolve) => setImmediate(resolve));
      }
      const after = await model.generations();
      expect(after).toHaveLength(1);
      expect(after[0]?.id).not.toBe(before?.id);
      await histories.append(store, 50);
      await caughtUp(projections);
      await expectShown(store, model);
      await projections.stop();
    });

    it('goes on with a rebuild that was interrupted', async () => {
      await new Histories(randomFrom(3), 10).append(store, 300);
      await projectOnce(store, model);
      const stop = new AbortController();
      const first = dependenciesOf(store, model, { batchCount: 10 });
      expect(await rebuild(first, stop.signal, ({ events }) => events >= 50 && stop.abort())).toBeNull();
      const building = (await model.generations()).find(({ isActive }) => !isActive);
      expect(building?.checkpoint).not.toBeNull();
      const { projections, observer } = start();
      await until('it is swapped', async () => (await model.generations())[0]?.id === building?.id);
      await caughtUp(projections);
      expect(observer.generations).toContain('resumed: rebuild');
      await expectShown(store, model);
      await projections.stop();
    });

    it('rebuilds where the rows mean something else', async () => {
      await new Histories(randomFrom(4), 3).append(store, 20);
      const { id } = await model.begin(VIEW_SCHEMA_VERSION - 1);
      await model.activate(id);
      const { projections } = start();
      await until(
        'it is swapped',
        async () => (await model.generations())[0]?.schema === VIEW_SCHEMA_VERSION,
      );
      await caughtUp(projections);
      await expectShown(store, model);
      await projections.stop();
    });

    it('shows nothing of another event store', async () => {
      await new Histories(randomFrom(5), 5).append(store, 50);
      await projectOnce(store, model);
      await store.close();
      store = new MemoryEventStore();
      await new Histories(randomFrom(6), 2).append(store, 5);
      const { projections, observer } = start();
      await caughtUp(projections);
      expect(observer.generations[0]).toBe(
        'begun: of another event store, or one whose latest events are gone',
      );
      await expectShown(store, model);
      expect(await model.find('device-4')).toBeNull();
      await projections.stop();
    });

    it('tries again what fails, and tells how far behind it is meanwhile', async () => {
      const real = model.write.bind(model);
      let failing = true;
      model.write = (id, written) =>
        failing ? Promise.reject(new ReadModelError('unavailable', 'full')) : real(id, written);
      const { projections, observer } = start();
      await new Histories(randomFrom(7), 5).append(store, 50);
      await until('it has failed twice', () => observer.failures.length >= 2);
      expect(projections.status().lagMs).toBeGreaterThan(0);
      failing = false;
      await caughtUp(projections);
      await expectShown(store, model);
      await projections.stop();
    });

    it('makes a generation anew of which a row cannot be read', async () => {
      const histories = new Histories(randomFrom(8), 3);
      await histories.append(store, 30);
      await projectOnce(store, model);
      const [active] = await model.generations();
      const row = await model.find('device-0');
      if (active === undefined || row === null) throw new Error('There is no row');
      const position = active.checkpoint?.position ?? 0n;
      await model.write(active.id, {
        rows: [{ ...row, revision: row.revision + 1, text: '{}' }],
        expected: position,
        checkpoint: { position, proof: active.checkpoint?.proof ?? null },
      });
      await histories.append(store, 30);
      const { projections } = start();
      await caughtUp(projections);
      await until('it is swapped', async () => (await model.generations())[0]?.id !== active.id);
      await expectShown(store, model);
      await projections.stop();
    });
  });
});
