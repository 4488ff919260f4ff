import { runnerPrototype } from './kafkajs-internals.js';

let isInstalled = false;

/**
 * Lets a consumer end that is stopped while kafkajs 2.2.4 makes its fetchers anew, as it does when a node has closed its
 * connection: the new ones begin after the stop, fetch nothing since the consumer does not run, and do so over and over
 * without ever waiting. Nothing else in this process would run again. May be called any number of times.
 */
export function installStoppedFetchers(): void {
  if (isInstalled) return;
  isInstalled = true;
  const { fetch } = runnerPrototype;
  runnerPrototype.fetch = function (nodeId) {
    // Not awaited: it waits for the fetcher that called.
    if (!this.running) void this.fetchManager.stop();
    return fetch.call(this, nodeId);
  };
}
