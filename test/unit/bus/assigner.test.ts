import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { assignCoPartitioned } from '../../../src/adapters/bus/kafka/assigner.js';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('The assignment of partitions', () => {
  it('gives each member a run of partitions, the same of every topic', () => {
    const assignment = assignCoPartitioned(['b', 'a'], { update: numbers(4), get: numbers(4) });
    expect(Object.fromEntries(assignment)).toEqual({
      a: { update: [0, 1], get: [0, 1] },
      b: { update: [2, 3], get: [2, 3] },
    });
  });

  it('gives members beyond the partitions nothing, and topics with fewer partitions what they have', () => {
    const assignment = assignCoPartitioned(['a', 'b', 'c'], { update: numbers(2), get: numbers(1) });
    expect(Object.fromEntries(assignment)).toEqual({
      a: { update: [0], get: [0] },
      b: { update: [1] },
      c: {},
    });
  });

  it('has one owner for each partition number, fair shares, and no regard to the order of members', () => {
    const members = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 8 });
    const counts = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(members, counts, (ids, partitionCounts) => {
        const topics = Object.fromEntries(
          partitionCounts.map((count, index) => [`topic-${index}`, numbers(count)]),
        );
        const assignment = assignCoPartitioned(ids, topics);
        expect(assignCoPartitioned([...ids].reverse(), topics)).toEqual(assignment);

        const owners = new Map<number, string>();
        const found: string[] = [];
        for (const [member, share] of assignment) {
          for (const [topic, partitions] of Object.entries(share)) {
            for (const partition of partitions) {
              found.push(`${topic}/${partition}`);
              expect(owners.get(partition) ?? member).toBe(member);
              owners.set(partition, member);
            }
          }
        }
        const all = Object.entries(topics).flatMap(([topic, partitions]) =>
          partitions.map((each) => `${topic}/${each}`),
        );
        expect(found.sort()).toEqual(all.sort());

        const sizes = ids.map((id) => [...owners.values()].filter((owner) => owner === id).length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
