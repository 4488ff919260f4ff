import { type Runner, runnerPrototype } from './kafkajs-internals.js';

let isInstalled = false;
/** What ends the wait for each fetch under way. */
const underWay = new WeakMap<Runner, Set<() => void>>();

/**
 * Lets a consumer end at once that is stopped. kafkajs 2.2.4 waits for the fetches under way, which take as long as the
 * broker may wait for something to come; and where it makes its fetchers anew meanwhile, as it does when a node has closed
 * its connection, the new ones begin after the stop, fetch nothing since the consumer does not run, and do so over and
 * over without ever waiting: nothing else in this process would run again. May be called any number of times.
 */
export function installStoppedFetchers(): void {
  if (isInstalled) return;
  isInstalled = true;
  const { fetch, stop } = runnerPrototype;
  runnerPrototype.fetch = function (nodeId) {
    // Not awaited: it waits for the fetcher that called.
    if (!this.running) void this.fetchManager.stop();
    return orStopped(this, fetch.call(this, nodeId));
  };
  runnerPrototype.stop = function () {
    const stopped = stop.call(this);
    for (const end of underWay.get(this) ?? []) end();
    return stopped;
  };
}

/** Not `Promise.race`, which would keep something of each fetch for as long as the consumer lives. */
function orStopped(runner: Runner, fetched: Promise<readonly unknown[]>): Promise<readonly unknown[]> {
  const ends = underWay.get(runner) ?? new Set();
  underWay.set(runner, ends);
  return new Promise((resolve, reject) => {
    const end = (): void => resolve([]);
    ends.add(end);
    void fetched.then(resolve, reject).finally(() => ends.delete(end));
  });
}
