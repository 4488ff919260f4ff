import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { type FastifyError, type FastifyReply } from 'fastify';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import { type Socket } from 'node:net';
import { networkOf } from '../../application/access/network.js';
import { type Limit, type LimitObserver } from '../../application/ports/limit-observer.js';
import { type Observer } from '../../application/ports/observer.js';
import { type ServerTls } from '../../application/ports/server-tls.js';
import { type Refusal } from '../../replica/commands.js';
import { rejectedDocument } from '../../replica/documents.js';
import { type Connections, isAnswering } from './connections.js';
import { type Gate } from './gate.js';
import { refuseOtherMethods } from './known-paths.js';
import { SAFE_HEADERS, sendRefusal, sendStopping } from './replies.js';
import { MAX_HEADER_COUNT, type RequestLimits, whoAsks } from './request-limits.js';

/** The most of the head of a request: its line, which has the URL, and its headers. */
const MAX_HEAD_BYTES = 16 * 1024;
/** What was refused may take so long to read why, before its connection goes. */
const LINGER_MS = 1000;
/** How long a connection may rest between two requests. Longer than common load balancers do, which must end it first. */
const KEEP_ALIVE_MS = 72_000;

/** Answers a request there and then, and tells whether it did. Never throws. */
export type AnswersAhead = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface HttpOptions {
  /** A larger body is refused before it is read: 413. */
  readonly maxRequestBytes: number;
  /** How long the head of a request may take to arrive, and the whole of it; then 408. Before, a handshake of TLS. */
  readonly arrivalMs: number;
  /** Null: what comes is HTTP in the clear. */
  readonly tls: ServerTls | null;
  /** First part of the paths of replicas. */
  readonly prefix: string;
  /** Is offered every request before Fastify sees it, until the service stops. */
  readonly ahead: AnswersAhead;
  /** Lets requests in; null: everyone's. */
  readonly gate: Gate | null;
  readonly limits: RequestLimits;
  readonly connections: Connections;
  readonly observer: LimitObserver;
}

/** Fastify, set up so that a body reaches the command's own reader as the bytes that were sent. */
export function createHttpAdapter(options: HttpOptions): FastifyAdapter {
  const { maxRequestBytes, arrivalMs, tls, prefix, ahead, gate, limits, connections, observer } = options;
  const named = new RegExp(`^/${prefix}/([^/?]+)/name/([^/?]+)(?=[/?]|$)`);
  let isClosing = false;
  const adapter = new FastifyAdapter({
    serverFactory: (handler: RequestListener) => {
      const server = createHttpServer(tls, {
        maxHeaderSize: MAX_HEAD_BYTES,
        headersTimeout: arrivalMs,
        requestTimeout: arrivalMs,
        connectionsCheckingInterval: Math.max(10, Math.min(arrivalMs / 4, 5000)),
        keepAliveTimeout: KEEP_ALIVE_MS,
        handshakeTimeout: arrivalMs,
      });
      // One more than may be, so that it is seen that there are more.
      server.maxHeadersCount = MAX_HEADER_COUNT + 1;
      const guard = (next: RequestListener): RequestListener =>
        limits.first(gate === null ? next : gate.guard(next));
      const serve = (handle: RequestListener): RequestListener => {
        const held = limits.hold(handle);
        return guard(
          limits.pace((request, response) => {
            if (!isClosing && ahead(request, response)) return;
            for (const [name, value] of SAFE_HEADERS) response.setHeader(name, value);
            held(request, response);
          }),
        );
      };
      server.on('request', serve(handler));
      // Whoever asks before it sends a body, or expects what there is not, is told nothing either before it is known.
      server.on(
        'checkContinue',
        serve((request, response) => {
          response.writeContinue();
          handler(request, response);
        }),
      );
      server.on(
        'checkExpectation',
        guard((_request, response) =>
          response.writeHead(417, { ...Object.fromEntries(SAFE_HEADERS), connection: 'close' }).end(),
        ),
      );
      connections.watch(server);
      return server;
    },
    // A named replica is routed as any other, by its whole id.
    rewriteUrl: ({ url = '' }) => url.replace(named, `/${prefix}/$1%2Fname%2F$2`),
    bodyLimit: maxRequestBytes,
    // Idle keep-alive connections must not hold up a stop.
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 512 },
    // Fastify sets these, too, though on servers of its own alone.
    requestTimeout: arrivalMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Answered below, as every other refusal.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => refuseRaw(error, socket, observer),
    // A path that cannot even be routed never comes to Nest's filter.
    frameworkErrors: (error: FastifyError, _request: unknown, reply: FastifyReply) => {
      const tooLong = error.code === 'FST_ERR_MAX_PARAM_LENGTH';
      const message = tooLong ? 'The path is too long' : 'The path is not a valid URL';
      sendRefusal(reply, { code: tooLong ? 414 : 400, message });
    },
  });
  const instance = adapter.getInstance();
  instance.addHook('preClose', (done) => {
    isClosing = true;
    done();
  });
  instance.addHook('onRequest', (_request, reply, done) => {
    if (!isClosing) return done();
    sendStopping(reply);
  });
  instance.addHook('onRequest', (request, reply, done) => {
    const coding = request.headers['content-encoding'];
    if (coding === undefined || coding.toLowerCase() === 'identity') return done();
    // What it would become, nobody knows before it has.
    sendRefusal(reply.header('accept-encoding', 'identity'), COMPRESSED);
  });
  refuseOtherMethods(instance);
  instance.removeAllContentTypeParsers();
  // JSON alone: a browser sends it to another origin only after asking, which a form or plain text does not need.
  for (const type of ['application/json', /^application\/[\w.-]+\+json/]) {
    instance.addContentTypeParser(type, { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  }
  // What AWS's clients send a shadow document as, to their addresses alone.
  instance.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (request, body, done) => {
    if (request.url.startsWith('/things/')) done(null, body);
    else done(Object.assign(new Error('Unsupported media type'), { statusCode: 415 }));
  });
  return adapter;
}

function createHttpServer(tls: ServerTls | null, options: ServerOptions): Server {
  if (tls === null) return createServer(options);
  const server = createTlsServer({ ...options, ...tls.context });
  tls.onRenewed((context) => server.setSecureContext(context));
  return server;
}

const COMPRESSED: Refusal = { code: 415, message: 'A compressed body is not read: send it as it is' };

/** What Node says of a request that it could not read, by its code. */
const UNREADABLE: Readonly<Record<string, Refusal & { readonly limit: Limit }>> = {
  HPE_HEADER_OVERFLOW: {
    code: 431,
    message: `The URL and the headers are larger than ${MAX_HEAD_BYTES} bytes`,
    limit: 'size',
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { code: 413, message: 'The chunk extensions are too large', limit: 'size' },
  ERR_HTTP_REQUEST_TIMEOUT: {
    code: 408,
    message: 'The request did not arrive in time (ARRIVAL_TIMEOUT_MS)',
    limit: 'slow',
  },
};
/** Where TLS has failed nothing can be said, and Node leaves one open whose handshake took too long. */
const NO_TLS = /^ERR_(SSL|TLS)_/;
const NOT_HTTP: Refusal = { code: 400, message: 'The request is not valid HTTP' };

const SAFE_LINES = SAFE_HEADERS.map(([name, value]) => `${name}: ${value}\r\n`).join('');

/** What is not even HTTP gets an answer in HTTP, and its connection ends. */
function refuseRaw(error: Error & { code?: string }, socket: Socket, observer: LimitObserver): void {
  const known = UNREADABLE[error.code ?? ''];
  if (known !== undefined) observer.limited('http', known.limit, networkOf(socket.remoteAddress ?? ''));
  if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') {
    observer.limited('http', 'slow', networkOf(socket.remoteAddress ?? ''));
  }
  const isGone = error.code === 'ECONNRESET' || socket.destroyed || !socket.writable;
  if (isGone || NO_TLS.test(error.code ?? '') || isAnswering(socket)) {
    socket.destroy();
    return;
  }
  const { code, message } = known ?? NOT_HTTP;
  const body = rejectedDocument({ code, message }, Date.now());
  socket.end(
    `HTTP/1.1 ${code} ${STATUS_CODES[code]}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${SAFE_LINES}Connection: close\r\n\r\n${body}`,
  );
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

/** Every error leaves as a rejected document. */
@Catch()
export class RejectedFilter implements ExceptionFilter {
  constructor(
    private readonly observer: Observer,
    private readonly limits: LimitObserver,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    // Health checks have an answer of their own, and so does whatever else has one ready.
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    if (reply.sent) return;
    if (error instanceof HttpException) {
      const body = error.getResponse();
      if (error.getStatus() === 503 && typeof body === 'object') {
        void reply.status(503).send(body);
        return;
      }
    }
    const status = error instanceof HttpException ? error.getStatus() : statusOf(error);
    if (status === null) {
      this.observer.failed('http', error);
      sendRefusal(reply, { code: 500, message: 'Internal error' });
      return;
    }
    if (status === 413) this.limits.limited('http', 'size', whoAsks(reply.request.raw));
    sendRefusal(reply, { code: status, message: messageOf(status, error) });
  }
}

function messageOf(status: number, error: unknown): string {
  if (status === 413) return 'The request is too large';
  if (status === 415) return 'Content-Type must be application/json, in UTF-8';
  return error instanceof Error ? error.message : 'Bad request';
}

/** A status that Fastify gave the client's own mistake; null: ours. */
function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return null;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : null;
}
