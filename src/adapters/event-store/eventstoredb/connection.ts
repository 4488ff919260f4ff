import { EventStoreDBClient } from '@eventstore/db-client';
import grpcServices from '@eventstore/db-client/generated/streams_grpc_pb.js';
import type { CallOptions, Channel, Client, Metadata } from '@grpc/grpc-js';
import { limitConnecting } from './connect-limit.js';
import type { ConnectionSettings } from './connection-string.js';
import { placeOf } from './connection-string.js';
import { failureOf } from './errors.js';
import type { EventStoreLogger } from './logger.js';

/** What every gRPC call can do. */
export interface Call {
  cancel(): void;
  once(event: 'status', listener: () => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
}

/** Starts a call on a channel. The metadata and options are those that the client would use. */
export type StartCall<T extends Call> = (client: Client, metadata: Metadata, options: CallOptions) => T;

/** An open call, and what it failed with as soon as it has. */
export interface OpenCall<T extends Call> {
  readonly call: T;
  /** The channel's client, for {@link Connection.failed}. */
  readonly client: Client;
}

/**
 * The client's connection: its discovery, TLS, credentials and change of node, without its calls. Those would parse
 * and re-write every event's JSON, and share one map of pending appends among all clients of the process.
 */
class NodeClient extends EventStoreDBClient {
  private readonly clients = new WeakMap<Channel, Client>();

  async clientOf(): Promise<{ client: Client; channel: Channel }> {
    const channel = await this.getChannel();
    let client = this.clients.get(channel);
    if (client === undefined) {
      // With a channel given, address and credentials are not looked at; the client itself passes null for both.
      const none = null as never;
      client = new grpcServices.StreamsClient(none, none, { channelOverride: channel });
      this.clients.set(channel, client);
    }
    return { client, channel };
  }

  arguments(deadline: Date | number): [Metadata, CallOptions] {
    return this.callArguments({ requiresLeader: true }, { deadline });
  }

  /** Gives the channel up where the error says that another one is needed; the next call finds the node anew. */
  async reconnectAfter(client: Client, error: Error): Promise<void> {
    await this.handleError(client, error);
  }
}

/** One connection to the store, made when it is needed and again after it was lost. */
export class Connection {
  readonly place: string;
  private readonly node: NodeClient;
  private readonly calls = new Set<Call>();
  private channel: Channel | undefined;
  private outage = false;
  private closed = false;

  constructor(
    settings: ConnectionSettings,
    private readonly logger: EventStoreLogger,
  ) {
    limitConnecting();
    this.place = placeOf(settings);
    this.node = createNodeClient(settings);
  }

  /**
   * Opens a call; it is cancelled by {@link close}. Rejects where the node cannot be found.
   *
   * @param deadline when the server or the channel gives it up; default never
   */
  async open<T extends Call>(start: StartCall<T>, deadline: Date | number = Infinity): Promise<OpenCall<T>> {
    const { client, channel } = await this.node.clientOf();
    this.channel = channel;
    if (this.closed) {
      channel.close();
      throw new Error('the connection is closed');
    }
    const call = start(client, ...this.node.arguments(deadline));
    this.calls.add(call);
    call.once('status', () => this.calls.delete(call));
    // An error without a listener would end the process; also one that comes when nobody asks for it any more.
    call.on('error', () => undefined);
    return { call, client };
  }

  /** To be told of every failed call, so that the next one gets a connection that works. */
  async failed(error: unknown, client?: Client): Promise<void> {
    if (this.closed) return;
    const { code, reason } = failureOf(error);
    if (code === 'unavailable' && !this.outage) {
      this.outage = true;
      this.logger.warn({ eventStore: this.place, reason }, 'The event store does not answer as it should');
    }
    if (client === undefined) return;
    // It throws where the server's trailers are not as it expects them; a new call will show what is wrong.
    await this.node.reconnectAfter(client, error as Error).catch(() => undefined);
  }

  /** To be told when the store has answered. */
  answered(): void {
    if (!this.outage) return;
    this.outage = false;
    this.logger.info({ eventStore: this.place }, 'The event store answers again');
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const call of this.calls) call.cancel();
    this.channel?.close();
  }
}

function createNodeClient(settings: ConnectionSettings): NodeClient {
  const { keepAliveIntervalMs, keepAliveTimeoutMs, connectionName, credentials } = settings;
  const common = {
    defaultDeadline: settings.deadlineMs,
    ...(keepAliveIntervalMs !== undefined && { keepAliveInterval: keepAliveIntervalMs }),
    ...(keepAliveTimeoutMs !== undefined && { keepAliveTimeout: keepAliveTimeoutMs }),
    ...(connectionName !== undefined && { connectionName }),
  };
  const channel = {
    insecure: !settings.tls,
    ...(settings.rootCertificate && { rootCertificate: settings.rootCertificate }),
    ...(settings.userCertificate && {
      userCertFile: settings.userCertificate.certificate,
      userKeyFile: settings.userCertificate.key,
    }),
  };
  const endpoints = [...settings.endpoints];
  const [first] = endpoints;
  if (first === undefined) throw new Error('no endpoint');
  if (!settings.discover) return new NodeClient({ ...common, endpoint: first }, channel, credentials);
  const discovery = {
    ...common,
    // Whoever waits for the store tries again by itself, and is told sooner what is wrong.
    maxDiscoverAttempts: settings.maxDiscoverAttempts ?? 2,
    ...(settings.discoveryIntervalMs !== undefined && { discoveryInterval: settings.discoveryIntervalMs }),
    ...(settings.gossipTimeoutSeconds !== undefined && { gossipTimeout: settings.gossipTimeoutSeconds }),
  };
  return endpoints.length === 1
    ? new NodeClient({ ...discovery, discover: first }, channel, credentials)
    : new NodeClient({ ...discovery, endpoints }, channel, credentials);
}
