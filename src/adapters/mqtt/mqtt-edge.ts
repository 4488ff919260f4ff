import { Aedes, type AuthenticateError, type Client, type PublishPacket, type Subscription } from 'aedes';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { identityOf } from '../../application/access/known-caller.js';
import { type Caller, FORBIDDEN } from '../../application/access/rules.js';
import { type Bus, type OutputMessage } from '../../application/ports/bus.js';
import { type Authenticator, type CertificateAuthenticator } from '../../application/ports/authenticator.js';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';
import { type PresenceRecorder } from '../../application/presence-recorder.js';
import { type ServerTls } from '../../application/ports/server-tls.js';
import { type ReadReplica } from '../../application/read-replica.js';
import { messageOf as textOf } from '../../application/timing.js';
import { rejectedDocument } from '../../replica/documents.js';
import { CurrentDeltas } from './current-deltas.js';
import { DeltasOnReturn, messageOf } from './deltas-on-return.js';
import { EdgePresence } from './edge-presence.js';
import { MqttAccess } from './mqtt-access.js';
import { MqttConnections } from './mqtt-connections.js';
import { Sessions } from './sessions.js';
import {
  type CommandTopic,
  type Dialect,
  firstOf,
  MQTT_CHANNELS,
  type MqttChannel,
  ShadowTopics,
  Topics,
} from './topics.js';

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
  /** Connections beyond are ended as they come. */
  readonly maxConnectionCount: number;
  /** How long a handshake of TLS may take. */
  readonly arrivalMs: number;
  /** Null: MQTT in the clear. */
  readonly tls: ServerTls | null;
  /** A client that takes nothing of what waits for it for so long is cut. */
  readonly stallMs: number;
}

/** So many topic filters may one client have. */
const MAX_SUBSCRIPTION_COUNT = 100;
/** Where a publish goes that nobody is to get: a topic that nobody can subscribe to. */
const NOWHERE = '$SYS/nowhere';
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
    this.sessions = new Sessions(
      (clientId) => this.clientOf(clientId) !== undefined,
      options.maxConnectionCount,
    );
    const { authenticator, certificates, observer } = dependencies;
    const onEnded = (client: Client, caller: Caller): void => observer.mqttEnded(client.id, caller.id);
    this.access =
      authenticator === null && certificates === null
        ? null
        : new MqttAccess({ authenticator, certificates, onEnded });
    this.presence = new EdgePresence({
      topics,
      access: this.access,
      recorder: dependencies.presence,
      isTakenOver: (client) => ![undefined, client].includes(this.clientOf(client.id)),
      publish: (topic, document) => this.publish(topic, document),
    });
    this.broker = new Aedes({
      persistence: this.sessions.persistence,
      authenticate: (client, _username, password, done) =>
        void this.letIn(client, password).then(
          (refusal) => (refusal === null ? done(null, true) : done(refusal, null)),
          (error: unknown) => client.conn.destroy(error as Error),
        ),
      drainTimeout: options.stallMs,
      // Unbounded: else a few messages that one slow client does not take would hold up those of all others.
      concurrency: 0,
      authorizePublish: (client, packet, done) => this.take(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => done(null, this.grant(client, subscription)),
    });
    this.broker.on('subscribe', (subscriptions, client) => {
      for (const { topic, qos } of subscriptions)
        if (Number(qos) !== FAILED) this.returns.subscribed(client, topic);
    });
    this.broker.on('clientReady', (client) => {
      this.presence.began(client);
      // What a session had subscribed to before; what a client asks for comes by its own packet.
      if (!client.clean) this.returns.resumed(client, this.sessions.filtersOf(client));
    });
    this.broker.on('unsubscribe', (filters, client) => this.sessions.giveUp(client, filters));
    this.broker.on('clientDisconnect', (client) => this.sessions.end(client));
    this.broker.on('clientError', (client, error) => this.dependencies.observer.mqttFailed(client.id, error));
    this.broker.on('connectionError', (_, error) => this.dependencies.observer.mqttFailed(null, error));
    this.connections = new MqttConnections(
      { ...options, maxPacketBytes: 2 * options.maxRequestBytes },
      (connection) => this.broker.handle(connection),
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
    await this.sessions.begin(client, caller === null ? '' : identityOf(caller));
    return null;
  }

  /** Takes a publish before the broker acknowledges it; the broker does so when `done` is called without an error. */
  private take(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    // A command happens once, and is not kept for those who subscribe later.
    packet.retain = false;
    const command = firstOf(this.dialects, (dialect) => dialect.commandOf(packet.topic));
    if (command === null) {
      if (!this.presence.isOwn(client, packet.topic)) {
        this.dependencies.observer.mqttPublished('refused');
        this.dependencies.observer.mqttRefused(client?.id ?? null, packet.topic);
      }
      packet.topic = NOWHERE;
      return done(null);
    }
    const payload = Buffer.from(packet.payload);
    if (this.access?.mayCommand(client, command, payload) === false) {
      this.dependencies.observer.mqttPublished('refused');
      packet.topic = NOWHERE;
      this.refuse(client, command);
      return done(null);
    }
    const send = (): void => {
      this.dependencies.bus.request(command.channel, command.deviceId, payload, {}).then(
        () => {
          this.dependencies.observer.mqttPublished('taken');
          void nextTurn().then(() => done(null));
        },
        (error: unknown) => {
          this.dependencies.observer.mqttPublished('failed');
          done(error instanceof Error ? error : new Error(textOf(error)));
        },
      );
    };
    if (packet.qos !== 2 || client === null) return send();
    // Sent again before it was released: it was taken already.
    void this.sessions.hasTaken(client, packet).then((isTaken) => (isTaken ? done(null) : send()));
  }

  private grant(client: Client, subscription: Subscription): Subscription | null {
    const { topic } = subscription;
    const filters = this.sessions.filtersOf(client);
    const isOneMore = filters.has(topic) || filters.size < MAX_SUBSCRIPTION_COUNT;
    if (!isOneMore || !this.maySubscribe(client, topic)) {
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

  /** Tells the client alone that this is not for it: the same for a device that exists and for one that does not. */
  private refuse(client: Client | null, { channel, deviceId }: CommandTopic): void {
    const rejected = `${channel}.rejected` as const;
    for (const dialect of this.dialects) {
      const document = dialect.documentOf(rejected, deviceId, rejectedDocument(FORBIDDEN, Date.now()));
      if (document === null) continue;
      const message = { ...messageOf(dialect.outputTopic(rejected, deviceId), document), qos: 0 } as const;
      void nextTurn().then(() => client?.publish(message, () => undefined));
    }
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

  private clientOf(clientId: string): Client | undefined {
    const { clients } = this.broker as unknown as {
      readonly clients: Readonly<Record<string, Client | undefined>>;
    };
    return clients[clientId];
  }
}
