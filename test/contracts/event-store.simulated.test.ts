import { describe } from '@jest/globals';
import { Random } from '../simulation/kernel/random.js';
import { Actor, Scheduler } from '../simulation/kernel/scheduler.js';
import { Trace } from '../simulation/kernel/trace.js';
import { EventStorage, SimulatedEventStore, storeErrorOf } from '../simulation/world/event-store.js';
import { Line, Server } from '../simulation/world/line.js';
import { eventStoreContract } from './event-store.contract.js';

const PAGE_COUNT = 7;

describe.each([false, true])('embedded: %s', (isEmbedded) => {
  eventStoreContract('simulated, without faults', () => {
    // With equal latencies nothing overtakes: that appends can is a fault that the simulation plays.
    const random = Object.assign(new Random(1), { next: () => 0.5 });
    const scheduler = new Scheduler(random, new Trace());
    let isOver = false;
    // Whatever is scheduled happens as soon as it is.
    const running = (async () => {
      while (!isOver) {
        await scheduler.run(() => isOver, Infinity);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const server = new Server(new Actor('store'), { mean: 1, slow: 0 });
    const watcher = { recorded: () => undefined };
    let storage = new EventStorage(server, Date.now, watcher);
    const reopen = async (): Promise<SimulatedEventStore> => {
      const line = new Line(scheduler, random, new Actor('client'), server, {
        timeoutMs: 1000,
        errorOf: storeErrorOf,
      });
      return new SimulatedEventStore(storage, line, scheduler, { isEmbedded, pageCount: PAGE_COUNT });
    };
    return {
      open: () => {
        storage = new EventStorage(server, Date.now, watcher);
        return reopen();
      },
      reopen,
      dispose: async () => {
        isOver = true;
        await running;
      },
    };
  });
});
