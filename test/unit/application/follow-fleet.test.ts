import { describe, expect, it } from '@jest/globals';
import { followFleetSuite } from '../../support/fleet-following.js';
import {
  MemoryEventStore,
  MemoryStorage,
} from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { parseFleetId } from '../../../src/application/fleet-tail.js';

describe('parseFleetId', () => {
  it('reads ids and positions', () => {
    expect(parseFleetId('17.1')).toEqual({ position: 17n, part: 1 });
    expect(parseFleetId('17')).toEqual({ position: 17n, part: 3 });
    expect(parseFleetId('0')).toEqual({ position: 0n, part: 3 });
  });

  it.each(['', '-1', '1.4', '1.', '.1', '1.0 ', 'x', '1e3', '999999999999999999999'])('refuses %j', (id) => {
    expect(parseFleetId(id)).toBeNull();
  });
});

followFleetSuite('memory', async () => {
  const storage = new MemoryStorage();
  return {
    open: () => new MemoryEventStore({ storage }),
    close: async () => undefined,
  };
});
