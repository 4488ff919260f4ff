import { Backoff } from './backoff.js';
import { type Clock } from './ports/clock.js';
import { type PresenceChange, type PresenceStore } from './ports/presence.js';
import { pause, settlesWithin } from './timing.js';

export interface PresenceRecorderDependencies {
  readonly store: PresenceStore;
  readonly clock: Clock;
  /** The store could not be written, and is tried again so much later. */
  readonly onRetry: (error: unknown, delayMs: number) => void;
}

export interface PresenceRecorderOptions {
  /** By which this instance is known again after a restart. No two have the same. */
  readonly instance: string;
  /** How long a change may wait for others, to be written with them. Default: 250. */
  readonly delayMs?: number;
  /** How often it is written that this instance lives. Default: 10,000. */
  readonly beatMs?: number;
  /** After so long without a beat another instance is dead. Default: 60,000. */
  readonly silentMs?: number;
  /** How many devices' changes may wait beside the connections that there are. Default: 100,000. */
  readonly maxWaitingCount?: number;
}

const BATCH_COUNT = 1000;
const FIRST_DELAY_MS = 200;
const LAST_DELAY_MS = 10_000;
/** How long a start waits until connections of before are ended in the store, and a stop until the last are written. */
const PATIENCE_MS = 3_000;
/** What has no replica is forgotten so long after it was connected; it is looked for that often. */
const KEPT_MS = 7 * 24 * 3_600_000;
const FORGET_EVERY_MS = 3_600_000;

/**
 * Writes which devices are connected, in batches and never more than one at a time. Of what waits for a device only the
 * latest is kept; where too many wait, those that are connected now are, and the rest is ended by the store.
 */
export class PresenceRecorder {
  /** By device: the connections that this instance has now. */
  private readonly connections = new Map<string, PresenceChange>();
  private waiting = new Map<string, PresenceChange>();
  private isAfresh = true;
  private forgottenAt = -Infinity;
  private readonly stopping = new AbortController();
  private wake = new AbortController();
  private running: Promise<void> | null = null;
  private first: Promise<void> = Promise.resolve();
  private room: (() => void)[] = [];

  constructor(
    private readonly dependencies: PresenceRecorderDependencies,
    private readonly options: PresenceRecorderOptions,
  ) {}

  /**
   * Begins to write. Resolves when all that this instance left connected before is ended in the store, or after some
   * seconds: it is then ended before anything else is written.
   */
  async start(): Promise<void> {
    if (this.running === null) {
      this.first = new Promise((resolve) => {
        this.running = this.run(resolve);
      });
    }
    await settlesWithin(this.first, PATIENCE_MS);
  }

  record(change: PresenceChange): void {
    const { deviceId, connected, clientId } = change;
    if (clientId !== null) {
      if (connected) this.connections.set(deviceId, change);
      else this.connections.delete(deviceId);
    }
    this.waiting.set(deviceId, change);
    if (this.waiting.size > this.connections.size + 2 * this.maxWaitingCount) this.beginAnew();
    if (this.waiting.size === 1) this.wake.abort();
  }

  /** As {@link record}; resolves when there is room for more, or soon where the service stops. */
  async recordInTurn(change: PresenceChange): Promise<void> {
    while (this.waiting.size >= this.maxWaitingCount && !this.stopping.signal.aborted)
      await new Promise<void>((resolve) => this.room.push(resolve));
    this.record(change);
  }

  /** Writes what waits, where that is possible within some seconds. Idempotent. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake.abort();
    this.makeRoom();
    await settlesWithin(this.running ?? Promise.resolve(), PATIENCE_MS);
  }

  private get maxWaitingCount(): number {
    return this.options.maxWaitingCount ?? 100_000;
  }

  private async run(onFirst: () => void): Promise<void> {
    const { delayMs = 250, beatMs = 10_000 } = this.options;
    const { signal } = this.stopping;
    const backoff = new Backoff(FIRST_DELAY_MS, LAST_DELAY_MS);
    while (!signal.aborted || this.waiting.size > 0) {
      try {
        await this.write();
        onFirst();
        backoff.reset();
        if (signal.aborted || this.isAfresh || this.waiting.size >= BATCH_COUNT) continue;
        if (this.waiting.size === 0) await pause(beatMs, this.wake.signal);
        this.wake = new AbortController();
        await pause(delayMs, signal);
      } catch (error) {
        const pauseMs = backoff.nextDelayMs();
        this.dependencies.onRetry(error, pauseMs);
        await pause(pauseMs, signal);
        if (signal.aborted) return;
      }
    }
  }

  private async write(): Promise<void> {
    const { store, clock } = this.dependencies;
    const { instance, silentMs = 60_000 } = this.options;
    const { isAfresh } = this;
    const batch = [...this.waiting].slice(0, BATCH_COUNT);
    const at = clock();
    const isTimeToForget = at - this.forgottenAt >= FORGET_EVERY_MS;
    const changes = batch.map(([, change]) => change);
    const forgetting = isTimeToForget ? { forgetBefore: at - KEPT_MS } : {};
    this.isAfresh = false;
    try {
      const isKnown = await store.writePresence({
        ...{ instance, at, isAfresh, changes, silentMs },
        ...forgetting,
      });
      if (isTimeToForget) this.forgottenAt = at;
      if (!isKnown) this.beginAnew();
      // Begun anew, also while this was written: it is all to be written again.
      if (this.isAfresh) return;
      for (const [deviceId, change] of batch)
        if (this.waiting.get(deviceId) === change) this.waiting.delete(deviceId);
      this.makeRoom();
    } catch (error) {
      this.isAfresh ||= isAfresh;
      throw error;
    }
  }

  /** What the store has of this instance is ended there, and what is connected now is written over it. */
  private beginAnew(): void {
    this.isAfresh = true;
    const told = [...this.waiting].filter(([, { clientId }]) => clientId === null);
    this.waiting = new Map([...told, ...this.connections]);
  }

  private makeRoom(): void {
    if (this.waiting.size >= this.maxWaitingCount) return;
    for (const resolve of this.room.splice(0)) resolve();
  }
}
