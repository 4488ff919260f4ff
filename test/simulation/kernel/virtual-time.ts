import { setMaxListeners } from 'node:events';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { type Random } from './random.js';
import { type Scheduled, type Scheduler } from './scheduler.js';

/** Virtual time begins here, in milliseconds since the epoch. */
export const EPOCH_MS = 1_750_000_000_000;

interface Running {
  readonly scheduler: Scheduler;
  readonly random: Random;
}

let running: Running | null = null;
let isInstalled = false;

function now(): Running {
  if (running === null) throw new Error('Nothing may use time or randomness outside a run');
  return running;
}

/** What `setTimeout` gives in Node.js, as far as anybody uses it. */
class VirtualTimer {
  event: Scheduled | null = null;

  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  hasRef(): boolean {
    return true;
  }
}

/**
 * Puts virtual time, and randomness by seed, in the place of Node.js's own, for this whole process: timers, clocks,
 * `Math.random` and `randomUUID`. A timer belongs to the actor whose event set it, and reads that actor's clock.
 */
export function installVirtualTime(): void {
  if (isInstalled) return;
  isInstalled = true;
  const after = (ms: number | undefined, label: string, run: () => void): Scheduled => {
    const { scheduler } = now();
    return scheduler.after(Math.max(1, ms ?? 1), scheduler.current, label, run);
  };
  const clear = (timer: unknown): void => {
    if (timer instanceof VirtualTimer && timer.event !== null) now().scheduler.cancel(timer.event);
  };
  const nowMs = (): number => {
    const { scheduler } = now();
    return EPOCH_MS + Math.floor(scheduler.nowMs + scheduler.current.clockSkewMs);
  };
  Object.assign(globalThis, {
    setTimeout: (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
      const timer = new VirtualTimer();
      timer.event = after(ms, 'timer', () => run(...args));
      return timer;
    },
    setInterval: (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
      const timer = new VirtualTimer();
      const again = (): void => {
        timer.event = after(ms, '', () => {
          again();
          run(...args);
        });
      };
      again();
      return timer;
    },
    setImmediate: (run: (...args: unknown[]) => void, ...args: unknown[]) => {
      const { scheduler } = now();
      const timer = new VirtualTimer();
      timer.event = scheduler.after(0, scheduler.current, '', () => run(...args));
      return timer;
    },
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  });
  Date.now = nowMs;
  performance.now = () => now().scheduler.nowMs;
  Math.random = () => now().random.next();
  // What kafkajs draws the partition of a record without a key by.
  Object.defineProperty(globalThis.crypto, 'getRandomValues', {
    value: (bytes: Uint8Array) => bytes.map(() => now().random.int(256)),
  });
  const crypto = createRequire(import.meta.url)('node:crypto') as { randomUUID: () => string };
  crypto.randomUUID = () => now().random.uuid();
  syncBuiltinESMExports();
  AbortSignal.any = anyOf;
}

/**
 * Node.js keeps each signal of its own `AbortSignal.any` for as long as somebody listens to it, and so all of a process
 * that was crashed amid that, run by run.
 */
function anyOf(signals: Iterable<AbortSignal>): AbortSignal {
  const controller = new AbortController();
  for (const signal of signals) {
    // One that lives as long as its process has many who listen.
    setMaxListeners(0, signal);
    if (signal.aborted) controller.abort(signal.reason);
    else signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}

/** From here on time is that of this run; null: there is none. */
export function useTimeOf(run: Running | null): void {
  running = run;
}
