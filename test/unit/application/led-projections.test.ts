import { expect, it } from '@jest/globals';
import { MemoryEventStore } from '../../../src/adapters/event-store/memory/memory-event-store.js';
import { LedProjections } from '../../../src/application/led-projections.js';
import { type Heard, type Leadership, SOLE_LEADER } from '../../../src/application/ports/leadership.js';
import { type ReadModel } from '../../../src/application/ports/read-model.js';
import { deferred } from '../../../src/application/timing.js';
import { until } from '../../support/http.js';
import { dependenciesOf } from '../../support/projections.js';

it('asks the leader for a rebuild also where that is wanted while it is listened to', async () => {
  const listening = deferred<void>();
  const heard = deferred<Heard | null>();
  let asked = 0;
  const leadership: Leadership = {
    ...SOLE_LEADER,
    lead: async () => null,
    listen: () => {
      listening.resolve();
      return heard.promise;
    },
    askForRebuild: async () => {
      asked++;
    },
  };
  // One that does not lead touches neither.
  const projections = new LedProjections({
    ...dependenciesOf(new MemoryEventStore(), {} as ReadModel),
    leadership,
  });
  projections.start();
  await listening.promise;
  expect(projections.rebuild().rebuild).not.toBeNull();
  heard.resolve({ position: null, lagMs: 1, rebuild: null });
  await until('the leader is asked', () => asked > 0);
  await until('it is told', () => projections.status().rebuild === null);
  expect(asked).toBe(1);
  await projections.stop();
});
