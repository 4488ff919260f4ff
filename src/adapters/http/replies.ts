import { type FastifyReply } from 'fastify';
import { type Refusal } from '../../replica/commands.js';
import { rejectedDocument } from '../../replica/documents.js';

export const JSON_TYPE = 'application/json; charset=utf-8';

export function sendDocument(reply: FastifyReply, status: number, document: string | Buffer): void {
  void reply.status(status).header('content-type', JSON_TYPE).send(document);
}

/** @param clientToken that of the request, where it could be read */
export function sendRefusal(reply: FastifyReply, refusal: Refusal, clientToken?: string): void {
  // A 503 can be tried again soon; the client is told when.
  if (refusal.code === 503) void reply.header('retry-after', '1');
  sendDocument(reply, refusal.code, rejectedDocument(refusal, Date.now(), clientToken));
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

/** Aborts when the client's connection is gone before it was answered. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  const response = reply.raw;
  const close = (): void => {
    if (!response.writableEnded) gone.abort();
  };
  if (response.destroyed) gone.abort();
  else response.once('close', close);
  return gone.signal;
}
