import { describe, expect, it } from '@jest/globals';
import { type Admin } from 'kafkajs';
import { Positions } from '../../../src/adapters/bus/kafka/positions.js';

/** Brokers without topic ids; the group has committed nothing. */
function adminOf(high: number): Admin {
  const bounds = [{ partition: 0, offset: String(high), low: '0', high: String(high) }];
  return {
    fetchTopicMetadata: async () => ({ topics: [] }),
    fetchOffsets: async () => [],
    fetchTopicOffsets: async () => bounds,
  } as unknown as Admin;
}

describe('The positions of the intake', () => {
  it('are not moved in a new life of a log by work that was done in the one before', async () => {
    const positions = new Positions();
    await positions.place(adminOf(5_000), 'group', { 'state.update': [0] });
    const { log } = positions.get('state.update', 0) ?? { log: '' };
    positions.advance('state.update', 0, { log, next: 4_000 });
    expect(positions.get('state.update', 0)).toEqual({ log, next: 4_000 });

    // Made anew, and found so while the commit of the last unit was under way.
    await positions.place(adminOf(10), 'group', { 'state.update': [0] });
    positions.advance('state.update', 0, { log, next: 4_100 });

    expect(positions.get('state.update', 0)?.log).not.toBe(log);
    expect(positions.get('state.update', 0)?.next).toBe(0);
  });
});
