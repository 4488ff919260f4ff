import { LRUCache } from 'lru-cache';
import { type OutputMessage, type ReplyMessage } from '../../application/ports/bus.js';
import { Backoff } from '../../application/backoff.js';
import { pause } from '../../application/timing.js';
import { type CurrentDeltas } from './current-deltas.js';
import { type OutputQueue } from './output-queue.js';
import { MQTT_CHANNELS, type Topics } from './topics.js';

/** What every delta begins with that says that nothing is outstanding. */
const NOTHING = '{"state":{},';
/** With several instances: so many devices are known to have no retained delta, and for so long. */
const CLEAR_COUNT = 100_000;
const CLEAR_MS = 60_000;
const MENDERS = 16;

export interface BrokerOutputsOptions {
  /** Whether this process alone tells the broker of its devices. */
  readonly isAlone: boolean;
}

/**
 * Tells a broker what its own instance puts out. The delta of a device is retained while something is outstanding, and
 * taken away when nothing is, so that whoever subscribes gets what is outstanding at once.
 */
export class BrokerOutputs {
  /** Alone: the devices that may have a retained delta; all others have none. */
  private readonly retained = new Set<string>();
  /** With others, who may retain deltas too: those that have none. Null: alone. */
  private readonly clear: LRUCache<string, true> | null;
  /** Devices of which the broker may have another delta than the current one, with the version it has; null: none or unknown. */
  private readonly doubtful = new Map<string, number | null>();
  private menders = 0;
  private isStopping = false;

  constructor(
    private readonly queue: OutputQueue,
    private readonly topics: Topics,
    private readonly deltas: CurrentDeltas,
    options: BrokerOutputsOptions,
  ) {
    this.clear = options.isAlone ? null : new LRUCache({ max: CLEAR_COUNT, ttl: CLEAR_MS });
  }

  take(messages: readonly (OutputMessage | ReplyMessage)[]): void {
    for (const message of messages) {
      const channel = MQTT_CHANNELS.find((known) => known === message.channel);
      if (channel === undefined || message.key === null) continue;
      const deviceId = String(message.key);
      const topic = this.topics.outputTopic(channel, deviceId);
      const payload = message.value ?? '';
      if (channel === 'update.delta') {
        this.delta(deviceId, payload);
        continue;
      }
      void this.queue.publish({ topic, payload });
      if (channel !== 'delete.accepted') continue;
      this.deltas.cameBy(deviceId);
      // {"version":…}: nothing is outstanding any more.
      void this.takeAway(deviceId, `${NOTHING}"metadata":{},${String(payload).slice(1)}`);
    }
  }

  /** An answer to one asker. */
  respond(topic: string, correlation: Buffer | undefined, document: Buffer): void {
    if (this.topics.mayRespondTo(topic)) void this.queue.publish({ topic, payload: document, correlation });
  }

  /** The broker has a retained delta of this device, of this version. */
  found(deviceId: string, version: number): void {
    this.setRetained(deviceId, true);
    this.check(deviceId, version);
  }

  /** What others have retained since is not known. */
  forget(): void {
    this.clear?.clear();
  }

  /** Makes the broker have the current delta of a device. `version` is that of what it has now; null: none or unknown. */
  check(deviceId: string, version: number | null): void {
    this.doubtful.set(deviceId, version);
    if (this.menders < MENDERS && !this.isStopping) void this.mendAll();
  }

  stop(): void {
    this.isStopping = true;
  }

  private delta(deviceId: string, payload: string | Buffer): void {
    this.deltas.cameBy(deviceId);
    const isOutstanding = !payload.toString('latin1').startsWith(NOTHING);
    const topic = this.topics.outputTopic('update.delta', deviceId);
    if (isOutstanding) this.setRetained(deviceId, true);
    void this.queue.publish({ topic, payload, retain: isOutstanding }).then((isTold) => {
      if (!isTold) this.check(deviceId, null);
    });
    if (!isOutstanding) void this.takeAway(deviceId, payload);
  }

  private async takeAway(deviceId: string, payload: string | Buffer): Promise<void> {
    if (this.clear === null ? !this.retained.has(deviceId) : this.clear.has(deviceId)) return;
    this.setRetained(deviceId, false);
    const topic = this.topics.outputTopic('update.delta', deviceId);
    if (await this.queue.publish({ topic, payload, clears: true })) return;
    this.setRetained(deviceId, true);
  }

  private setRetained(deviceId: string, isRetained: boolean): void {
    if (this.clear !== null) {
      if (isRetained) this.clear.delete(deviceId);
      else this.clear.set(deviceId, true);
    } else if (isRetained) this.retained.add(deviceId);
    else this.retained.delete(deviceId);
  }

  private async mendAll(): Promise<void> {
    this.menders++;
    const backoff = new Backoff();
    for (const [deviceId, version] of this.doubtful) {
      if (this.isStopping) break;
      this.doubtful.delete(deviceId);
      try {
        await this.mend(deviceId, version);
        backoff.reset();
      } catch {
        // The store is away.
        this.doubtful.set(deviceId, version);
        await pause(backoff.nextDelayMs());
      }
    }
    this.menders--;
  }

  /** Looks again after each message, since another instance may have told of a later change between. */
  private async mend(deviceId: string, version: number | null): Promise<void> {
    let has = version;
    for (;;) {
      const delta = await this.deltas.read(deviceId);
      if (delta === 'late') return;
      const topic = this.topics.outputTopic('update.delta', deviceId);
      if (delta.document !== null) {
        if (delta.version === has) return;
        this.setRetained(deviceId, true);
        if (!(await this.queue.publish({ topic, payload: delta.document, retain: true }))) return;
        has = delta.version;
      } else {
        if (has === null) return;
        this.setRetained(deviceId, true);
        const members = delta.version === null ? '' : `,"version":${delta.version}`;
        await this.takeAway(deviceId, `${NOTHING}"metadata":{}${members},"timestamp":${Date.now()}}`);
        has = null;
      }
    }
  }
}
