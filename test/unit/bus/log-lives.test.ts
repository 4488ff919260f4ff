import { describe, expect, it } from '@jest/globals';
import {
  decideStart,
  decodeLog,
  encodeLog,
  type PartitionFacts,
} from '../../../src/adapters/bus/kafka/log-lives.js';

const facts: PartitionFacts = { low: 0, high: 100, topicId: 'id-1', committed: null, remembered: null };

describe('Where to start in a partition', () => {
  it('is the beginning where nothing was committed', () => {
    expect(decideStart({ ...facts, low: 7 })).toEqual({ offset: 7, log: 'id-1', reason: 'first' });
  });

  it('is the committed offset of the same life', () => {
    const committed = { offset: 40, log: 'id-1' };
    expect(decideStart({ ...facts, committed })).toEqual({ offset: 40, log: 'id-1', reason: 'resumed' });
  });

  it('is the beginning of a topic that was made anew, be it shorter or longer', () => {
    for (const high of [3, 40, 1000]) {
      const committed = { offset: 40, log: 'id-0' };
      expect(decideStart({ ...facts, high, committed })).toEqual({
        offset: 0,
        log: 'id-1',
        reason: 'made-anew',
      });
    }
  });

  it('is where an operator set it, whose commit names no log', () => {
    const committed = { offset: 40, log: null };
    expect(decideStart({ ...facts, committed })).toEqual({ offset: 40, log: 'id-1', reason: 'resumed' });
  });

  it('is the first command there where those at the committed offset expired', () => {
    const committed = { offset: 40, log: 'id-1' };
    expect(decideStart({ ...facts, low: 50, committed })).toEqual({
      offset: 50,
      log: 'id-1',
      reason: 'expired',
    });
  });

  it('is the end of a log that was cut short', () => {
    const committed = { offset: 140, log: 'id-1' };
    expect(decideStart({ ...facts, committed })).toEqual({ offset: 100, log: 'id-1', reason: 'truncated' });
  });

  it('is what this process remembers where the commit was lost, and the commit where there is one', () => {
    const remembered = { offset: 60, log: 'id-1' };
    expect(decideStart({ ...facts, remembered })).toEqual({ offset: 60, log: 'id-1', reason: 'resumed' });
    const committed = { offset: 70, log: 'id-1' };
    expect(decideStart({ ...facts, remembered, committed })).toMatchObject({ offset: 70 });
  });

  describe('on brokers without topic ids', () => {
    const withoutIds = { ...facts, topicId: null };

    it('keeps the name of the log that was drawn at first', () => {
      const first = decideStart(withoutIds);
      expect(first.log).toMatch(/^r-/);
      const again = decideStart({ ...withoutIds, committed: { offset: 5, log: first.log } });
      expect(again).toEqual({ offset: 5, log: first.log, reason: 'resumed' });
    });

    it('draws a new one when the log ends before the committed offset', () => {
      const start = decideStart({ ...withoutIds, high: 3, committed: { offset: 5, log: 'r-1' } });
      expect(start).toMatchObject({ offset: 0, reason: 'made-anew' });
      expect(start.log).not.toBe('r-1');
    });

    it('takes the id over, without starting again, when the brokers learn of ids', () => {
      const start = decideStart({ ...facts, committed: { offset: 5, log: 'r-1' } });
      expect(start).toEqual({ offset: 5, log: 'id-1', reason: 'resumed' });
    });
  });

  it('reads back what commits say, and nothing from what others wrote there', () => {
    expect(decodeLog(encodeLog('id-1'))).toBe('id-1');
    for (const metadata of [null, '', 'text', 'null', '{}', '{"log":1}', '[]', '7']) {
      expect(decodeLog(metadata)).toBeNull();
    }
  });
});
