import { createServer, type Server, type Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { type ServerTls } from '../../application/ports/server-tls.js';
import { PacketBound } from './packet-bound.js';

export interface MqttConnectionsOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** A packet that is larger ends its connection. */
  readonly maxPacketBytes: number;
  /** Connections beyond are ended as they come, those whose TLS handshake is not over counted. */
  readonly maxConnectionCount: number;
  /** How long a handshake of TLS may take. */
  readonly arrivalMs: number;
  /** Null: what comes is MQTT in the clear. */
  readonly tls: ServerTls | null;
}

/** The TCP port of MQTT: takes connections, by TLS where that is asked for, and bounds what comes by each. */
export class MqttConnections {
  private readonly server: Server;
  private readonly secured: TlsServer | null;
  private readonly sockets = new Set<Socket>();
  private closed: Promise<void> | null = null;

  /**
   * @param onConnection is given a `TLSSocket` with TLS
   * @param onFailed a handshake failed, or took too long
   */
  constructor(
    private readonly options: MqttConnectionsOptions,
    private readonly onConnection: (connection: Duplex) => void,
    onFailed: (error: Error) => void,
  ) {
    const { tls, arrivalMs } = options;
    this.server = createServer((socket) => this.accept(socket));
    this.secured = tls === null ? null : createSecured(tls, arrivalMs);
    this.secured?.on('secureConnection', (socket) => this.hand(socket));
    this.secured?.on('tlsClientError', (error, socket) => {
      // Node leaves one open whose handshake took too long.
      socket.destroy();
      onFailed(error);
    });
  }

  get count(): number {
    return this.sockets.size;
  }

  /** Resolves with the port that it listens on. Rejects with the system's error where it cannot listen. */
  async listen(): Promise<number> {
    const { host, port } = this.options;
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

  /** Takes no connections any more. */
  close(): void {
    this.closed ??= new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  /** Ends all connections; resolves when the port is free. */
  async destroy(): Promise<void> {
    this.close();
    for (const socket of this.sockets) socket.destroy();
    await this.closed;
  }

  private accept(socket: Socket): void {
    if (this.closed !== null || this.sockets.size >= this.options.maxConnectionCount) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    socket.setNoDelay(true);
    if (this.secured === null) return this.hand(socket);
    // What happens to it before it is secured is told by the handshake's own error.
    socket.on('error', () => undefined);
    this.secured.emit('connection', socket);
  }

  private hand(connection: Duplex): void {
    const { maxPacketBytes } = this.options;
    const bound = new PacketBound(maxPacketBytes);
    const read = connection.read.bind(connection);
    connection.read = (size?: number): unknown => {
      const chunk: unknown = read(size);
      if (!(chunk instanceof Uint8Array) || bound.takes(chunk)) return chunk;
      connection.destroy(new Error(`A packet is larger than ${maxPacketBytes} bytes`));
      return null;
    };
    this.onConnection(connection);
  }
}

/** Does not listen itself: it is given connections that are counted already. */
function createSecured(tls: ServerTls, arrivalMs: number): TlsServer {
  const server = createTlsServer({
    ...tls.context,
    requestCert: tls.asksForCertificates,
    // One without a certificate may have a password; what is wrong with a certificate is told by MQTT.
    rejectUnauthorized: false,
    handshakeTimeout: arrivalMs,
  });
  tls.onRenewed((context) => server.setSecureContext(context));
  return server;
}
