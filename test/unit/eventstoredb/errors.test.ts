import { describe, expect, it } from '@jest/globals';
import grpc from '@grpc/grpc-js';
import { toAppendError, toEventStoreError } from '../../../src/adapters/event-store/eventstoredb/errors.js';

/** An error of a call as the transport gives it. */
function callError(code: number, details: string, trailers: Record<string, string> = {}): Error {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(trailers)) metadata.set(name, value);
  return Object.assign(new Error(`${code}: ${details}`), { code, details, metadata });
}

const { status } = grpc;
const LOST = 'Connection dropped';

describe('an error of a call', () => {
  it.each([
    ['a lost connection', callError(status.UNAVAILABLE, LOST), 'unavailable', 'outcome-unknown'],
    [
      'no connection',
      callError(status.UNAVAILABLE, 'No connection established. Last error: connect ECONNREFUSED'),
      'unavailable',
      'unavailable',
    ],
    ['no leader found', new Error('Failed to discover after 2 attempts.'), 'unavailable', 'unavailable'],
    ['a deadline', callError(status.DEADLINE_EXCEEDED, 'Deadline'), 'unavailable', 'outcome-unknown'],
    ['a slow consumer', callError(status.ABORTED, 'too slow'), 'unavailable', 'outcome-unknown'],
    ['a call that was cancelled', callError(status.CANCELLED, 'stop'), 'unavailable', 'outcome-unknown'],
    [
      'a node that is not the leader',
      callError(status.NOT_FOUND, 'Leader info available', { exception: 'not-leader' }),
      'unavailable',
      'outcome-unknown',
    ],
    [
      'a stream that was deleted',
      callError(status.FAILED_PRECONDITION, 'deleted', { exception: 'stream-deleted' }),
      'stream-deleted',
      'stream-deleted',
    ],
    [
      'a size limit',
      callError(status.INVALID_ARGUMENT, 'large', { exception: 'maximum-append-size-exceeded' }),
      'too-large',
      'too-large',
    ],
    [
      'a message too large',
      callError(status.RESOURCE_EXHAUSTED, 'larger than max'),
      'too-large',
      'too-large',
    ],
    ['a bad request', callError(status.INVALID_ARGUMENT, 'bad'), 'invalid', 'invalid'],
    ['something that is no error', 'what', 'unavailable', 'outcome-unknown'],
    ['nothing', undefined, 'unavailable', 'outcome-unknown'],
  ])('is mapped: %s', (_, error, ofRead, ofAppend) => {
    const read = toEventStoreError(error, 'host:2113');
    expect({ read: read.code, append: toAppendError(error, 'host:2113').code }).toEqual({
      read: ofRead,
      append: ofAppend,
    });
    expect(read.message).toMatch(/^EVENTSTORE_CONNECTION_STRING: event store host:2113: .+$/);
  });

  it.each([
    callError(status.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' }),
    callError(status.UNAUTHENTICATED, 'Bad credentials'),
  ])('says what to look at where access is denied', (error) => {
    const { code, message } = toEventStoreError(error, 'host:2113');
    expect(code).toBe('unavailable');
    expect(message).toContain('EVENTSTORE_CONNECTION_STRING');
  });

  it('is told in one line', () => {
    const { message } = toEventStoreError(callError(status.UNKNOWN, 'one\r\ntwo\nthree'), 'host:2113');
    expect(message).toBe('EVENTSTORE_CONNECTION_STRING: event store host:2113: one two three');
  });
});
