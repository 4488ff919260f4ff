import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { type FastifyError, type FastifyReply } from 'fastify';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type Socket } from 'node:net';
import { type Observer } from '../../application/ports/observer.js';
import { rejectedDocument } from '../../replica/documents.js';
import { type Gate } from './gate.js';
import { sendRefusal, sendStopping } from './replies.js';

/** How long a whole request may take to arrive. */
const REQUEST_TIMEOUT_MS = 60_000;
/** How long a connection may rest between two requests. Longer than common load balancers do, which must end it first. */
const KEEP_ALIVE_MS = 72_000;

/** Answers a request there and then, and tells whether it did. Never throws. */
export type AnswersAhead = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * Fastify, set up so that a body reaches the command's own reader as the bytes that were sent.
 *
 * @param maxRequestBytes a larger body is refused before it is read: 413
 * @param prefix first part of the paths of replicas
 * @param ahead is offered every request before Fastify sees it, until the service stops
 * @param gate lets requests in; null: everyone's
 */
export function createHttpAdapter(
  maxRequestBytes: number,
  ahead: AnswersAhead,
  prefix: string,
  gate: Gate | null,
): FastifyAdapter {
  const named = new RegExp(`^/${prefix}/([^/?]+)/name/([^/?]+)(?=[/?]|$)`);
  let isClosing = false;
  const adapter = new FastifyAdapter({
    serverFactory: (handler: RequestListener) => {
      const server = createServer();
      const serve: RequestListener = (request, response) => {
        if (isClosing || !ahead(request, response)) handler(request, response);
      };
      if (gate === null) server.on('request', serve);
      else listenBehind(gate, server, serve);
      // Fastify sets these on servers of its own alone.
      server.requestTimeout = REQUEST_TIMEOUT_MS;
      server.keepAliveTimeout = KEEP_ALIVE_MS;
      return server;
    },
    // A named replica is routed as any other, by its whole id.
    rewriteUrl: ({ url = '' }) => url.replace(named, `/${prefix}/$1%2Fname%2F$2`),
    bodyLimit: maxRequestBytes,
    // Idle keep-alive connections must not hold up a stop.
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 512 },
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Answered below, as every other refusal.
    return503OnClosing: false,
    clientErrorHandler: refuseRaw,
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

/** Whoever asks before it sends a body, or expects what there is not, is told nothing either before it is known. */
function listenBehind(gate: Gate, server: Server, serve: RequestListener): void {
  server.on('request', gate.guard(serve));
  server.on(
    'checkContinue',
    gate.guard((request, response) => {
      response.writeContinue();
      serve(request, response);
    }),
  );
  server.on(
    'checkExpectation',
    gate.guard((_request, response) => response.writeHead(417, { connection: 'close' }).end()),
  );
}

/** What is not even HTTP gets an answer in HTTP, and its connection ends. */
function refuseRaw(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return;
  const body = rejectedDocument({ code: 400, message: 'The request is not valid HTTP' }, Date.now());
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** Every error leaves as a rejected document. */
@Catch()
export class RejectedFilter implements ExceptionFilter {
  constructor(private readonly observer: Observer) {}

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
