import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient, type Packet } from 'mqtt';
import { Backoff } from '../../application/backoff.js';
import { type Bus, type OutputMessage, type ReplyMessage } from '../../application/ports/bus.js';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';
import { type ReadReplica } from '../../application/read-replica.js';
import { messageOf, settlesWithin } from '../../application/timing.js';
import { BrokerCommands, MAX_IN_FLIGHT_COUNT, type Link } from './broker-commands.js';
import { BrokerOutputs } from './broker-outputs.js';
import { CommandSubscription } from './command-subscription.js';
import { CurrentDeltas } from './current-deltas.js';
import { OutputQueue } from './output-queue.js';
import { RetainedDeltas } from './retained-deltas.js';
import { type Dialect, ShadowTopics, Topics } from './topics.js';

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
  /** Whether the topics of AWS IoT Device Shadow are served, too. */
  readonly withShadowTopics: boolean;
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
const CONNECT_TIMEOUT_MS = 10_000;
const KEEPALIVE_S = 30;
export const CLOSE_MS = 2_000;
/** Reason codes by which a broker says that it does not speak this version: that of 3.1.1, and that of 5. */
const WRONG_VERSION = [1, 132];

/** All that one dialect has. */
interface Way {
  readonly outputs: BrokerOutputs;
  readonly retained: RetainedDeltas;
  readonly subscription: CommandSubscription;
  /** Why its commands are not taken, in one line. */
  problem: string | null;
}

/**
 * The service as a client of a broker that is there already. It takes commands as a member of a shared subscription, in
 * a session that the broker keeps, acknowledges each when it has its answer, and publishes what its own instance puts out.
 */
export class BrokerClient {
  private readonly client: MqttClient;
  private readonly commands: BrokerCommands;
  private readonly queue: OutputQueue;
  private readonly ways: readonly Way[];
  private readonly backoff = new Backoff(RETRY_FIRST_MS, RETRY_LAST_MS);
  private problem: string | null;
  private connectedAt: number | null = null;
  private lastError: string | null = null;
  /** The connection ends only to come back by the older version. */
  private isFallingBack = false;
  private isStopping = false;

  constructor(
    private readonly dependencies: BrokerClientDependencies,
    private readonly options: BrokerClientOptions,
  ) {
    const { bus, reader, observer } = dependencies;
    this.problem = `${options.url} is not connected yet`;
    const topics = new Topics(options.prefix);
    const dialects = [topics, ...(options.withShadowTopics ? [new ShadowTopics()] : [])];
    this.client = mqtt.connect(options.url, {
      ...connectionOf(options),
      clientId: options.clientId,
      clean: false,
      reconnectPeriod: RETRY_FIRST_MS,
      properties: {
        sessionExpiryInterval: Math.ceil(options.sessionMs / 1000),
        receiveMaximum: MAX_IN_FLIGHT_COUNT,
        // What is larger than a request may be is refused as one, up to a bound.
        maximumPacketSize: 2 * options.maxRequestBytes + 1024,
      },
    });
    const deltas = new CurrentDeltas(reader);
    this.queue = new OutputQueue(this.client, observer);
    this.ways = dialects.map((dialect) => this.wayOf(dialect, deltas));
    this.commands = new BrokerCommands({
      bus,
      dialects,
      observer,
      respond: (topic, correlation, payload) => {
        if (topics.mayRespondTo(topic)) void this.queue.publish({ topic, payload, correlation });
      },
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
    return this.problem ?? this.ways.find(({ problem }) => problem !== null)?.problem ?? null;
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
    for (const { outputs } of this.ways) outputs.take(messages);
  }

  /** Takes no more commands; what is on its way gets its answer and its acknowledgement. */
  async quiesce(): Promise<void> {
    await this.commands.close(this.options.shutdownMs);
  }

  /** Ends the connection, after what waits has gone where that is possible. The broker keeps the session. Idempotent. */
  async stop(): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    for (const { outputs, retained, subscription } of this.ways) {
      subscription.end();
      outputs.stop();
      retained.end();
    }
    if (this.client.connected) await settlesWithin(this.queue.drained(), CLOSE_MS);
    await settlesWithin(this.client.endAsync(!this.client.connected), CLOSE_MS);
    await settlesWithin(this.client.endAsync(true), CLOSE_MS);
  }

  private take(packet: IPublishPacket, callback: (error?: Error) => void): void {
    const isOther = this.ways.some(
      ({ subscription, retained }) => subscription.take(packet) || retained.take(packet),
    );
    if (isOther) {
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
      keepAlive: () => this.client.reschedulePing(true),
    };
    this.commands.begin(link, packet.sessionPresent);
  }

  private connected(): void {
    this.connectedAt = performance.now();
    this.lastError = null;
    this.problem = null;
    for (const { outputs } of this.ways) outputs.begin();
    this.queue.work();
    for (const way of this.ways) {
      way.problem = `${this.options.url} has not acknowledged the subscriptions yet`;
      way.subscription.begin();
    }
  }

  private wayOf(dialect: Dialect, deltas: CurrentDeltas): Way {
    const { url, group, isAlone } = this.options;
    const outputs = new BrokerOutputs(this.queue, dialect, deltas, { isAlone });
    const retained = new RetainedDeltas(this.client, dialect, outputs, this.dependencies.outOfSync);
    const subscription = new CommandSubscription(this.client, dialect, { url, group }, (problem) => {
      way.problem = problem;
      if (problem === null) retained.begin();
      this.subscribed(problem);
    });
    const way: Way = { outputs, retained, subscription, problem: null };
    return way;
  }

  private subscribed(problem: string | null): void {
    const { observer } = this.dependencies;
    const { url } = this.options;
    if (problem !== null) observer.mqttBrokerAway(url, problem);
    else if (this.health() === null)
      observer.mqttBrokerReached(url, this.client.options.protocolVersion ?? 4);
  }

  private closed(): void {
    this.commands.end();
    for (const { retained, subscription } of this.ways) {
      subscription.end();
      retained.end();
    }
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
    if (isWrongVersion(error) && options.protocolVersion === 5) {
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

/** How the service connects to the broker, and makes itself known, whatever for. */
export function connectionOf({ username, password, ca, cert, key }: BrokerClientOptions): IClientOptions {
  return {
    manualConnect: true,
    protocolVersion: 5,
    resubscribe: false,
    reconnectOnConnackError: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepalive: KEEPALIVE_S,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/** Whether the broker refuses the connection since it does not speak MQTT 5. */
export function isWrongVersion(error: Error): boolean {
  return 'code' in error && WRONG_VERSION.some((wrong) => wrong === error.code);
}
