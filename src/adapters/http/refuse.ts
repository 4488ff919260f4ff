import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Refusal } from '../../replica/commands.js';
import { rejectedDocument } from '../../replica/documents.js';
import { JSON_TYPE, SAFE_HEADERS } from './replies.js';

/**
 * Answers ahead of the routes, and before anything of the body is read.
 *
 * @param maxDiscardedBytes the most of the body that is read, and thrown away, so that its connection can be used again
 */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal,
  headers: Readonly<Record<string, string>>,
  maxDiscardedBytes: number,
): void {
  if (response.destroyed) return;
  const body = rejectedDocument(refusal, Date.now());
  response.writeHead(refusal.code, {
    ...headers,
    ...Object.fromEntries(SAFE_HEADERS),
    'content-type': JSON_TYPE,
    'content-length': Buffer.byteLength(body),
    // Of a body that may be long nothing is read.
    ...(isShort(request, maxDiscardedBytes) ? {} : { connection: 'close' }),
  });
  response.end(body);
}

/** Whether the body is known to be no longer than this. */
export function isShort({ headers }: IncomingMessage, maxBytes: number): boolean {
  if (headers['transfer-encoding'] !== undefined) return false;
  return Number(headers['content-length'] ?? 0) <= maxBytes;
}
