import { describe, expect, it } from '@jest/globals';
import { estimateBytes, ReplicaCache } from '../../../src/application/replica-cache.js';
import { countBytes } from '../../../src/replica/evolve.js';
import { emptyReplica, type Replica } from '../../../src/replica/replica.js';
import { commandOf, execute, origin, RECORD, update } from '../support/scenario.js';

function replicaOf(deviceId: string, members = 20): Replica {
  const replica = emptyReplica(deviceId);
  const reported = Object.fromEntries(Array.from({ length: members }, (_, i) => [`${deviceId}-${i}`, i]));
  execute(replica, commandOf(update({ reported, desired: { target: 1 } }), origin(1)), 5, RECORD);
  countBytes(replica);
  return replica;
}

const ONE = estimateBytes(replicaOf('device-000'));
const idOf = (n: number): string => `device-${String(n).padStart(3, '0')}`;

function filled(maxBytes: number, count: number): ReplicaCache {
  const cache = new ReplicaCache(maxBytes);
  for (let n = 0; n < count; n++) cache.put({ replica: replicaOf(idOf(n)), shown: null });
  return cache;
}

describe('The cache of replicas', () => {
  it('packs none where all fit', () => {
    const cache = filled(10 * ONE, 10);
    expect(cache.size).toEqual({ count: 10, packedCount: 0, bytes: 10 * ONE });
  });

  it('holds several times as many once it packs those that were not used for longest', () => {
    const cache = filled(10 * ONE, 25);
    expect(cache.size.count).toBe(25);
    expect(cache.size.packedCount).toBeGreaterThanOrEqual(15);
    expect(cache.size.bytes).toBeLessThanOrEqual(10 * ONE);
  });

  it('gives each back as it was put in, packed or not', () => {
    const cache = filled(10 * ONE, 25);
    for (let n = 0; n < 25; n++) expect(cache.take(idOf(n))).toEqual(replicaOf(idOf(n)));
    expect(cache.size).toEqual({ count: 0, packedCount: 0, bytes: 0 });
  });

  it('has nothing twice, and never what is older than what was put in last', () => {
    const cache = filled(10 * ONE, 25);
    const changed = replicaOf(idOf(0), 3);
    cache.put({ replica: changed, shown: null });
    expect(cache.size.count).toBe(25);
    for (let n = 30; n < 55; n++) cache.put({ replica: replicaOf(idOf(n)), shown: null });
    const found = cache.take(idOf(0));
    if (found !== undefined) expect(found).toEqual(changed);
    expect(cache.take(idOf(0))).toBeUndefined();
  });

  it('lets go of the ones packed first, and keeps a quarter of its room for those that are ready', () => {
    const cache = filled(10 * ONE, 200);
    const { count, packedCount, bytes } = cache.size;
    expect(bytes).toBeLessThanOrEqual(10 * ONE);
    expect(count).toBeLessThan(100);
    expect(count - packedCount).toBeGreaterThanOrEqual(2);
    expect(count - packedCount).toBeLessThanOrEqual(4);
    expect(cache.take(idOf(0))).toBeUndefined();
    expect(cache.take(idOf(200 - count))).toEqual(replicaOf(idOf(200 - count)));
    expect(cache.take(idOf(199))).toEqual(replicaOf(idOf(199)));
  });

  it('makes ready what is looked at, with the document that is shown of it', () => {
    const cache = filled(10 * ONE, 25);
    const { packedCount } = cache.size;
    const kept = cache.get(idOf(3));
    expect(kept).toEqual({ replica: replicaOf(idOf(3)), shown: null });
    if (kept === undefined) return;
    const shown = { stream: 'deviceState-d', version: 1, timestamp: 5, head: 'x'.repeat(100) };
    cache.show(kept, shown);
    expect(cache.get(idOf(3))).toEqual({ ...kept, shown });
    expect(cache.size.count).toBe(25);
    expect(cache.size.packedCount).toBeLessThanOrEqual(packedCount + 1);
    expect(cache.size.bytes).toBeLessThanOrEqual(10 * ONE);
    expect(cache.get('device-999')).toBeUndefined();
  });

  it('does not keep what is larger than itself, nor let it drive out the others', () => {
    const cache = filled(10 * ONE, 10);
    cache.put({ replica: replicaOf(idOf(3), 1000), shown: null });
    expect(cache.size.count).toBe(9);
    expect(cache.take(idOf(3))).toBeUndefined();
  });

  it('keeps nothing where it has no room', () => {
    expect(filled(0, 3).size).toEqual({ count: 0, packedCount: 0, bytes: 0 });
  });
});
