import { get } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { TimeTravelController } from '../../src/adapters/http/time-travel.controller.js';
import { BUS } from '../../src/adapters/http/tokens.js';
import { TimeTravel } from '../../src/application/time-travel.js';
import { deferred } from '../../src/application/timing.js';
import { CommandLog } from '../support/command-log.js';
import { until } from '../support/http.js';
import { type HttpApp, startHttpApp } from '../support/http-app.js';
import { ReplicaProcess } from '../support/replica-process.js';

/** How many questions about the past are worked on at once, and how many more may wait. */
const RUNNING = 4;
const WAITING = 200;

describe('a client that goes before its question about the past is answered', () => {
  let service: ReplicaProcess;
  let app: HttpApp;

  beforeEach(async () => {
    service = new ReplicaProcess();
    const updates = new CommandLog();
    for (let n = 1; n <= 9; n++) updates.send('a', { state: { reported: { n } } });
    await service.deliver(updates.batch());
    app = await startHttpApp(service, {
      state: [TimeTravelController],
      providers: [
        { provide: BUS, useValue: {} },
        { provide: TimeTravel, useValue: new TimeTravel(service.store, service.replicas) },
      ],
    });
  });
  afterEach(() => app.close());

  /** Over a connection of its own. */
  function ask(): { readonly status: Promise<number | undefined>; readonly leave: () => void } {
    const request = get(`${app.url}/state/a/diff?from=3&to=5`, { agent: false });
    const status = new Promise<number | undefined>((resolve) => {
      request.on('error', () => resolve(undefined));
      request.on('response', (response) => resolve(response.resume().statusCode));
    });
    return { status, leave: () => request.destroy() };
  }

  it('leaves its place to the next one, whether it waits or is worked on', async () => {
    const { store } = service;
    const before = store.reads;
    expect(await ask().status).toBe(200);
    const readsOfOne = store.reads - before;

    const hold = deferred<void>();
    store.beforeRead = () => hold.promise;
    const asked = Array.from({ length: RUNNING + WAITING + 1 }, ask);
    // One too many: all places are taken.
    expect(await Promise.race(asked.map(({ status }) => status))).toBe(503);
    expect(store.reads).toBe(before + readsOfOne + RUNNING);
    for (const { leave } of asked) leave();
    await until('they are gone', async () => (await app.connections()) === 0);

    const next = ask();
    hold.resolve();

    expect(await next.status).toBe(200);
    expect(store.reads).toBe(before + readsOfOne + RUNNING + readsOfOne);
    expect(service.observer.of('failed')).toEqual([]);
  });
});
