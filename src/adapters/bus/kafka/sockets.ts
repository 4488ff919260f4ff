import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ISocketFactory, ISocketFactoryArgs } from 'kafkajs';

const KEEP_ALIVE_DELAY_MS = 60_000;

/** The sockets of one kafkajs client. */
export class Sockets {
  private readonly sockets = new Set<Socket>();
  private isCut = false;

  /** As kafkajs's own, and remembers the socket; small requests are sent at once (kafkajs leaves Nagle's delay on). */
  readonly open: ISocketFactory = (target) => {
    // kafkajs takes what this throws for a failed connection.
    if (this.isCut) throw new Error('the client was closed');
    const socket = openSocket(target);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    socket.setNoDelay(true);
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    return socket;
  };

  /** Destroys the open ones and refuses further ones. */
  cut(): void {
    this.isCut = true;
    // With an error kafkajs rejects the requests that wait; without one they would run into their timeouts.
    for (const socket of this.sockets) socket.destroy(new Error('the client was closed'));
  }
}

function openSocket({ host, port, ssl, onConnect }: ISocketFactoryArgs): Socket {
  // kafkajs's type says that there is always TLS; without it the field is null.
  if (!(ssl as unknown)) return connectTcp({ host, port }, onConnect);
  return connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl }, onConnect);
}
