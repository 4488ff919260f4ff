import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { type Direction, Lane, type LaneFaults, type LaneStats } from './fault-lane.js';
import { seededRandom } from './random.js';

export type { Direction, LaneFaults } from './fault-lane.js';

/** What all connections suffer, each direction by itself. */
export type Faults = Readonly<Partial<Record<Direction, LaneFaults>>>;

export interface FaultProxyOptions {
  /** The port of the server behind it, on the loopback address; a function where it may change. */
  readonly target: number | (() => number);
  /** What is drawn by lot is drawn from it. */
  readonly seed: number;
  /** Where it listens itself. Default: a free port. */
  readonly port?: number;
}

/** One connection through the proxy. */
export interface ProxiedConnection {
  /** In the order of their coming, from 0. */
  readonly number: number;
  /** Its own faults, in place of those of the proxy; undefined: the proxy's. */
  faults: Faults | undefined;
  /** Ends it with a reset, on both sides. */
  cut(): void;
  /** The server's side is gone (reset), and the client is not told: whatever it sends is swallowed. */
  halfOpen(): void;
}

const HOST = '127.0.0.1';
const DIRECTIONS = ['toServer', 'toClient'] as const;

/** The same in both directions. */
export function bothWays(faults: LaneFaults): Faults {
  return { toServer: faults, toClient: faults };
}

/** A TCP proxy before a server, whose network it is: slow, cut, silent or wrong, as the test wants it at the moment. */
export class FaultProxy {
  readonly stats: Readonly<Record<Direction, LaneStats>> = { toServer: newStats(), toClient: newStats() };
  /** Connections that were accepted, and that the server did not take. */
  accepted = 0;
  /** Of all connections that have none of their own; also of those that are open. */
  faults: Faults = {};
  private readonly open = new Set<Connection>();
  private server: Server | undefined;

  private constructor(
    private readonly options: FaultProxyOptions,
    private listeningPort: number,
  ) {}

  /** Rejects where the port is taken. */
  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options, options.port ?? 0);
    await proxy.admit();
    return proxy;
  }

  get port(): number {
    return this.listeningPort;
  }

  /** Those that are open now. */
  get connections(): ProxiedConnection[] {
    return [...this.open];
  }

  /** Resets all that are open. */
  cut(): void {
    for (const connection of this.open) connection.cut();
  }

  /** All that are open are so for their client alone, see {@link ProxiedConnection.halfOpen}. */
  halfOpen(): void {
    for (const connection of this.open) connection.halfOpen();
  }

  /** Refuses further connections, as a machine does on which nothing listens. Those that are open stay so. */
  refuse(): void {
    // It waits for the open connections; the port is free at once.
    this.server?.close();
    this.server = undefined;
  }

  /** Takes connections again. */
  async admit(): Promise<void> {
    if (this.server !== undefined) return;
    const server = createServer({ allowHalfOpen: true }, (client) => this.accept(client));
    server.listen(this.listeningPort, HOST);
    await once(server, 'listening');
    const address = server.address();
    if (address !== null && typeof address === 'object') this.listeningPort = address.port;
    this.server = server;
  }

  /** No faults any more, and connections are taken. Those that are dead stay so. */
  async heal(): Promise<void> {
    this.faults = {};
    for (const connection of this.open) connection.faults = undefined;
    await this.admit();
  }

  close(): void {
    this.refuse();
    this.cut();
  }

  private accept(client: Socket): void {
    const { target, seed } = this.options;
    const number = this.accepted++;
    const server = connect({
      port: typeof target === 'number' ? target : target(),
      host: HOST,
      allowHalfOpen: true,
    });
    const random = seededRandom(seed + number);
    const connection = new Connection(number, client, server, {
      faults: () => this.faults,
      random,
      stats: this.stats,
      onClose: () => this.open.delete(connection),
    });
    this.open.add(connection);
  }
}

interface ConnectionContext {
  readonly faults: () => Faults;
  readonly random: () => number;
  readonly stats: Readonly<Record<Direction, LaneStats>>;
  readonly onClose: () => void;
}

class Connection implements ProxiedConnection {
  faults: Faults | undefined;
  private readonly lanes: Record<Direction, Lane>;
  private isHalfOpen = false;

  constructor(
    readonly number: number,
    private readonly client: Socket,
    private readonly server: Socket,
    private readonly context: ConnectionContext,
  ) {
    const { random, stats } = context;
    const faultsOf = (direction: Direction) => (): LaneFaults =>
      (this.faults ?? context.faults())[direction] ?? {};
    client.setNoDelay(true);
    server.setNoDelay(true);
    // Behind a dead line nobody is told of the other one's end.
    const isSilent = (): boolean =>
      this.isHalfOpen ||
      Object.values(this.lanes).some(({ isDead }) => isDead) ||
      DIRECTIONS.some((direction) => (faultsOf(direction)().passage ?? 'open') !== 'open');
    this.lanes = {
      toServer: new Lane(client, server, faultsOf('toServer'), random, stats.toServer, isSilent),
      toClient: new Lane(server, client, faultsOf('toClient'), random, stats.toClient, isSilent),
    };
    client.on('error', () => this.cut());
    client.on('close', () => this.end());
    server.on('error', () => {
      if (!isSilent()) this.cut();
    });
    server.on('close', () => {
      if (!isSilent() && server.readableEnded && client.writableEnded) this.end();
    });
  }

  cut(): void {
    this.stop();
    reset(this.client);
    reset(this.server);
    this.context.onClose();
  }

  halfOpen(): void {
    this.isHalfOpen = true;
    this.stop();
    reset(this.server);
  }

  /** The client has gone. */
  private end(): void {
    this.stop();
    this.client.destroy();
    reset(this.server);
    this.context.onClose();
  }

  private stop(): void {
    this.lanes.toServer.stop();
    this.lanes.toClient.stop();
  }
}

/**
 * Cuts the connection by RST. One that is already being ended cannot be: libuv refuses it, and Node then waits for it for
 * ever at its exit.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else if (!socket.destroyed) socket.resetAndDestroy();
}

function newStats(): LaneStats {
  return { bytes: 0, flippedBits: 0, lostBytes: 0 };
}
