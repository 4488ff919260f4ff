import { describe, expect, it } from '@jest/globals';
import { Slabs } from '../../../src/adapters/bus/kafka/slabs.js';

const MEBI = 1024 * 1024;

describe('Buffers of requests', () => {
  it('are used again once they were given back, and not before', () => {
    const slabs = new Slabs();
    const first = slabs.take(MEBI);
    const second = slabs.take(MEBI);
    expect(second).not.toBe(first);
    slabs.giveBack(first);
    expect(slabs.take(MEBI - 1)).toBe(first);
    expect(slabs.take(MEBI)).not.toBe(first);
  });

  it('are as large as asked for, whatever is free', () => {
    const slabs = new Slabs();
    slabs.giveBack(slabs.take(MEBI));
    for (const bytes of [1, 100_000, MEBI, 3 * MEBI, 9 * MEBI]) {
      expect(slabs.take(bytes).length).toBeGreaterThanOrEqual(bytes);
    }
  });

  it('are kept neither when small, nor when huge, nor in any number', () => {
    const slabs = new Slabs();
    for (const bytes of [100, 9 * MEBI]) {
      const one = slabs.take(bytes);
      slabs.giveBack(one);
      expect(slabs.take(bytes)).not.toBe(one);
    }
    const many = Array.from({ length: 10 }, () => slabs.take(MEBI));
    for (const each of many) slabs.giveBack(each);
    const again = new Set(Array.from({ length: 10 }, () => slabs.take(MEBI)));
    expect(many.filter((each) => again.has(each))).toHaveLength(4);
  });
});
