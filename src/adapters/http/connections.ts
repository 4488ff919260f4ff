import { type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { networkOf } from '../../application/access/network.js';
import { Places } from '../../application/access/places.js';
import { type LimitObserver } from '../../application/ports/limit-observer.js';

const IDLE_CHECK_MS = 50;
/** For so long a connection that rests may still send what was answered last. */
const SENDING_MS = 1000;
/** What is silent for so long makes room for others where all places are taken. */
const SILENT_MS = 1000;

export interface ConnectionsOptions {
  /** Connections beyond are ended as they come. */
  readonly maxCount: number;
  /** The same, for those from one address; 0: without bounds. */
  readonly maxAddressCount: number;
  /** A client that takes not a byte of its answers for so long is cut. */
  readonly stallMs: number;
  readonly observer: LimitObserver;
}

/** What has not been taken of a connection's answers, and since when it is the same. */
interface Stall {
  readonly writtenBytes: number;
  readonly queuedBytes: number;
  readonly since: number;
}

/**
 * The open connections: bounded, cut where nobody reads the answers, and ended when the service stops. Node closes those
 * that rest between two requests, but waits for ever for one that never sent any, which browsers open ahead of need, and
 * for a handshake of TLS; and it takes one for resting whose answer has ended, though not all of it is sent.
 */
export class Connections {
  private readonly open = new Set<Socket>();
  /** Those that have sent no request yet. By their ends, since with TLS a request has another socket than its connection. */
  private readonly unused = new Map<string, { readonly socket: Socket; readonly since: number }>();
  /** What HTTP is spoken on. */
  private readonly carriers = new Set<Socket>();
  private readonly stalls = new Map<Socket, Stall>();
  private readonly addresses: Places;
  private server: Server | null = null;

  constructor(private readonly options: ConnectionsOptions) {
    this.addresses = new Places(options.maxAddressCount);
  }

  watch(server: Server): void {
    this.server = server;
    server.on('connection', (socket: Socket) => this.accept(socket));
    if (server instanceof TlsServer) server.on('secureConnection', (socket) => this.carry(socket));
    server.on('request', ({ socket }: IncomingMessage) => {
      if (this.unused.size > 0) this.unused.delete(endsOf(socket));
    });
    const timer = setInterval(() => this.cutStalled(), Math.max(10, this.options.stallMs / 4)).unref();
    server.on('close', () => clearInterval(timer));
  }

  /** Closes what carries no request now, and after so many milliseconds what still does. */
  close(graceMs: number): void {
    for (const { socket } of this.unused.values()) socket.destroy();
    const { server } = this;
    if (server === null) return;
    const closeIdle = server.closeIdleConnections.bind(server);
    const began = performance.now();
    // Fastify and Node call it, too.
    server.closeIdleConnections = () => {
      const isSending = [...this.carriers].some(({ writableLength }) => writableLength > 0);
      if (!isSending || performance.now() - began > SENDING_MS) closeIdle();
    };
    // They do so once; those that carry a request now come to rest a moment later.
    setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS).unref();
    setTimeout(() => server.closeAllConnections(), graceMs).unref();
  }

  private accept(socket: Socket): void {
    const { maxCount, observer } = this.options;
    const address = networkOf(socket.remoteAddress ?? '');
    const isFull = this.open.size >= maxCount && !this.makeRoom();
    if (isFull || !this.addresses.take(address)) {
      observer.limited('http', isFull ? 'connections' : 'address-connections', address);
      socket.destroy();
      return;
    }
    const ends = endsOf(socket);
    this.open.add(socket);
    this.unused.set(ends, { socket, since: performance.now() });
    socket.once('close', () => {
      this.addresses.give(address);
      this.open.delete(socket);
      if (this.unused.get(ends)?.socket === socket) this.unused.delete(ends);
    });
    if (!(this.server instanceof TlsServer)) this.carry(socket);
  }

  private carry(socket: Socket): void {
    this.carriers.add(socket);
    socket.once('close', () => {
      this.carriers.delete(socket);
      this.stalls.delete(socket);
    });
  }

  /** Ends the connection that has been silent for the longest, where that is long. */
  private makeRoom(): boolean {
    for (const [ends, { socket, since }] of this.unused) {
      if (performance.now() - since < SILENT_MS) return false;
      this.options.observer.limited('http', 'connections', networkOf(socket.remoteAddress ?? ''));
      socket.destroy();
      this.open.delete(socket);
      this.unused.delete(ends);
      return true;
    }
    return false;
  }

  private cutStalled(): void {
    const now = performance.now();
    for (const socket of this.carriers) {
      const { writableLength } = socket;
      // One that has a time-out of its own is an event stream, which is told when it ends.
      if (writableLength === 0 || (socket.timeout ?? 0) > 0) {
        this.stalls.delete(socket);
        continue;
      }
      const queuedBytes = queueOf(socket);
      const { bytesWritten } = socket;
      const before = this.stalls.get(socket);
      if (before?.writtenBytes !== bytesWritten || before.queuedBytes !== queuedBytes) {
        this.stalls.set(socket, { writtenBytes: bytesWritten, queuedBytes, since: now });
      } else if (now - before.since >= this.options.stallMs) {
        this.options.observer.limited('http', 'slow', networkOf(socket.remoteAddress ?? ''));
        socket.destroy();
      }
    }
  }
}

function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}

/** What the system has not taken of the write in hand; Node's own time-outs look at it, too. */
function queueOf(socket: Socket): number {
  const { _handle } = socket as Socket & { readonly _handle?: { readonly writeQueueSize?: number } };
  return _handle?.writeQueueSize ?? 0;
}

/** Whether an answer has begun on the connection, into which nothing else may be written. */
export function isAnswering(socket: Socket): boolean {
  const { _httpMessage } = socket as Socket & { readonly _httpMessage?: ServerResponse | null };
  return _httpMessage?.headersSent === true;
}
