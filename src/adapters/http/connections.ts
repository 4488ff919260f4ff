import { type IncomingMessage, type Server } from 'node:http';
import { type Socket } from 'node:net';

const IDLE_CHECK_MS = 50;

/**
 * Ends connections when the service stops. Node closes those that rest between two requests, but waits for ever for
 * one that never sent any, which browsers open ahead of need.
 */
export class Connections {
  private readonly unused = new Set<Socket>();

  constructor(private readonly server: Server) {
    server.on('connection', (socket: Socket) => {
      this.unused.add(socket);
      socket.once('close', () => this.unused.delete(socket));
    });
    server.on('request', ({ socket }: IncomingMessage) => this.unused.delete(socket));
  }

  /** Closes what carries no request now, and after so many milliseconds what still does. */
  close(graceMs: number): void {
    for (const socket of this.unused) socket.destroy();
    // Node does so once; those that carry a request now come to rest a moment later.
    setInterval(() => this.server.closeIdleConnections(), IDLE_CHECK_MS).unref();
    setTimeout(() => this.server.closeAllConnections(), graceMs).unref();
  }
}
