import { requestQueuePrototype } from './kafkajs-internals.js';

const CHECK_PENDING_MS = 10;
let isInstalled = false;

/**
 * Keeps idle connections quiet. Once connected, kafkajs 2.2.4 re-arms a timer of 1 ms on each connection for ever
 * (tulios/kafkajs#1751), though it is only needed while requests wait in the queue. May be called any number of times.
 */
export function installIdleTimerFix(): void {
  if (isInstalled) return;
  isInstalled = true;
  requestQueuePrototype.scheduleCheckPendingRequests = function () {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
    const throttledMs = this.throttledUntil - Date.now();
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null;
        this.checkPendingRequests();
      },
      throttledMs > 0 ? throttledMs : CHECK_PENDING_MS,
    );
  };
}
