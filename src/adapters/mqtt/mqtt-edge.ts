import { Aedes, type Client, type PublishPacket, type Subscription } from 'aedes';
import { createServer, type Server, type Socket } from 'node:net';
import { FORBIDDEN } from '../../application/access/rules.js';
import { type Bus, type OutputMessage } from '../../application/ports/bus.js';
import { type Authenticator } from '../../application/ports/authenticator.js';
import { type MqttObserver } from '../../application/ports/mqtt-observer.js';
import { type ReadReplica } from '../../application/read-replica.js';
import { messageOf as textOf } from '../../application/timing.js';
import { rejectedDocument } from '../../replica/documents.js';
import { CurrentDeltas } from './current-deltas.js';
import { MqttAccess } from './mqtt-access.js';
import { PacketBound } from './packet-bound.js';
import { createSessions, type Sessions } from './sessions.js';
import {
  type CommandTopic,
  type Dialect,
  MQTT_CHANNELS,
  type MqttChannel,
  ShadowTopics,
  Topics,
} from './topics.js';

export interface MqttEdgeDependencies {
  readonly bus: Pick<Bus, 'request' | 'listen'>;
  readonly reader: Pick<ReadReplica, 'delta'>;
  readonly observer: MqttObserver;
  /** Null: whoever connects may do everything. */
  readonly authenticator: Authenticator | null;
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
  /** A client that takes nothing of what waits for it for so long is cut. */
  readonly stallMs: number;
}

/** So many topic filters may one client have. */
const MAX_SUBSCRIPTION_COUNT = 100;
/** Where a publish goes that nobody is to get: a topic that nobody can subscribe to. */
const NOWHERE = '$SYS/nowhere';
const FAILED = 128;

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
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly deltas: CurrentDeltas;
  private unlisten: (() => Promise<void>)[] = [];
  private isStopping = false;

  constructor(
    private readonly dependencies: MqttEdgeDependencies,
    private readonly options: MqttEdgeOptions,
  ) {
    this.dialects = [new Topics(options.prefix), ...(options.withShadowTopics ? [new ShadowTopics()] : [])];
    this.deltas = new CurrentDeltas(dependencies.reader);
    const { persistence, sessions } = createSessions((clientId, filter) =>
      this.isSubscribed(clientId, filter),
    );
    this.sessions = sessions;
    const { authenticator } = dependencies;
    this.access =
      authenticator === null ? null : new MqttAccess(authenticator, (clientId) => this.clientOf(clientId));
    this.broker = new Aedes({
      persistence,
      authenticate: (client, _username, password, done) =>
        this.access === null ? done(null, true) : this.access.authenticate(client, password, done),
      drainTimeout: options.stallMs,
      // Unbounded: else a few messages that one slow client does not take would hold up those of all others.
      concurrency: 0,
      authorizePublish: (client, packet, done) => this.take(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => done(null, this.grant(client, subscription)),
    });
    this.broker.on('subscribe', (subscriptions, client) => {
      for (const { topic, qos } of subscriptions)
        if (Number(qos) !== FAILED) void this.bringUpToDate(client, topic);
    });
    this.broker.on('clientReady', (client) => {
      // What a session had subscribed to before; what a new one asks for comes by its own packet.
      for (const topic of this.filtersOf(client)) void this.bringUpToDate(client, topic);
    });
    this.broker.on('clientError', (client, error) => this.dependencies.observer.mqttFailed(client.id, error));
    this.broker.on('connectionError', (_, error) => this.dependencies.observer.mqttFailed(null, error));
    this.server = createServer((socket) => this.accept(socket));
  }

  /** Open connections, whether they have logged in or not. */
  get connectionCount(): number {
    return this.sockets.size;
  }

  /**
   * Takes connections from when it resolves, with the port that it listens on. Rejects with the system's error where it
   * cannot listen (`EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`), and with `BusError`.
   */
  async start(): Promise<number> {
    const { bus } = this.dependencies;
    const { host, port } = this.options;
    await this.broker.listen();
    for (const channel of MQTT_CHANNELS) {
      this.unlisten.push(await bus.listen(channel, (message) => this.tell(channel, message)));
    }
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  /** Ends all connections. Idempotent. */
  async stop(): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    await new Promise<void>((resolve) => this.broker.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    if (this.server.listening) await closed;
    await Promise.allSettled(this.unlisten.splice(0).map((end) => end()));
  }

  private accept(socket: Socket): void {
    const { maxConnectionCount, maxRequestBytes } = this.options;
    if (this.isStopping || this.sockets.size >= maxConnectionCount) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    socket.setNoDelay(true);
    const bound = new PacketBound(2 * maxRequestBytes);
    const read = socket.read.bind(socket);
    socket.read = (size?: number): unknown => {
      const chunk: unknown = read(size);
      if (!(chunk instanceof Uint8Array) || bound.takes(chunk)) return chunk;
      socket.destroy(new Error(`A packet is larger than ${2 * maxRequestBytes} bytes`));
      return null;
    };
    this.broker.handle(socket);
  }

  /** Takes a publish before the broker acknowledges it; the broker does so when `done` is called without an error. */
  private take(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    // A command happens once, and is not kept for those who subscribe later.
    packet.retain = false;
    const command = this.firstOf((dialect) => dialect.commandOf(packet.topic));
    if (command === null) {
      this.dependencies.observer.mqttPublished('refused');
      this.dependencies.observer.mqttRefused(client?.id ?? null, packet.topic);
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
          done(null);
        },
        (error: unknown) => {
          this.dependencies.observer.mqttPublished('failed');
          done(error instanceof Error ? error : new Error(textOf(error)));
        },
      );
    };
    if (packet.qos !== 2 || client === null) return send();
    // Sent again before it was released: it was taken already.
    this.sessions.incomingGetPacket(client, packet).then(() => done(null), send);
  }

  private grant(client: Client, subscription: Subscription): Subscription | null {
    // The broker's own topics, and shared subscriptions, which it does not know.
    const isOurs = subscription.topic.startsWith('$aws/') && this.dialects.some((one) => one.isReserved);
    if (subscription.topic.startsWith('$') && !isOurs) return null;
    const deviceId = this.firstOf((dialect) => dialect.deviceOf(subscription.topic));
    if (this.access?.maySubscribe(client, deviceId) === false) return null;
    const filters = this.filtersOf(client);
    return filters.length < MAX_SUBSCRIPTION_COUNT || filters.includes(subscription.topic)
      ? subscription
      : null;
  }

  /** Tells the client alone that this is not for it: the same for a device that exists and for one that does not. */
  private refuse(client: Client | null, { channel, deviceId }: CommandTopic): void {
    const rejected = `${channel}.rejected` as const;
    for (const dialect of this.dialects) {
      const document = dialect.documentOf(rejected, deviceId, rejectedDocument(FORBIDDEN, Date.now()));
      if (document === null) continue;
      client?.publish(
        { ...messageOf(dialect.outputTopic(rejected, deviceId), document), qos: 0 },
        () => undefined,
      );
    }
  }

  private tell(channel: MqttChannel, { key, value }: OutputMessage): void {
    const deviceId = String(key);
    if (channel === 'update.delta') this.deltas.cameBy(deviceId);
    if (this.sockets.size === 0) return;
    for (const dialect of this.dialects) {
      // Without a value it is told that there is no replica any more.
      const document = value === null ? '' : dialect.documentOf(channel, deviceId, value);
      if (document === null) continue;
      this.broker.publish(messageOf(dialect.outputTopic(channel, deviceId), document), () => undefined);
    }
  }

  /**
   * Sends what is outstanding to a client that has just begun to listen to one device's delta: all that it missed.
   * Nothing where a delta comes by meanwhile, which is as late or later.
   */
  private async bringUpToDate(client: Client, filter: string): Promise<void> {
    const asked = this.firstOf((dialect) => {
      const deviceId = dialect.deltaDeviceOf(filter);
      return deviceId === null ? null : { dialect, deviceId };
    });
    if (asked === null) return;
    const { dialect, deviceId } = asked;
    try {
      const delta = await this.deltas.read(deviceId);
      if (delta === 'late' || delta.document === null || client.closed) return;
      const shown = dialect.documentOf('update.delta', deviceId, delta.document);
      if (shown === null) return;
      client.publish(messageOf(dialect.outputTopic('update.delta', deviceId), shown), () => undefined);
    } catch (error) {
      // It would wait for what nobody sends; when it comes back it is tried again.
      this.dependencies.observer.mqttFailed(client.id, error);
      client.close();
    }
  }

  private firstOf<T>(ask: (dialect: Dialect) => T | null): T | null {
    for (const dialect of this.dialects) {
      const answer = ask(dialect);
      if (answer !== null) return answer;
    }
    return null;
  }

  private isSubscribed(clientId: string, filter: string): boolean {
    const client = this.clientOf(clientId);
    return client !== undefined && this.subscriptionsOf(client)[filter] !== undefined;
  }

  private clientOf(clientId: string): Client | undefined {
    const { clients } = this.broker as unknown as {
      readonly clients: Readonly<Record<string, Client | undefined>>;
    };
    return clients[clientId];
  }

  private filtersOf(client: Client): string[] {
    return Object.keys(this.subscriptionsOf(client));
  }

  private subscriptionsOf(client: Client): Readonly<Record<string, object | undefined>> {
    return (client as unknown as { readonly subscriptions: Readonly<Record<string, object | undefined>> })
      .subscriptions;
  }
}

function messageOf(topic: string, document: string | Buffer): PublishPacket {
  return { cmd: 'publish', topic, payload: Buffer.from(document), qos: 1, retain: false, dup: false };
}
