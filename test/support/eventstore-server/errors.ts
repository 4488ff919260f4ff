import { Metadata, status, type ServerErrorResponse } from '@grpc/grpc-js';
import type { Refusal } from './faults.js';

/** An error with the trailers that the client tells one from another by. */
function failure(code: status, details: string, trailers: Record<string, string> = {}): ServerErrorResponse {
  const metadata = new Metadata();
  // A header takes ASCII only.
  for (const [key, value] of Object.entries(trailers)) metadata.set(key, value.replace(/[^ -~]/g, '?'));
  return Object.assign(new Error(details), { code, details, metadata });
}

export function unavailable(): ServerErrorResponse {
  return failure(status.UNAVAILABLE, 'Server Is Not Ready');
}

export function notLeader(host: string, port: number): ServerErrorResponse {
  return failure(status.NOT_FOUND, 'Leader info available', {
    exception: 'not-leader',
    'leader-endpoint-host': host,
    'leader-endpoint-port': String(port),
  });
}

export function streamDeleted(stream: string): ServerErrorResponse {
  return failure(status.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, {
    exception: 'stream-deleted',
    'stream-name': stream,
  });
}

/** Of a delete or tombstone; an append answers with a message instead. */
export function wrongExpectedVersion(stream: string, expected: bigint, current: number): ServerErrorResponse {
  const text = `Append failed due to WrongExpectedVersion. Stream: ${stream}, Expected version: ${expected}, Actual version: ${current}`;
  return failure(status.FAILED_PRECONDITION, text, {
    exception: 'wrong-expected-version',
    'stream-name': stream,
    'expected-version': String(expected),
    'actual-version': String(current),
  });
}

export function appendTooLarge(maxBytes: number): ServerErrorResponse {
  return failure(status.INVALID_ARGUMENT, `Maximum Append Size of ${maxBytes} Exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(maxBytes),
  });
}

export function missingMetadata(property: string): ServerErrorResponse {
  return failure(status.INVALID_ARGUMENT, `Required Metadata Property '${property}' is missing.`, {
    exception: 'missing-required-metadata-property',
    'required-metadata-properties': 'type,content-type',
  });
}

export function invalidArgument(details: string): ServerErrorResponse {
  return failure(status.INVALID_ARGUMENT, details);
}

export function slowConsumer(): ServerErrorResponse {
  return failure(status.ABORTED, 'Operation timed out');
}

/** Nothing is known of what happened to the call. */
export function connectionLost(): ServerErrorResponse {
  return failure(status.UNAVAILABLE, 'Connection dropped');
}

export function refusalError(refusal: Refusal): Error {
  return refusal.kind === 'not-leader' ? notLeader(refusal.host, refusal.port) : unavailable();
}
