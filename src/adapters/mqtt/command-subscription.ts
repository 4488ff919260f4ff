import { randomBytes } from 'node:crypto';
import { type IPublishPacket, type MqttClient } from 'mqtt';
import { deferred, type Deferred, messageOf, settlesWithin } from '../../application/timing.js';
import { type Dialect } from './topics.js';

const RETRY_MS = 10_000;
/** How long what is published may take to come back. */
const PROBE_MS = 5_000;
/** Topics that begin with `$` and are nobody's: what is published there must come by a shared subscription, too. */
const PROBE_TOPICS = '$aws/device-state-replica';

export interface CommandSubscriptionOptions {
  /** As it is shown. */
  readonly url: string;
  /** Instances of one group share the commands, by a shared subscription. Null: an ordinary one, of one instance. */
  readonly group: string | null;
}

/** Subscribes to the command topics of one dialect, in each connection, and tries again where the broker refuses. */
export class CommandSubscription {
  private retry: NodeJS.Timeout | undefined;
  private probe: { readonly topic: string; readonly came: Deferred<void> } | null = null;
  /** The connection that it is for; null: none. */
  private stream: MqttClient['stream'] | null = null;

  /** @param told with null when commands are taken, else with the reason why they are not, in one line */
  constructor(
    private readonly client: MqttClient,
    private readonly dialect: Dialect,
    private readonly options: CommandSubscriptionOptions,
    private readonly told: (problem: string | null) => void,
  ) {}

  begin(): void {
    this.stream = this.client.stream;
    void this.subscribe(this.stream);
  }

  end(): void {
    clearTimeout(this.retry);
    this.stream = null;
  }

  /** False: it is none of this. */
  take(packet: IPublishPacket): boolean {
    if (!packet.topic.startsWith(`${PROBE_TOPICS}/`)) return false;
    if (packet.topic === this.probe?.topic) this.probe.came.resolve();
    return true;
  }

  private async subscribe(stream: MqttClient['stream']): Promise<void> {
    const problem = await this.problemOf();
    if (this.stream !== stream) return;
    this.told(problem);
    if (problem !== null) this.retry = setTimeout(() => void this.subscribe(stream), RETRY_MS);
  }

  private async problemOf(): Promise<string | null> {
    const { url, group } = this.options;
    const shared = group === null ? '' : `$share/${group}/`;
    const filters = this.dialect.commandFilters().map((filter) => shared + filter);
    const alone = group === null ? [] : ['with one instance alone, set MQTT_SHARED=off'];
    const without = this.dialect.isReserved ? ['set AWS_SHADOW_TOPICS=off'] : [];
    try {
      if (group !== null && this.client.serverProperties?.sharedSubscriptionAvailable === false)
        throw new Error('it has none, or has them switched off');
      // What is retained is no command: it need not be sent.
      await this.client.subscribeAsync(filters, { qos: 1, ...(group === null ? { rh: 2 } : {}) });
    } catch (error) {
      const ways = ['allow this user to subscribe to it', ...alone, ...without].join(', or, ');
      return `MQTT_URL: ${url} refuses the subscription ${filters[0]} (${messageOf(error)}): ${ways}`;
    }
    if (group === null || !this.dialect.isReserved || (await this.isShared(shared))) return null;
    const ways = [...alone, ...without].join(', or ');
    return (
      `MQTT_URL: ${url} grants the subscription ${filters[0]} and sends nothing by it, as Mosquitto does with topics ` +
      `that begin with $, or does not let this user publish and subscribe to ${PROBE_TOPICS}/+: ${ways}`
    );
  }

  /** Mosquitto grants a shared subscription to such topics, and sends nothing by it. */
  private async isShared(shared: string): Promise<boolean> {
    const topic = `${PROBE_TOPICS}/${randomBytes(8).toString('hex')}`;
    const probe = { topic, came: deferred<void>() };
    this.probe = probe;
    try {
      await this.client.subscribeAsync(shared + topic, { qos: 0 });
      await this.client.publishAsync(topic, '', { qos: 1 });
      return await settlesWithin(probe.came.promise, PROBE_MS);
    } catch {
      return false;
    } finally {
      if (this.probe === probe) this.probe = null;
      this.client.unsubscribeAsync(shared + topic).catch(() => undefined);
    }
  }
}
