import mqtt, { type MqttClient, type Packet } from 'mqtt';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';
import { type NextConnection, toldPresence } from '../../application/presence.js';
import { type PresenceRecorder } from '../../application/presence-recorder.js';
import { messageOf, settlesWithin } from '../../application/timing.js';
import { type BrokerClientOptions, CLOSE_MS, connectionOf, isWrongVersion } from './broker-client.js';
import { Topics } from './topics.js';

export interface BrokerPresenceDependencies {
  readonly recorder: Pick<PresenceRecorder, 'recordInTurn'>;
  readonly next: NextConnection;
  readonly observer: MqttObserver;
}

const RETRY_MS = 5_000;
const SUBSCRIBE_RETRY_MS = 60_000;

/**
 * Reads on the broker what devices tell of themselves, or their last wills do. By a connection of its own, whose session
 * ends with it: what came while the service is away would take the room of commands in the other one's. What is retained
 * is read with each connection instead.
 */
export class BrokerPresence {
  private readonly client: MqttClient;
  private readonly topics: Topics;
  private retry: NodeJS.Timeout | undefined;

  constructor(
    private readonly dependencies: BrokerPresenceDependencies,
    private readonly options: BrokerClientOptions,
  ) {
    this.topics = new Topics(options.prefix);
    const clientId = `${options.clientId}-presence`;
    this.client = mqtt.connect(options.url, {
      ...connectionOf(options),
      clientId,
      clean: true,
      reconnectPeriod: RETRY_MS,
      properties: { maximumPacketSize: options.maxRequestBytes },
    });
    this.client.handleMessage = (packet, callback) => void this.take(packet).then(() => callback());
    this.client.on('connect', () => void this.subscribe());
    this.client.on('close', () => clearTimeout(this.retry));
    this.client.on('error', (error) => {
      if (isWrongVersion(error)) this.client.options.protocolVersion = 4;
      else this.say(`cannot be used as ${clientId} (${messageOf(error)})`);
    });
  }

  /** Goes on trying until {@link stop}. */
  start(): void {
    this.client.connect();
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    clearTimeout(this.retry);
    await settlesWithin(this.client.endAsync(true), CLOSE_MS);
  }

  private async subscribe(): Promise<void> {
    const filter = this.topics.presenceTopic('+');
    try {
      await this.client.subscribeAsync(filter, { qos: 1 });
      this.say(null);
    } catch (error) {
      if (!this.client.connected) return;
      this.say(
        `refuses the subscription ${filter} (${messageOf(error)}): allow this user to subscribe to it`,
      );
      this.retry = setTimeout(() => void this.subscribe(), SUBSCRIBE_RETRY_MS);
    }
  }

  private say(problem: string | null): void {
    const { url } = this.options;
    this.dependencies.observer.mqttPresenceRead(url, problem === null ? null : `MQTT_URL: ${url} ${problem}`);
  }

  private async take(packet: Packet): Promise<void> {
    if (packet.cmd !== 'publish' || packet.payload.length === 0) return;
    const deviceId = this.topics.presenceDeviceOf(packet.topic);
    const connected = toldPresence(Buffer.from(packet.payload));
    if (deviceId === null || connected === null) {
      this.dependencies.observer.mqttPublished('refused');
      this.dependencies.observer.mqttRefused(null, packet.topic);
      return;
    }
    const { openedAt, connection } = this.dependencies.next();
    await this.dependencies.recorder.recordInTurn({
      ...{ deviceId, connected, since: openedAt, clientId: null, ended: null, will: false },
      ...{ openedAt, connection },
    });
  }
}
