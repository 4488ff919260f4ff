import { type FastifyReply } from 'fastify';
import { type ServerResponse } from 'node:http';
import { type Refusal } from '../../replica/commands.js';
import { rejectedDocument } from '../../replica/documents.js';
import { shadowErrorHeaders } from './shadow-errors.js';

export const JSON_TYPE = 'application/json; charset=utf-8';

/** On every answer that says nothing else: a state is nobody's to keep, and JSON is not to be taken for a page. */
export const SAFE_HEADERS = [
  ['x-content-type-options', 'nosniff'],
  ['cache-control', 'no-store'],
] as const;

export function sendDocument(reply: FastifyReply, status: number, document: string | Buffer): void {
  void reply.status(status).header('content-type', JSON_TYPE).send(document);
}

/** @param clientToken that of the request, where it could be read */
export function sendRefusal(reply: FastifyReply, refusal: Refusal, clientToken?: string): void {
  // These can be tried again soon; the client is told when.
  if (refusal.code === 503 || refusal.code === 429) void reply.header('retry-after', '1');
  void reply.headers(shadowErrorHeaders(reply.request.url, refusal.code));
  sendDocument(reply, refusal.code, rejectedDocument(refusal, Date.now(), clientToken));
}

/** Refuses what comes while the service stops. The client is to connect anew. */
export function sendStopping(reply: FastifyReply): void {
  void reply.header('connection', 'close');
  sendRefusal(reply, { code: 503, message: 'The service is stopping' });
}

/** An ETag is the version: the same for every representation of it. */
export function etagOf(version: number): string {
  return `"${version}"`;
}

/** If-None-Match: a list of ETags, weak or strong, or `*`. */
export function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((part) => part.trim() === '*' || part.trim().replace(/^W\//, '') === etag);
}

/** Calls back once, when the answer has been sent or its connection is gone. */
export function onClose(response: ServerResponse, listener: () => void): void {
  const { socket } = response.req;
  if (response.destroyed || socket.destroyed) return listener();
  // Behind the answer to an earlier request it has no connection yet, and Node would not tell it that this one closed.
  const isQueued = response.socket === null;
  const close = (): void => {
    response.off('close', close);
    socket.off('close', close);
    listener();
  };
  response.once('close', close);
  if (!isQueued) return;
  // As many as a client sends without waiting.
  socket.setMaxListeners(0);
  socket.once('close', close);
}

/** Aborts when the client's connection is gone before it was answered. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  const response = reply.raw;
  onClose(response, () => {
    if (!response.writableEnded) gone.abort();
  });
  return gone.signal;
}
