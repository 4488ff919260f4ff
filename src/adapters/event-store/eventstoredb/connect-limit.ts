import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { settlesWithin } from '../../../application/timing.js';

/*
 * grpc-js gives the beginning of a connection no limit: where a server, or what stands before it, takes the connection
 * and then says nothing, every call on the channel waits for it for good, and so do those of a new channel to the same
 * address, which share the connection. Its pings only begin when there is an answer.
 */

/** From the attempt until the server's first words, with the handshake of TLS. */
const CONNECT_MS = 5_000;

interface Connector {
  tcpConnect: (this: Connector, address: unknown, options: unknown) => Promise<Socket>;
  connect: (
    this: Connector,
    ...how: [address: unknown, secureConnector: unknown, options: unknown]
  ) => Promise<{
    shutdown(): void;
  }>;
}

let isInstalled = false;

/** Makes connections fail that are not there in five seconds; the channel then makes another one. Idempotent. */
export function limitConnecting(): void {
  if (isInstalled) return;
  isInstalled = true;
  // Past the public API; test/integration/eventstoredb.connecting.test.ts fails where it moves.
  const transport = createRequire(import.meta.url)('@grpc/grpc-js/build/src/transport.js') as {
    Http2SubchannelConnector: { prototype: Connector };
  };
  const { prototype } = transport.Http2SubchannelConnector;
  const { connect, tcpConnect } = prototype;
  const sockets = new WeakMap<Connector, Socket>();
  prototype.tcpConnect = async function (address, options) {
    const socket = await tcpConnect.call(this, address, options);
    sockets.set(this, socket);
    return socket;
  };
  prototype.connect = async function (...how) {
    const connecting = connect.apply(this, how);
    if (await settlesWithin(connecting, CONNECT_MS)) return connecting;
    // With TLS the handshake would not notice it.
    sockets.get(this)?.destroy();
    void connecting.then(
      (late) => late.shutdown(),
      () => undefined,
    );
    throw new Error(`no answer to a connection within ${CONNECT_MS} ms`);
  };
}
