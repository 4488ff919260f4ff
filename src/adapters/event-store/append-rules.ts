import {
  EventStoreError,
  NO_STREAM,
  type AppendResult,
  type NewEvent,
  type StreamAppend,
} from '../../application/ports/event-store.js';
import { invalid } from './errors.js';

/** Checks of an append that need no look at the store, the same for every adapter that decides by itself. */

/** The default limit of one append: data, metadata and types of its events together, in bytes. */
export const DEFAULT_MAX_APPEND_BYTES = 16 * 1024 * 1024;

const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * The results that are known before the store is asked: `failed` with `invalid` or `too-large`; null where the store
 * has to decide.
 */
export function checkAppends(
  appends: readonly StreamAppend[],
  maxAppendBytes: number,
): (AppendResult | null)[] {
  const results: (AppendResult | null)[] = new Array<AppendResult | null>(appends.length);
  const firstIndexOf = new Map<string, number>();
  appends.forEach((append, index) => {
    const error = checkAppend(append, maxAppendBytes);
    results[index] = error === null ? null : { kind: 'failed', error };
    const first = firstIndexOf.get(append.stream);
    if (first === undefined) {
      firstIndexOf.set(append.stream, index);
      return;
    }
    // Which of the two is meant cannot be told, so neither is recorded.
    const twice = invalid(`the stream '${append.stream}' is named twice in one call`);
    results[first] = { kind: 'failed', error: twice };
    results[index] = { kind: 'failed', error: twice };
  });
  return results;
}

function checkAppend(append: StreamAppend, maxAppendBytes: number): EventStoreError | null {
  const { stream, expectedRevision, events } = append;
  if (stream.length === 0) return invalid('a stream needs a name');
  if (!Number.isSafeInteger(expectedRevision) || expectedRevision < NO_STREAM) {
    return invalid(`the expected revision of '${stream}' must be an integer from -1: ${expectedRevision}`);
  }
  if (events.length === 0) return invalid(`the append to '${stream}' has no event`);
  let bytes = 0;
  for (const event of events) {
    if (!isWellFormed(event))
      return invalid(`the append to '${stream}' has a malformed event: '${event.id}'`);
    bytes += event.data.length + event.metadata.length + 2 * event.type.length;
  }
  if (bytes > maxAppendBytes) {
    const message = `the append to '${stream}' is ${bytes} bytes, over the limit of ${maxAppendBytes}`;
    return new EventStoreError('too-large', message);
  }
  return null;
}

function isWellFormed(event: NewEvent): boolean {
  return (
    CANONICAL_UUID.test(event.id) &&
    event.type.length > 0 &&
    Buffer.isBuffer(event.data) &&
    Buffer.isBuffer(event.metadata)
  );
}

/** Throws `invalid` unless `count` is an integer from 0, infinite, or absent. */
export function checkCount(name: string, count: number | undefined): void {
  if (count === undefined || count === Infinity || (Number.isInteger(count) && count >= 0)) return;
  throw invalid(`${name} must be an integer from 0: ${count}`);
}
