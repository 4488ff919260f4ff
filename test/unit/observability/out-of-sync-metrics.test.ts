import { describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import {
  type OutOfSync,
  type OutOfSyncQuery,
  ReadModelError,
} from '../../../src/application/ports/read-model.js';
import { deferred } from '../../../src/application/timing.js';
import { OutOfSyncMetrics } from '../../../src/observability/out-of-sync-metrics.js';

const NOW = 1_800_000_000_000;
const MINUTE = 60_000;

/** Answers as a read model whose devices have been out of sync since these times. */
function modelOf(...since: number[]) {
  const asked: OutOfSyncQuery[] = [];
  return {
    asked,
    outOfSync: async (query: OutOfSyncQuery): Promise<OutOfSync> => {
      asked.push(query);
      const bounds = [-Infinity, ...query.bounds, Infinity];
      const counts = bounds.slice(1).map((upTo, n) => {
        return since.filter((time) => time > Number(bounds[n]) && time <= upTo).length;
      });
      const first = Math.min(...since);
      const oldest = since.length === 0 ? [] : [{ deviceId: 'a', since: first, outstanding: 1 }];
      return { counts, openCount: 0, oldest, position: 1n };
    },
  };
}

async function shown(registry: Registry): Promise<string[]> {
  const lines = (await registry.metrics()).split('\n');
  return lines
    .filter((line) => line.startsWith('replica_'))
    .map((line) => line.replace('replica_out_of_sync_', ''));
}

describe('What is told of devices that are out of sync', () => {
  it('is how many, for longer than so many seconds, and the longest time', async () => {
    const registry = new Registry();
    const metrics = new OutOfSyncMetrics(registry, () => NOW);
    // A minute is not longer than a minute.
    metrics.watch(modelOf(NOW, NOW - MINUTE, NOW - MINUTE - 1, NOW - 16 * MINUTE, NOW - 2000 * MINUTE));
    expect(await shown(registry)).toEqual([
      'devices{longer_than="86400"} 1',
      'devices{longer_than="3600"} 1',
      'devices{longer_than="900"} 2',
      'devices{longer_than="300"} 2',
      'devices{longer_than="60"} 3',
      'devices{longer_than="0"} 5',
      'oldest_seconds 120000',
    ]);
  });

  it('is zero where none is', async () => {
    const registry = new Registry();
    new OutOfSyncMetrics(registry, () => NOW).watch(modelOf());
    expect(await shown(registry)).toEqual([
      ...['86400', '3600', '900', '300', '60', '0'].map((seconds) => `devices{longer_than="${seconds}"} 0`),
      'oldest_seconds 0',
    ]);
  });

  it('is nothing where it cannot be known', async () => {
    const registry = new Registry();
    const metrics = new OutOfSyncMetrics(registry, () => NOW);
    expect(await shown(registry)).toEqual([]);
    metrics.watch({ outOfSync: () => Promise.reject(new ReadModelError('unavailable', 'away')) });
    expect(await shown(registry)).toEqual([]);
  });

  it('is nothing, and holds nothing else up, where the read model does not answer', async () => {
    const registry = new Registry();
    const metrics = new OutOfSyncMetrics(registry, () => NOW);
    const { outOfSync } = modelOf(NOW);
    const late = deferred<void>();
    let asked = 0;
    metrics.watch({
      async outOfSync(query) {
        asked++;
        await late.promise;
        return outOfSync(query);
      },
    });
    for (let n = 0; n < 2; n++) expect(await shown(registry)).toEqual([]);
    // Those who ask meanwhile do not ask the read model again.
    expect(asked).toBe(1);
    late.resolve();
    expect(await shown(registry)).toHaveLength(7);
  });

  it('is read once for all who ask within seconds', async () => {
    const registry = new Registry();
    const model = modelOf(NOW);
    new OutOfSyncMetrics(registry, () => NOW).watch(model);
    await Promise.all([registry.metrics(), registry.metrics()]);
    await registry.metrics();
    expect(model.asked).toHaveLength(1);
  });
});
