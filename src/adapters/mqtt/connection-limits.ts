import { type Client } from 'aedes';
import { type Socket } from 'node:net';
import { type InFlight } from '../../application/access/in-flight.js';
import { networkOf } from '../../application/access/network.js';
import { Places } from '../../application/access/places.js';
import { type Rates } from '../../application/access/rates.js';
import { type Caller, nameOf } from '../../application/access/rules.js';
import { type LimitObserver } from '../../application/ports/limit-observer.js';
import { PacketIntake } from './packet-intake.js';

export interface ConnectionLimitsOptions {
  /** A packet of twice the size ends its connection. */
  readonly maxRequestBytes: number;
  /** Connections beyond are ended as they come. */
  readonly maxConnectionCount: number;
  /** The same, for those from one address; 0: without bounds. */
  readonly maxAddressCount: number;
  /** The same, for those of one caller that is known; 0: without bounds. */
  readonly maxCallerCount: number;
  /** A CONNECT that does not come whole for so long, or another packet, ends its connection. */
  readonly arrivalMs: number;
  /** Requests a second of each caller; null: without bounds. */
  readonly callerRates: Rates | null;
  /** What publishes and subscribes may take that are in hand. */
  readonly inFlight: InFlight;
  readonly observer: LimitObserver;
}

interface Connection {
  readonly intake: PacketIntake;
  /** By what the client is told apart; before it is let in, its address. */
  name: string;
  isLetIn: boolean;
}

/** How often it is looked for what takes too long: at the least so often in the time that a packet may take. */
const CHECK_COUNT = 4;
const CHECK_MS = 1000;
/** The most that may wait for one client, and for all together. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
const MAX_ALL_WAITING_BYTES = 64 * 1024 * 1024;
/** What is silent for so long makes room for others where all places are taken. */
const SILENT_MS = 1000;

/** What is used of the broker's client beside what its types show. */
interface Alive {
  readonly _keepaliveInterval: number;
  readonly _keepaliveTimer: NodeJS.Timeout | null;
}

/** Bounds the connections of the MQTT edge, and what comes by them. */
export class ConnectionLimits {
  private readonly connections = new Map<Socket, Connection>();
  /** Those that were not let in yet. By their ends, since with TLS MQTT has another socket than its connection. */
  private readonly silent = new Map<string, { readonly socket: Socket; readonly since: number }>();
  private readonly addresses: Places;
  /** By the name of a caller that is known: its connections, with their client ids. */
  private readonly callers = new Map<string, Map<Socket, string>>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: ConnectionLimitsOptions) {
    this.addresses = new Places(options.maxAddressCount);
  }

  start(): void {
    const pauseMs = Math.min(CHECK_MS, this.options.arrivalMs / CHECK_COUNT);
    const count = Math.ceil(this.options.arrivalMs / pauseMs);
    this.timer = setInterval(() => this.check(count), pauseMs).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Whether one more connection may be open than so many. */
  admits(socket: Socket, openCount: number): boolean {
    const { maxConnectionCount, observer } = this.options;
    const address = networkOf(socket.remoteAddress ?? '');
    const isFull = openCount >= maxConnectionCount && !this.makeRoom();
    if (isFull || !this.addresses.take(address)) {
      observer.limited('mqtt', isFull ? 'connections' : 'address-connections', address);
      return false;
    }
    const ends = endsOf(socket);
    this.silent.set(ends, { socket, since: performance.now() });
    socket.once('close', () => {
      if (this.silent.get(ends)?.socket === socket) this.silent.delete(ends);
      this.addresses.give(address);
    });
    return true;
  }

  /** @param handle gives the connection, of which it gets no more than it may have, to the broker */
  take(socket: Socket, handle: () => Client): void {
    const { maxRequestBytes, inFlight, observer } = this.options;
    const intake = new PacketIntake(socket, {
      maxPublishBytes: 2 * maxRequestBytes,
      inFlight,
      pay: () => this.pay(connection),
      onAlive: () => {
        const { _keepaliveInterval, _keepaliveTimer } = client as unknown as Alive;
        if (_keepaliveInterval > 0) _keepaliveTimer?.refresh();
      },
      onTooLarge: (reason) => {
        observer.limited('mqtt', 'size', connection.name);
        socket.destroy(new Error(reason));
      },
    });
    const connection: Connection = { intake, name: networkOf(socket.remoteAddress ?? ''), isLetIn: false };
    this.connections.set(socket, connection);
    socket.once('close', () => this.connections.delete(socket));
    const client = handle();
  }

  /**
   * Whether a client may connect.
   *
   * @param caller who it is; null: nobody asks
   */
  enter(client: Client, caller: Caller | null): boolean {
    const { callerRates, observer } = this.options;
    const socket = client.conn as Socket;
    const connection = this.connections.get(socket);
    if (connection === undefined) return false;
    const name = caller === null ? `client ${client.id}` : nameOf(caller);
    if (callerRates !== null && callerRates.take(name) > 0) {
      observer.limited('mqtt', 'rate', name);
      return false;
    }
    if (caller !== null && !this.isOneOf(name, client.id, socket)) {
      observer.limited('mqtt', 'caller-connections', name);
      return false;
    }
    connection.name = name;
    connection.isLetIn = true;
    this.silent.delete(endsOf(socket));
    return true;
  }

  /** The client was told that it is let in: it may go on. */
  ready(client: Client): void {
    this.connections.get(client.conn as Socket)?.intake.open();
  }

  /** Whether what the client sends waits for its turn: it is read no further than that meanwhile. */
  pace(client: Client, isPaced: boolean): void {
    this.connections.get(client.conn as Socket)?.intake.pace(isPaced);
  }

  /** The broker has begun with a request; gives what is to be called when it has done with it. */
  begin(client: Client, request: 'publish' | 'subscribe'): () => void {
    return this.connections.get(client.conn as Socket)?.intake.begin(request) ?? (() => undefined);
  }

  /** A client has more publishes of QoS 2 than there may be that it has not released. */
  unreleased(client: Client): void {
    this.options.observer.limited('mqtt', 'unreleased', this.nameOf(client));
  }

  private nameOf(client: Client): string {
    return this.connections.get(client.conn as Socket)?.name ?? client.id;
  }

  /** Counts the connection among those of its caller, of which one of the same client id ends for it. */
  private isOneOf(name: string, clientId: string, socket: Socket): boolean {
    const { maxCallerCount } = this.options;
    const sockets = this.callers.get(name) ?? new Map<Socket, string>();
    if (maxCallerCount > 0 && sockets.size >= maxCallerCount) {
      const staying = [...sockets.values()].filter((id) => id !== clientId);
      if (staying.length >= maxCallerCount) return false;
    }
    this.callers.set(name, sockets.set(socket, clientId));
    socket.once('close', () => {
      sockets.delete(socket);
      if (sockets.size === 0 && this.callers.get(name) === sockets) this.callers.delete(name);
    });
    return true;
  }

  private pay({ name, isLetIn }: Connection): number {
    const { callerRates, observer } = this.options;
    if (callerRates === null || !isLetIn) return 0;
    const waitMs = callerRates.reserve(name);
    if (waitMs > 0) observer.limited('mqtt', 'rate', name);
    return waitMs;
  }

  /** Ends the connection that has been silent for the longest, where that is long. */
  private makeRoom(): boolean {
    for (const [ends, { socket, since }] of this.silent) {
      if (performance.now() - since < SILENT_MS) return false;
      this.options.observer.limited('mqtt', 'connections', networkOf(socket.remoteAddress ?? ''));
      this.silent.delete(ends);
      socket.destroy();
      return true;
    }
    return false;
  }

  private check(count: number): void {
    let waitingBytes = 0;
    for (const [socket, { intake }] of this.connections) {
      waitingBytes += socket.writableLength;
      if (intake.isLate(count)) this.cut(socket, 'A packet did not arrive in time');
      else if (socket.writableLength > MAX_WAITING_BYTES) this.cut(socket, 'Too much waits for the client');
    }
    if (waitingBytes <= MAX_ALL_WAITING_BYTES) return;
    const slowest = [...this.connections.keys()].sort((a, b) => b.writableLength - a.writableLength);
    for (const socket of slowest) {
      if (waitingBytes <= MAX_ALL_WAITING_BYTES) return;
      waitingBytes -= socket.writableLength;
      this.cut(socket, 'Too much waits for all clients');
    }
  }

  private cut(socket: Socket, reason: string): void {
    this.options.observer.limited('mqtt', 'slow', this.connections.get(socket)?.name ?? '');
    socket.destroy(new Error(reason));
  }
}

function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}
