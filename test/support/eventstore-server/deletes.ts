import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js';
import type { WriteOptions } from './append-codec.js';
import type { AppendContext } from './appends.js';
import { invalidArgument, refusalError, streamDeleted, wrongExpectedVersion } from './errors.js';
import { after } from './faults.js';

type DeleteKind = 'softDelete' | 'tombstone';
const EXPECTED_NUMBERS = { no_stream: -1n, any: -2n, stream_exists: -4n } as const;

/** Streams.Delete and Streams.Tombstone. */
export function remove(
  { storage, faults }: Pick<AppendContext, 'storage' | 'faults'>,
  kind: DeleteKind,
  call: ServerUnaryCall<WriteOptions, number>,
  callback: sendUnaryData<number>,
): void {
  const refusal = faults.takeRefusal('delete');
  if (refusal) return callback(refusalError(refusal));
  after(faults.delayMs, () => {
    if (call.cancelled) return;
    const { stream, expected } = call.request;
    if (stream === undefined) return callback(invalidArgument('Required field StreamIdentifier not set.'));
    const outcome = storage[kind](stream, expected);
    switch (outcome.kind) {
      case 'success':
        return callback(null, outcome.position ?? 0);
      case 'stream-deleted':
        return callback(streamDeleted(stream));
      case 'wrong-expected-version': {
        const number = typeof expected === 'bigint' ? expected : EXPECTED_NUMBERS[expected];
        return callback(wrongExpectedVersion(stream, number, outcome.current));
      }
    }
  });
}
