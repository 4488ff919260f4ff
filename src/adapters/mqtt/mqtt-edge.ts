import { Aedes, type AuthenticateError, type Client, type Subscription } from 'aedes';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type InFlight } from '../../application/access/in-flight.js';
import { identityOf } from '../../application/access/known-caller.js';
import { type Rates } from '../../application/access/rates.js';
import { type Caller } from '../../application/access/rules.js';
import { type Bus, type OutputMessage } from '../../application/ports/bus.js';
import { type Authenticator, type CertificateAuthenticator } from '../../application/ports/authenticator.js';
import { type LimitObserver } from '../../application/ports/limit-observer.js';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';
import { type PresenceRecorder } from '../../application/presence-recorder.js';
import { type ServerTls } from '../../application/ports/server-tls.js';
import { type ReadReplica } from '../../application/read-replica.js';
import { CurrentDeltas } from './current-deltas.js';
import { DeltasOnReturn, messageOf } from './deltas-on-return.js';
import { ConnectionLimits } from './connection-limits.js';
import { DevicePace } from './device-pace.js';
import { EdgeCommands } from './edge-commands.js';
import { EdgePresence } from './edge-presence.js';
import { MqttAccess, refusalOf, SERVER_UNAVAILABLE } from './mqtt-access.js';
import { MqttConnections } from './mqtt-connections.js';
import { clientOf, holdOneOfEachId } from './registry.js';
import { Sessions } from './sessions.js';
import { type Dialect, firstOf, MQTT_CHANNELS, type MqttChannel, ShadowTopics, Topics } from './topics.js';

export interface MqttEdgeDependencies {
  readonly bus: Pick<Bus, 'request' | 'listen'>;
  readonly reader: Pick<ReadReplica, 'delta'>;
  readonly observer: MqttObserver;
  /** Null: which devices are connected is told, and kept nowhere. */
  readonly presence: Pick<PresenceRecorder, 'record'> | null;
  /** Null: no password does. Without certificates as well whoever connects may do everything. */
  readonly authenticator: Authenticator | null;
  /** By client certificates; null: none is asked for. */
  readonly certificates: CertificateAuthenticator | null;
  readonly limits: MqttLimits;
}

export interface MqttLimits {
  /** Requests a second of each caller, and commands a second of each device; null: without bounds. */
  readonly callerRates: Rates | null;
  readonly deviceRates: Rates | null;
  /** What publishes and subscribes may take that are in hand. */
  readonly inFlight: InFlight;
  readonly observer: LimitObserver;
}

export interface MqttEdgeOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** First level of every topic. */
  readonly prefix: string;
  /** Whether the topics of AWS IoT Device Shadow are served, too. */
  readonly withShadowTopics: boolean;
  /** A larger command is refused as one; a packet of twice the size ends its connection. */
  readonly maxRequestBytes: number;
  /** Connections beyond are ended as they come: of all, of one address, and of one caller. 0 of these: no bounds. */
  readonly maxConnectionCount: number;
  readonly maxAddressCount: number;
  readonly maxCallerCount: number;
  /** A handshake of TLS, or a packet, that does not come whole for so long ends its connection. */
  readonly arrivalMs: number;
  /** Null: MQTT in the clear. */
  readonly tls: ServerTls | null;
  /** A client that takes nothing of what waits for it for so long is cut. */
  readonly stallMs: number;
}

/** So many topic filters may one client have. */
const MAX_SUBSCRIPTION_COUNT = 100;
const FAILED = 128;
/** Longer client ids and filters are of no use here, and would be kept with their sessions. */
const MAX_NAME_CHARACTERS = 1024;
const IDENTIFIER_REJECTED = 2;

/*
 * The broker numbers what it passes on, and a client that had a message gets none with a lower number. One of QoS 1 or 2
 * is passed on some promises after it has its number, one of QoS 0, or to one client alone, at once. So each of these is
 * published in a turn of the event loop of its own (`nextTurn`): else it would overtake others, which nobody got then.
 */

/**
 * An MQTT 3.1 and 3.1.1 broker whose topics are the pattern's own. What is published to a command topic goes in by the
 * bus, and is acknowledged (QoS 1 and 2) when the bus has answered it: what was recorded is durable then. Outputs come
 * from the bus, whichever way their command came in.
 *
 * A publish that no command topic takes is acknowledged and passed to nobody, since MQTT 3.1.1 cannot refuse one but by
 * ending the connection; it is counted and logged. One whose command has no outcome, since the bus or the store is away,
 * is not acknowledged: its connection ends, and the device sends it again.
 */
export class MqttEdge {
  private readonly dialects: readonly Dialect[];
  private readonly sessions: Sessions;
  private readonly broker: Aedes;
  private readonly access: MqttAccess | null;
  private readonly limits: ConnectionLimits;
  private readonly connections: MqttConnections;
  private readonly deltas: CurrentDeltas;
  private readonly returns: DeltasOnReturn;
  private readonly presence: EdgePresence;
  private unlisten: (() => Promise<void>)[] = [];
  private isStopping = false;

  constructor(
    private readonly dependencies: MqttEdgeDependencies,
    options: MqttEdgeOptions,
  ) {
    const topics = new Topics(options.prefix);
    this.dialects = [topics, ...(options.withShadowTopics ? [new ShadowTopics()] : [])];
    this.deltas = new CurrentDeltas({
      delta: async (deviceId) => {
        const delta = await dependencies.reader.delta(deviceId);
        await nextTurn();
        return delta;
      },
    });
    this.returns = new DeltasOnReturn(this.dialects, this.deltas, dependencies.observer);
    const { authenticator, certificates, observer, limits } = dependencies;
    this.sessions = new Sessions(
      (clientId) => clientOf(this.broker, clientId) !== null,
      options.maxConnectionCount,
      (clientId) => limits.observer.limited('mqtt', 'unacknowledged', clientId),
    );
    const onEnded = (client: Client, caller: Caller): void => observer.mqttEnded(client.id, caller.id);
    this.access =
      authenticator === null && certificates === null
        ? null
        : new MqttAccess({ authenticator, certificates, onEnded });
    this.presence = new EdgePresence({
      topics,
      access: this.access,
      recorder: dependencies.presence,
      isTakenOver: (client) => ![null, client].includes(clientOf(this.broker, client.id)),
      publish: (topic, document) => this.publish(topic, document),
    });
    this.limits = new ConnectionLimits({ ...options, ...limits });
    const { dialects, access, sessions, presence } = this;
    const pace = new DevicePace(limits.deviceRates, limits.observer, (client, isPaced) =>
      this.limits.pace(client, isPaced),
    );
    const parts = { ...dependencies, dialects, access, sessions, presence, pace, limits: this.limits };
    const commands = new EdgeCommands(parts);
    this.broker = new Aedes({
      persistence: this.sessions.persistence,
      authenticate: (client, _username, password, done) =>
        void this.letIn(client, password).then(
          (refusal) => (refusal === null ? done(null, true) : done(refusal, null)),
          (error: unknown) => client.conn.destroy(error as Error),
        ),
      drainTimeout: options.stallMs,
      // It is looked at before a command is done, and for the session, not for the connection.
      maxInflightInbound: 0,
      // Behind what looks after it, and tells of it.
      connectTimeout: 2 * options.arrivalMs,
      // Unbounded: else a few messages that one slow client does not take would hold up those of all others.
      concurrency: 0,
      authorizePublish: (client, packet, done) => commands.take(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => done(null, this.grant(client, subscription)),
    });
    holdOneOfEachId(this.broker);
    this.broker.on('subscribe', (subscriptions, client) => {
      const end = this.limits.begin(client, 'subscribe');
      const granted = subscriptions.filter(({ qos }) => Number(qos) !== FAILED);
      void Promise.all(granted.map(({ topic }) => this.returns.subscribed(client, topic))).then(end);
    });
    this.broker.on('clientReady', (client) => {
      this.limits.pace(client, pace.isBusy(client.id));
      this.limits.ready(client);
      this.presence.began(client);
      // What a session had subscribed to before; what a client asks for comes by its own packet.
      if (!client.clean) this.returns.resumed(client, this.sessions.filtersOf(client));
    });
    this.broker.on('unsubscribe', (filters, client) => this.sessions.giveUp(client, filters));
    this.broker.on('clientDisconnect', (client) => this.sessions.end(client));
    this.broker.on('clientError', (client, error) => {
      if (error.message === 'drain timeout') limits.observer.limited('mqtt', 'slow', client.id);
      observer.mqttFailed(client.id, error);
    });
    this.broker.on('connectionError', (_, error) => observer.mqttFailed(null, error));
    this.connections = new MqttConnections(
      { ...options, limits: this.limits },
      (connection) => this.limits.take(connection, () => this.broker.handle(connection)),
      (error) => observer.mqttFailed(null, error),
    );
  }

  /** Open connections, whether they have logged in or not. */
  get connectionCount(): number {
    return this.connections.count;
  }

  /**
   * Takes connections from when it resolves, with the port that it listens on. Rejects with the system's error where it
   * cannot listen (`EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`), and with `BusError`.
   */
  async start(): Promise<number> {
    const { bus } = this.dependencies;
    await this.broker.listen();
    this.limits.start();
    for (const channel of MQTT_CHANNELS) {
      this.unlisten.push(await bus.listen(channel, (message) => this.tell(channel, message)));
    }
    return this.connections.listen();
  }

  /** Ends all connections. Idempotent. */
  async stop(): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    this.presence.stop();
    this.connections.close();
    await new Promise<void>((resolve) => this.broker.close(() => resolve()));
    await this.connections.destroy();
    this.limits.stop();
    await Promise.allSettled(this.unlisten.splice(0).map((end) => end()));
  }

  /** Null: it is let in, to what there is of its session. */
  private async letIn(
    client: Client,
    password: Readonly<Buffer | undefined>,
  ): Promise<AuthenticateError | null> {
    if (client.id.length > MAX_NAME_CHARACTERS)
      return Object.assign(new Error('The client id is too long'), { returnCode: IDENTIFIER_REJECTED });
    const caller = this.access === null ? null : await this.access.admit(client, password);
    if (caller instanceof Error) return caller;
    const mayEnter = this.limits.enter(client, caller);
    if (!mayEnter) return refusalOf(SERVER_UNAVAILABLE);
    await this.sessions.begin(client, caller === null ? '' : identityOf(caller));
    return null;
  }

  private grant(client: Client, subscription: Subscription): Subscription | null {
    const { topic } = subscription;
    const filters = this.sessions.filtersOf(client);
    const hasRoom = filters.has(topic) || filters.size < MAX_SUBSCRIPTION_COUNT;
    if (!hasRoom) this.dependencies.limits.observer.limited('mqtt', 'subscriptions', client.id);
    if (!hasRoom || !this.maySubscribe(client, topic)) {
      this.sessions.refuse(client, topic);
      return null;
    }
    this.sessions.grant(client, topic);
    return subscription;
  }

  private maySubscribe(client: Client, filter: string): boolean {
    if (filter.length > MAX_NAME_CHARACTERS) return false;
    // The broker's own topics, and shared subscriptions, which it does not know.
    const isOurs = filter.startsWith('$aws/') && this.dialects.some((one) => one.isReserved);
    if (filter.startsWith('$') && !isOurs) return false;
    if (this.access === null) return true;
    return this.access.maySubscribe(
      client,
      firstOf(this.dialects, (dialect) => dialect.deviceOf(filter)),
    );
  }

  private tell(channel: MqttChannel, { key, value }: OutputMessage): void {
    const deviceId = String(key);
    if (channel === 'update.delta') this.deltas.cameBy(deviceId);
    if (this.connectionCount === 0) return;
    for (const dialect of this.dialects) {
      const document = dialect.documentOf(channel, deviceId, value);
      if (document === null) continue;
      this.publish(dialect.outputTopic(channel, deviceId), document);
    }
  }

  private publish(topic: string, document: string | Buffer): void {
    this.broker.publish(messageOf(topic, document), () => undefined);
  }
}
