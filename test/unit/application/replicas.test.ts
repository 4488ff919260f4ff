import { describe, expect, it } from '@jest/globals';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { type NewEvent } from '../../../src/application/ports/event-store.js';
import { Replicas } from '../../../src/application/replicas.js';
import { decide } from '../../../src/replica/decide.js';
import { evolve } from '../../../src/replica/evolve.js';
import { DEFAULT_LIMITS } from '../../../src/replica/limits.js';
import { emptyReplica, type Replica } from '../../../src/replica/replica.js';
import { RecordingObserver } from '../../support/replica-process.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** A replica as updates make it, each naming `members` small members; not one that was loaded and so counted. */
function updated(deviceId: string, members: number): Replica {
  const replica = emptyReplica(deviceId);
  const fields = Array.from({ length: members }, (_, i) => [`${deviceId}-${i}`, i] as const);
  const origin = {
    commandId: deviceId,
    fingerprint: 'update:x',
    source: { topic: 't', partition: 0, offset: 1, timestamp: 1, log: 'l' },
  };
  const decision = decide(
    replica,
    {
      kind: 'update',
      origin,
      state: { reported: Object.fromEntries(fields), desired: Object.fromEntries(fields) },
    },
    1,
    { limits: DEFAULT_LIMITS, unchangedUpdates: 'record' },
  );
  if (decision.kind !== 'accepted') throw new Error('The update was refused');
  decision.events.forEach((event, index) => evolve(replica, event, origin, index));
  return replica;
}

/** Puts so many replicas into a cache of so many bytes, and tells how much more of the heap is used then. */
function filled(maxBytes: number, count: number, members: number): { replicas: Replicas; used: number } {
  const replicas = new Replicas(new MemoryEventStore(), new RecordingObserver(), maxBytes);
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < count; i++) replicas.putBack(updated(`device-${i}`, members));
  collectGarbage();
  return { replicas, used: process.memoryUsage().heapUsed - before };
}

describe('the cache of replicas', () => {
  it.each([2, 20, 60])(
    'estimates no less than half of what replicas of %d members a section take',
    (members) => {
      const { replicas, used } = filled(1 << 30, 2000, members);
      expect(replicas.size.count).toBe(2000);
      expect(replicas.size.bytes).toBeGreaterThan(used / 2);
    },
  );

  it.each([2, 20, 60])(
    'estimates no less than half of what packed ones of %d members a section take',
    (members) => {
      const { replicas, used } = filled(1 << 20, 3000, members);
      expect(replicas.size.packedCount).toBeGreaterThan(replicas.size.count / 2);
      expect(replicas.size.bytes).toBeGreaterThan(used / 2);
    },
  );

  it('lets go of the least used when they are more than it may hold', () => {
    const replicas = new Replicas(new MemoryEventStore(), new RecordingObserver(), 1 << 20);
    for (let i = 0; i < 2000; i++) replicas.putBack(updated(`device-${i}`, 20));
    expect(replicas.size.bytes).toBeLessThanOrEqual(1 << 20);
    expect(replicas.size.count).toBeLessThan(1000);
    expect(replicas.size.count - replicas.size.packedCount).toBeLessThan(500);
    expect(replicas.takeCached('device-0')).toBeUndefined();
    expect(replicas.takeCached('device-1999')?.deviceId).toBe('device-1999');
  });

  it('counts the documents that it keeps, and none that would push its replica out', async () => {
    const store = new MemoryEventStore();
    const replica = updated('device-0', 20);
    await store.append([{ stream: 'deviceState-device-0', expectedRevision: -1, events: twoEvents() }]);
    const shownBy = (maxBytes: number): [before: number, after: number, shown: string] => {
      const replicas = new Replicas(store, new RecordingObserver(), maxBytes);
      replicas.putBack(replica);
      const before = replicas.size.bytes;
      const { head } = replicas.show('device-0') ?? { head: '' };
      expect(replicas.size.count).toBe(1);
      return [before, replicas.size.bytes, head];
    };
    const [before, after, head] = shownBy(1 << 20);
    expect(head.length).toBeGreaterThan(500);
    expect(after - before).toBeGreaterThanOrEqual(head.length);
    expect(shownBy(before)).toEqual([before, before, head]);
  });
});

/** What {@link updated} stands for in the store: the cache asks for their number alone. */
function twoEvents(): NewEvent[] {
  return ['1', '2'].map((end) => ({
    id: `00000000-0000-4000-8000-00000000000${end}`,
    type: 'ReportedStateChanged',
    data: Buffer.from('{}'),
    metadata: Buffer.from('{}'),
  }));
}
