import type { StatusObject } from '@grpc/grpc-js';
import { EventStoreError, type EventStoreErrorCode } from '../../../application/ports/event-store.js';
import { VARIABLE } from './connection-string.js';

/** The gRPC codes that mean more here than "try again". */
const INVALID_ARGUMENT = 3;
const DEADLINE_EXCEEDED = 4;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const UNAUTHENTICATED = 16;

/** Said by the channel before anything has left this process. */
const NEVER_SENT = /No connection established|Name resolution failed|Failed to discover/;

export interface Failure {
  readonly code: EventStoreErrorCode;
  /** One line, without a secret. */
  readonly reason: string;
  /** True where the request cannot have reached the store. */
  readonly neverSent: boolean;
}

/** What the channel or the server said of a call as a whole. By its shape: the client wraps some errors and not others. */
export function failureOf(error: unknown): Failure {
  const { code, details, metadata } = statusOf(error);
  const exception = metadata?.get('exception')[0]?.toString() ?? '';
  const reason = inOneLine(details);
  const failure = (kind: EventStoreErrorCode, why: string, neverSent = false): Failure => ({
    code: kind,
    reason: why,
    neverSent,
  });
  switch (exception) {
    case 'stream-deleted':
      return failure('stream-deleted', 'the stream was deleted for good');
    case 'maximum-append-size-exceeded':
      return failure('too-large', 'the append is over the size limit of the server');
    case 'not-leader':
      return failure('unavailable', 'the node that answers is not the leader');
    case 'access-denied':
      return failure('unavailable', deniedText(reason));
  }
  switch (code) {
    case PERMISSION_DENIED:
    case UNAUTHENTICATED:
      return failure('unavailable', deniedText(reason));
    case UNIMPLEMENTED:
      return failure(
        'unavailable',
        `the server does not know the call (${reason}); it must be 23.10 or later`,
      );
    case INVALID_ARGUMENT:
      return failure('invalid', `the server refuses the request: ${reason}`);
    case RESOURCE_EXHAUSTED:
      return failure('too-large', `the request is larger than the server takes: ${reason}`);
    case DEADLINE_EXCEEDED:
      return failure('unavailable', 'the server did not answer in time');
    default:
      return failure('unavailable', reason, NEVER_SENT.test(reason));
  }
}

export function deniedText(reason: string): string {
  return `access denied: check the credentials of ${VARIABLE} and what they may do (${reason})`;
}

/** The error that a caller of the port sees. `place` is where the store is. */
export function toEventStoreError(error: unknown, place: string): EventStoreError {
  if (error instanceof EventStoreError) return error;
  const { code, reason } = failureOf(error);
  return storeError(code, place, reason, error);
}

export function storeError(
  code: EventStoreErrorCode,
  place: string,
  reason: string,
  cause?: unknown,
): EventStoreError {
  return new EventStoreError(code, `${VARIABLE}: event store ${place}: ${reason}`, { cause });
}

/** The same error for an append that was under way: unless it never left, it may have been recorded. */
export function toAppendError(error: unknown, place: string): EventStoreError {
  if (error instanceof EventStoreError) return error;
  const { code, reason, neverSent } = failureOf(error);
  const isOpen = code === 'unavailable' && !neverSent;
  return storeError(isOpen ? 'outcome-unknown' : code, place, reason, error);
}

function statusOf(
  error: unknown,
): { code: number; details: string } & Partial<Pick<StatusObject, 'metadata'>> {
  if (typeof error !== 'object' || error === null) return { code: -1, details: String(error) };
  const { code, details, message, metadata } = error as Partial<StatusObject & Error>;
  return {
    code: typeof code === 'number' ? code : -1,
    details: typeof details === 'string' && details !== '' ? details : (message ?? 'failed'),
    ...(typeof metadata?.get === 'function' && { metadata }),
  };
}

function inOneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').slice(0, 300);
}
