import { LRUCache } from 'lru-cache';
import { type OutputMessage, type ReplyMessage } from '../../application/ports/bus.js';
import { Backoff } from '../../application/backoff.js';
import { ECHOED } from '../../application/reply-headers.js';
import { pause } from '../../application/timing.js';
import { type CurrentDeltas } from './current-deltas.js';
import { type BrokerOutput, type OutputQueue } from './output-queue.js';
import { type Dialect, MQTT_CHANNELS } from './topics.js';

/** What every delta begins with that says that nothing is outstanding. */
const NOTHING = '{"state":{},';
/** With several instances: so many devices are known to have no retained delta, and for so long. */
const CLEAR_COUNT = 100_000;
const CLEAR_MS = 60_000;
const MENDERS = 16;
/** What may be said in a property of MQTT 5 without a doubt, and not too long. */
const PLAIN = /^[\x20-\x7e]{1,256}$/;

export interface BrokerOutputsOptions {
  /** Whether this process alone tells the broker of its devices. */
  readonly isAlone: boolean;
}

/**
 * Tells a broker what its own instance puts out, on the topics of one dialect. The delta of a device is retained while something is outstanding, and
 * taken away when nothing is, so that whoever subscribes gets what is outstanding at once.
 */
export class BrokerOutputs {
  /** Alone: the devices that may have a retained delta; all others have none. */
  private readonly retained = new Set<string>();
  /** With others, who may retain deltas too: those that have none. Null: alone. */
  private readonly clear: LRUCache<string, true> | null;
  /** Devices of which the broker may have another delta than the current one, with the version it has; null: none or unknown. */
  private readonly doubtful = new Map<string, number | null>();
  /** Alone, and since the connection stands: the devices whose outstanding delta was told, so that it need not be again. */
  private readonly told = new Set<string>();
  private isLooking = false;
  private menders = 0;
  private isStopping = false;

  constructor(
    private readonly queue: OutputQueue,
    private readonly dialect: Dialect,
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
      const { value } = message;
      if (channel === 'update.delta') {
        this.delta(deviceId, value ?? '', echoOf(message));
        continue;
      }
      const topic = this.dialect.outputTopic(channel, deviceId);
      const payload = this.dialect.documentOf(channel, deviceId, value);
      if (payload !== null) void this.queue.publish({ topic, payload, echo: echoOf(message) });
      if (channel !== 'delete.accepted') continue;
      this.deltas.cameBy(deviceId);
      // {"version":…}: nothing is outstanding any more.
      void this.takeAway(deviceId, `${NOTHING}"metadata":{},${String(value).slice(1)}`);
    }
  }

  /** The broker has a retained delta of this device, of this version. */
  found(deviceId: string, version: number): void {
    this.setRetained(deviceId, true);
    if (!this.told.has(deviceId)) this.check(deviceId, version);
  }

  /** Something is outstanding at this device, and the broker has another delta of it, or none. */
  missing(deviceId: string): void {
    if (!this.told.has(deviceId)) this.check(deviceId, null);
  }

  /** A connection stands; what the broker has retained, and others since, is not known. */
  begin(): void {
    this.clear?.clear();
    this.told.clear();
    this.isLooking = this.clear === null;
  }

  /** What it has retained was looked through. */
  looked(): void {
    this.isLooking = false;
    this.told.clear();
  }

  /** Makes the broker have the current delta of a device. `version` is that of what it has now; null: none or unknown. */
  private check(deviceId: string, version: number | null): void {
    this.doubtful.set(deviceId, version);
    if (this.menders < MENDERS && !this.isStopping) void this.mendAll();
  }

  stop(): void {
    this.isStopping = true;
  }

  private delta(deviceId: string, document: string | Buffer, echo: BrokerOutput['echo']): void {
    this.deltas.cameBy(deviceId);
    const isOutstanding = !document.toString('latin1').startsWith(NOTHING);
    const topic = this.dialect.outputTopic('update.delta', deviceId);
    const payload = this.dialect.documentOf('update.delta', deviceId, document);
    if (isOutstanding) this.setRetained(deviceId, true);
    if (!isOutstanding) this.told.delete(deviceId);
    else if (this.isLooking) this.told.add(deviceId);
    if (payload !== null) {
      void this.queue.publish({ topic, payload, retain: isOutstanding, echo }).then((isTold) => {
        if (!isTold) this.check(deviceId, null);
      });
    }
    if (!isOutstanding) void this.takeAway(deviceId, document);
  }

  private async takeAway(deviceId: string, document: string | Buffer): Promise<void> {
    if (this.clear === null ? !this.retained.has(deviceId) : this.clear.has(deviceId)) return;
    this.setRetained(deviceId, false);
    const topic = this.dialect.outputTopic('update.delta', deviceId);
    const payload = this.dialect.emptyDelta(document);
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
      if (delta.document !== null) {
        if (delta.version === has) return;
        this.setRetained(deviceId, true);
        const topic = this.dialect.outputTopic('update.delta', deviceId);
        const payload = this.dialect.documentOf('update.delta', deviceId, delta.document);
        if (payload === null || !(await this.queue.publish({ topic, payload, retain: true }))) return;
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

/** Headers of a command that come back on what it caused. What they hold is anybody's, so not all of it can be said. */
function echoOf({ headers }: OutputMessage | ReplyMessage): Record<string, string> | undefined {
  let echo: Record<string, string> | undefined;
  for (const name of ECHOED) {
    const text = headers[name]?.toString();
    if (text !== undefined && PLAIN.test(text)) echo = { ...echo, [name]: text };
  }
  // Not an empty one, of which MQTT.js makes no packet at all.
  return echo;
}
