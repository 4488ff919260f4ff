import mqtt, { type IPublishPacket, type MqttClient, type Packet } from 'mqtt';
import { Backoff } from '../../application/backoff.js';
import { type Bus, type OutputMessage, type ReplyMessage } from '../../application/ports/bus.js';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';
import { type ReadReplica } from '../../application/read-replica.js';
import { messageOf, settlesWithin } from '../../application/timing.js';
import { BrokerCommands, MAX_IN_FLIGHT_COUNT, type Link } from './broker-commands.js';
import { BrokerOutputs } from './broker-outputs.js';
import { CurrentDeltas } from './current-deltas.js';
import { OutputQueue } from './output-queue.js';
import { RetainedDeltas } from './retained-deltas.js';
import { Topics } from './topics.js';

export interface BrokerClientDependencies {
  readonly bus: Pick<Bus, 'request'>;
  readonly reader: Pick<ReadReplica, 'delta'>;
  /** The devices at which something is outstanding, as far as it is known; in any order. */
  readonly outOfSync: () => AsyncIterable<{ readonly deviceId: string; readonly version: number }>;
  readonly observer: MqttObserver;
}

export interface BrokerClientOptions {
  /** `mqtt://host:port` or `mqtts://…`, without user and password. */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** By which the broker knows the session again; no two at once. */
  readonly clientId: string;
  /** Instances of one group share the commands, by a shared subscription. Null: an ordinary one, of one instance. */
  readonly group: string | null;
  /** First level of every topic. */
  readonly prefix: string;
  readonly maxRequestBytes: number;
  /** How long the broker is asked to keep the session of a client that is away. */
  readonly sessionMs: number;
  /** Whether this process alone tells the broker of its devices, by a bus that nobody else is on. */
  readonly isAlone: boolean;
  readonly shutdownMs: number;
}

const RETRY_FIRST_MS = 200;
const RETRY_LAST_MS = 10_000;
/** A connection that stood for so long was none of several that fail one after the other. */
const STOOD_MS = 10_000;
const SUBSCRIBE_RETRY_MS = 10_000;
const CONNECT_TIMEOUT_MS = 10_000;
const KEEPALIVE_S = 30;
const CLOSE_MS = 2_000;
/** Reason codes by which a broker says that it does not speak this version: that of 3.1.1, and that of 5. */
const WRONG_VERSION = [1, 132];

/**
 * The service as a client of a broker that is there already. It takes commands as a member of a shared subscription, in
 * a session that the broker keeps, acknowledges each when it has its answer, and publishes what its own instance puts out.
 */
export class BrokerClient {
  private readonly client: MqttClient;
  private readonly commands: BrokerCommands;
  private readonly outputs: BrokerOutputs;
  private readonly queue: OutputQueue;
  private readonly retained: RetainedDeltas;
  private readonly backoff = new Backoff(RETRY_FIRST_MS, RETRY_LAST_MS);
  private readonly topics: Topics;
  private problem: string | null;
  private connectedAt: number | null = null;
  private lastError: string | null = null;
  private retry: NodeJS.Timeout | undefined;
  /** The connection ends only to come back by the older version. */
  private isFallingBack = false;
  private isStopping = false;

  constructor(
    private readonly dependencies: BrokerClientDependencies,
    private readonly options: BrokerClientOptions,
  ) {
    const { bus, reader, outOfSync, observer } = dependencies;
    this.problem = `${options.url} is not connected yet`;
    this.topics = new Topics(options.prefix);
    this.client = mqtt.connect(options.url, {
      manualConnect: true,
      clientId: options.clientId,
      ...(options.username === undefined ? {} : { username: options.username }),
      ...(options.password === undefined ? {} : { password: options.password }),
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      ...(options.cert === undefined ? {} : { cert: options.cert }),
      ...(options.key === undefined ? {} : { key: options.key }),
      protocolVersion: 5,
      clean: false,
      resubscribe: false,
      reconnectOnConnackError: true,
      reconnectPeriod: RETRY_FIRST_MS,
      connectTimeout: CONNECT_TIMEOUT_MS,
      keepalive: KEEPALIVE_S,
      properties: {
        sessionExpiryInterval: Math.ceil(options.sessionMs / 1000),
        receiveMaximum: MAX_IN_FLIGHT_COUNT,
        // What is larger than a request may be is refused as one, up to a bound.
        maximumPacketSize: 2 * options.maxRequestBytes + 1024,
      },
    });
    const deltas = new CurrentDeltas(reader);
    this.queue = new OutputQueue(this.client, observer);
    this.outputs = new BrokerOutputs(this.queue, this.topics, deltas, { isAlone: options.isAlone });
    this.retained = new RetainedDeltas(this.client, this.topics, this.outputs, outOfSync);
    this.commands = new BrokerCommands({
      bus,
      topics: this.topics,
      observer,
      respond: (...answer) => this.outputs.respond(...answer),
      // By the in-process bus they would cost each device memory, for a restart that forgets them anyway.
      hasMessageIds: !options.isAlone,
    });
    this.client.handleMessage = (packet, callback) => this.take(packet, callback);
    this.client.on('packetreceive', (packet) => this.received(packet));
    this.client.on('connect', () => this.connected());
    this.client.on('close', () => this.closed());
    this.client.on('reconnect', () => {
      this.client.options.reconnectPeriod = this.backoff.nextDelayMs();
    });
    this.client.on('error', (error) => this.failed(error));
  }

  /** Null while commands are taken from the broker; otherwise why not, in one line. */
  health(): string | null {
    return this.problem;
  }

  /** Outputs that the broker has not acknowledged. */
  get waitingCount(): number {
    return this.queue.count;
  }

  /** Goes on trying until {@link stop}. */
  start(): void {
    this.client.connect();
  }

  /** What this instance puts out. */
  tell(messages: readonly (OutputMessage | ReplyMessage)[]): void {
    this.outputs.take(messages);
  }

  /** Takes no more commands; what is on its way gets its answer and its acknowledgement. */
  async quiesce(): Promise<void> {
    await this.commands.close(this.options.shutdownMs);
  }

  /** Ends the connection, after what waits has gone where that is possible. The broker keeps the session. Idempotent. */
  async stop(): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    clearTimeout(this.retry);
    this.outputs.stop();
    this.retained.end();
    if (this.client.connected) await settlesWithin(this.queue.drained(), CLOSE_MS);
    await settlesWithin(this.client.endAsync(!this.client.connected), CLOSE_MS);
    await settlesWithin(this.client.endAsync(true), CLOSE_MS);
  }

  private take(packet: IPublishPacket, callback: (error?: Error) => void): void {
    if (packet.cmd === 'publish' && this.retained.take(packet)) {
      callback();
      return;
    }
    // With an error the client goes on to the next packet without acknowledging this one: that is done when it may be.
    this.commands.take(packet, () => callback(packet.qos === 1 ? HELD : undefined));
  }

  /** A kept session's messages come right behind this packet, sooner than the client says that it is connected. */
  private received(packet: Packet): void {
    if (packet.cmd !== 'connack' || (packet.reasonCode ?? packet.returnCode) !== 0) return;
    const { stream } = this.client;
    const link: Link = {
      write: (bytes) => {
        if (stream.destroyed || this.client.stream !== stream) return false;
        stream.write(bytes);
        return true;
      },
      break: () => stream.destroy(),
    };
    this.commands.begin(link, packet.sessionPresent);
  }

  private connected(): void {
    this.connectedAt = performance.now();
    this.lastError = null;
    this.outputs.forget();
    this.queue.work();
    void this.subscribe(this.client.stream);
  }

  private async subscribe(stream: MqttClient['stream']): Promise<void> {
    const { observer } = this.dependencies;
    const { url, group } = this.options;
    const filters = this.topics.commandFilters(group);
    const isCurrent = (): boolean => this.client.stream === stream && this.client.connected;
    try {
      const isShared = group !== null;
      if (isShared && this.client.serverProperties?.sharedSubscriptionAvailable === false)
        throw new Error('it has none, or has them switched off');
      // What is retained is no command: it need not be sent.
      await this.client.subscribeAsync(filters, { qos: 1, ...(isShared ? {} : { rh: 2 }) });
    } catch (error) {
      if (!isCurrent() || this.isStopping) return;
      const instead = group === null ? '' : ', or, with one instance alone, set MQTT_SHARED=off';
      this.away(
        `MQTT_URL: ${url} refuses the subscription ${filters[0]} (${messageOf(error)}): ` +
          `allow this user to subscribe to it${instead}`,
      );
      this.retry = setTimeout(() => void this.subscribe(stream), SUBSCRIBE_RETRY_MS);
      return;
    }
    if (!isCurrent()) return;
    this.problem = null;
    observer.mqttBrokerReached(url, this.client.options.protocolVersion ?? 4);
    this.retained.begin();
  }

  private closed(): void {
    clearTimeout(this.retry);
    this.commands.end();
    this.retained.end();
    const { options } = this.client;
    if (this.connectedAt !== null) {
      if (performance.now() - this.connectedAt > STOOD_MS) this.backoff.reset();
      // It may be another broker, or a newer one, when it is back.
      options.protocolVersion = 5;
    }
    this.connectedAt = null;
    const isNews = !this.isFallingBack && !this.isStopping;
    this.isFallingBack = false;
    if (isNews) this.away(`${this.options.url} is away: ${this.lastError ?? 'the connection ended'}`);
  }

  private failed(error: Error): void {
    const { options } = this.client;
    const code = 'code' in error ? error.code : undefined;
    if (WRONG_VERSION.some((wrong) => wrong === code) && options.protocolVersion === 5) {
      options.protocolVersion = 4;
      options.reconnectPeriod = 1;
      this.isFallingBack = true;
      return;
    }
    this.lastError = messageOf(error);
    this.dependencies.observer.mqttFailed(null, error);
    if (this.connectedAt === null && !this.isStopping)
      this.away(`${this.options.url} is away: ${this.lastError}`);
  }

  private away(reason: string): void {
    this.problem = reason;
    this.dependencies.observer.mqttBrokerAway(this.options.url, reason);
  }
}

const HELD = new Error('Acknowledged when it has its answer');
