import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { type ServerTls } from '../../application/ports/server-tls.js';
import { type ConnectionLimits } from './connection-limits.js';

/** How often at the least the system asks a silent client whether it is there. */
const KEEP_ALIVE_MS = 60_000;

export interface MqttConnectionsOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Connections beyond are ended as they come, those whose TLS handshake is not over counted. */
  readonly limits: Pick<ConnectionLimits, 'admits'>;
  /** How long a handshake of TLS may take. */
  readonly arrivalMs: number;
  /** Null: what comes is MQTT in the clear. */
  readonly tls: ServerTls | null;
}

/** The TCP port of MQTT: takes connections, by TLS where that is asked for, as far as there may be so many. */
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
    private readonly onConnection: (connection: Socket) => void,
    onFailed: (error: Error) => void,
  ) {
    const { tls, arrivalMs } = options;
    this.server = createServer((socket) => this.accept(socket));
    this.secured = tls === null ? null : createSecured(tls, arrivalMs);
    this.secured?.on('secureConnection', onConnection);
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
    if (this.closed !== null || !this.options.limits.admits(socket, this.sockets.size)) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    socket.setNoDelay(true);
    // A client that asks for no keep-alive may be gone without a word.
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    if (this.secured === null) return this.onConnection(socket);
    // What happens to it before it is secured is told by the handshake's own error.
    socket.on('error', () => undefined);
    this.secured.emit('connection', socket);
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
