import sharedMessages from '@eventstore/db-client/generated/shared_pb.js';
import type { Status } from '@eventstore/db-client/generated/status_pb.js';
import streamMessages from '@eventstore/db-client/generated/streams_pb.js';
import { NO_STREAM, type AppendResult, type StreamAppend } from '../../../application/ports/event-store.js';
import { deniedText, storeError } from './errors.js';
import { uuidOf } from './uuid.js';

export type BatchAnswer = InstanceType<typeof streamMessages.BatchAppendResp>;

export function decodeAnswer(bytes: Buffer): BatchAnswer {
  return streamMessages.BatchAppendResp.deserializeBinary(bytes);
}

export function correlationOf(answer: BatchAnswer): string {
  return uuidOf(answer.getCorrelationId());
}

/** google.rpc.Code, as the server uses it here. */
const INVALID_ARGUMENT = 3;
const DEADLINE_EXCEEDED = 4;
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;

/** What one answer says of its append. */
export function resultOf(answer: BatchAnswer, append: StreamAppend, place: string): AppendResult {
  const status = answer.getError();
  if (status === undefined) {
    // Not counted from the expected one: a stream that was deleted, and may come back, goes on with its numbers.
    const success = answer.getSuccess();
    const revision =
      success?.hasCurrentRevision() === true ? Number(success.getCurrentRevision()) : NO_STREAM;
    return { kind: 'appended', revision };
  }
  const details = status.getDetails();
  const type = details?.getTypeName().split('.').at(-1) ?? '';
  switch (type) {
    case 'WrongExpectedVersion':
      return conflictOf(status, append, place);
    case 'StreamDeleted':
      return failed('stream-deleted', `the stream '${append.stream}' was deleted for good`);
    case 'AccessDenied':
      return failed('unavailable', deniedText(`writing to '${append.stream}'`));
    case 'Timeout':
      return failed('outcome-unknown', 'the server ran out of time');
    case 'MaximumAppendSizeExceeded':
    case 'MaximumAppendEventSizeExceeded':
      return failed('too-large', `the append to '${append.stream}' is over the size limit of the server`);
  }
  const reason = status.getMessage() || `code ${status.getCode()}`;
  switch (status.getCode() as number) {
    case NOT_FOUND:
      return failed('stream-deleted', `the stream '${append.stream}' was deleted for good`);
    case PERMISSION_DENIED:
      return failed('unavailable', deniedText(reason));
    case INVALID_ARGUMENT:
      return failed('invalid', `the server refuses the append to '${append.stream}': ${reason}`);
    case DEADLINE_EXCEEDED:
      return failed('outcome-unknown', 'the server ran out of time');
    default:
      return failed('outcome-unknown', `the server failed: ${reason}`);
  }

  function failed(code: Parameters<typeof storeError>[0], why: string): AppendResult {
    return { kind: 'failed', error: storeError(code, place, why) };
  }
}

function conflictOf(status: Status, append: StreamAppend, place: string): AppendResult {
  const details = status
    .getDetails()
    ?.unpack(
      (bytes) => sharedMessages.WrongExpectedVersion.deserializeBinary(bytes),
      'event_store.client.WrongExpectedVersion',
    );
  const revision = details?.hasCurrentStreamRevision()
    ? Number(details.getCurrentStreamRevision())
    : NO_STREAM;
  // A stream that stands where it was expected is no conflict: the server is still about to commit what was there.
  if (details === null || details === undefined || revision === append.expectedRevision) {
    const why = `the server does not tell where the stream '${append.stream}' stands`;
    return { kind: 'failed', error: storeError('outcome-unknown', place, why) };
  }
  return { kind: 'conflict', revision };
}
