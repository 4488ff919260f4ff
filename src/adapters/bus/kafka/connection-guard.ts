import type { Socket } from 'node:net';
import { connectionPrototype, requestQueuePrototype, type Connection } from './kafkajs-internals.js';

/*
 * What comes over a connection may be wrong, may be cut short, or may never come. kafkajs 2.2.4 then throws out of its
 * socket's handler, which ends the process (a length below zero); waits for two gigabytes (a length that is too large);
 * reads the next connection's answers from the middle of the last one's, and takes that one's end for its own; goes on with a connection on which nothing is
 * answered; waits for ever, when it disconnects, for what was asked on it; leaves sockets behind that nobody closes;
 * and obeys a broker that asks it to be quiet for weeks. Here such a connection is given up; kafkajs opens another one
 * and sends again what was under way.
 */

/** No answer is so large: a fetch asks for 10 MiB, and gets more only where a single batch has more. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
/** Also what a listener says that wants TLS. */
export const NO_ANSWER_OF_KAFKA = 'NO_ANSWER_OF_KAFKA';
/** The key of this request in Kafka's protocol. */
const FETCH = 1;
const LENGTH_BYTES = 4;
const CORRELATION_BYTES = 4;
/** Brokers keep a client waiting for the length of their quota's window, which is some ten seconds. */
const MAX_THROTTLE_MS = 30_000;
/** What is under way when a connection is to end gets so long. */
const LAST_ANSWERS_MS = 5_000;

let isInstalled = false;
/** Otherwise each call would open a socket of its own. */
const connecting = new WeakMap<Connection, Promise<unknown>>();
const ending = new WeakSet<Socket>();
/** What is fetched on. */
const fetching = new WeakSet<Connection>();
/** The open sockets: where to, and when something came last. */
const heard = new Map<Socket, { readonly place: string; heardMs: number }>();

/** Makes kafkajs give up connections that cannot be trusted any more. May be called any number of times. */
export function installConnectionGuard(): void {
  if (isInstalled) return;
  isInstalled = true;
  connectionPrototype.processData = function (data) {
    const hearing = this.socket === undefined ? undefined : heard.get(this.socket);
    if (hearing !== undefined) hearing.heardMs = Date.now();
    try {
      takeAnswers(this, data);
    } catch (error) {
      // Its handler rejects what was asked on it, and disconnects.
      this.socket?.destroy(error as Error);
    }
  };

  const originalSend = connectionPrototype.send;
  connectionPrototype.send = async function (ask) {
    const sentMs = Date.now();
    const { socket } = this;
    if (ask.request.apiKey === FETCH) fetching.add(this);
    try {
      return await originalSend.call(this, ask);
    } catch (error) {
      if ((error as Error).name === 'KafkaJSRequestTimeoutError') {
        const reason = `no answer: ${(error as Error).message}`;
        socket?.destroy(new Error(reason));
        giveUpSilent(this.broker, sentMs, reason);
      }
      throw error;
    }
  };

  const originalConnect = connectionPrototype.connect;
  connectionPrototype.connect = function () {
    if (this.isConnected()) return originalConnect.call(this);
    const underWay = connecting.get(this);
    if (underWay !== undefined) return underWay;
    this.chunks = [];
    this.bytesBuffered = 0;
    this.bytesNeeded = LENGTH_BYTES;
    const connected = originalConnect.call(this).finally(() => connecting.delete(this));
    connecting.set(this, connected);
    listen(this);
    return connected;
  };

  const originalDisconnect = connectionPrototype.disconnect;
  connectionPrototype.disconnect = async function () {
    const { socket } = this;
    if (socket === undefined) return originalDisconnect.call(this);
    // kafkajs fetches on connections of their own. Whoever ends one wants nothing any more of what comes.
    if (fetching.has(this)) socket.destroy(new Error('the connection was ended during a fetch'));
    destroyLater(socket);
    const result = await originalDisconnect.call(this);
    letGo(socket);
    return result;
  };

  const originalThrottle = requestQueuePrototype.maybeThrottle;
  requestQueuePrototype.maybeThrottle = function (milliseconds) {
    originalThrottle.call(this, milliseconds === null ? null : Math.min(milliseconds, MAX_THROTTLE_MS));
  };
}

function listen({ socket, broker }: Connection): void {
  if (socket === undefined || heard.has(socket)) return;
  heard.set(socket, { place: broker, heardMs: Date.now() });
  socket.once('close', () => heard.delete(socket));
}

/** kafkajs would take its end, which is still to come, for that of the next connection. */
function letGo(socket: Socket): void {
  for (const event of ['data', 'end', 'error', 'timeout']) socket.removeAllListeners(event);
  socket.on('error', () => undefined);
  socket.resume();
}

/**
 * Where one connection has died without a word, the others have most likely, too; and each that is idle would be found
 * out only when it is used, and a whole timeout later.
 */
function giveUpSilent(broker: string, sinceMs: number, reason: string): void {
  for (const [socket, { place, heardMs }] of heard) {
    if (place === broker && heardMs < sinceMs) socket.destroy(new Error(reason));
  }
}

function destroyLater(socket: Socket): void {
  if (socket.destroyed || ending.has(socket)) return;
  ending.add(socket);
  const timer = setTimeout(() => {
    // With an error, so that kafkajs rejects what waits.
    socket.destroy(new Error(`no answer within ${LAST_ANSWERS_MS} ms of the end of the connection`));
  }, LAST_ANSWERS_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}

/** As kafkajs's own, which copies what it has with each piece that comes. */
function takeAnswers(connection: Connection, data: Buffer): void {
  if (connection.authHandlers !== null && !connection.authExpectResponse) {
    connection.authHandlers.onSuccess(data);
    return;
  }
  connection.chunks.push(data);
  connection.bytesBuffered += data.length;
  while (connection.bytesBuffered >= connection.bytesNeeded) {
    const buffer = Buffer.concat(connection.chunks, connection.bytesBuffered);
    const end = LENGTH_BYTES + lengthOf(buffer);
    const isWhole = buffer.length >= end;
    const rest = isWhole ? buffer.subarray(end) : buffer;
    connection.chunks = [rest];
    connection.bytesBuffered = rest.length;
    connection.bytesNeeded = isWhole ? LENGTH_BYTES : end;
    if (isWhole) give(connection, buffer.subarray(0, end));
  }
}

function lengthOf(buffer: Buffer): number {
  const length = buffer.readInt32BE(0);
  if (length < CORRELATION_BYTES || length > MAX_ANSWER_BYTES) {
    const error = new Error(
      `an answer of ${length} bytes cannot be: it was changed on its way, or is not of Kafka`,
    );
    throw Object.assign(error, { code: NO_ANSWER_OF_KAFKA });
  }
  return length;
}

function give({ authHandlers, requestQueue }: Connection, answer: Buffer): void {
  if (authHandlers !== null) {
    authHandlers.onSuccess(answer);
    return;
  }
  const correlationId = answer.readInt32BE(LENGTH_BYTES);
  if (!requestQueue.inflight.has(correlationId)) {
    throw new Error(`an answer came to a request that was not made, ${correlationId}`);
  }
  const payload = answer.subarray(LENGTH_BYTES + CORRELATION_BYTES);
  requestQueue.fulfillRequest({ correlationId, payload, size: answer.length - LENGTH_BYTES });
}
