import type streamMessages from '@eventstore/db-client/generated/streams_pb.js';
import type { RecordedEvent } from '../../../application/ports/event-store.js';
import { uuidOf } from './uuid.js';

export type ReadAnswer = InstanceType<typeof streamMessages.ReadResp>;

/** The server counts in ticks of 100 ns since 1970. */
const TICKS_PER_MS = 10_000n;

/** The event of an answer, its bytes as they were stored; null: the answer is about something else. */
export function recordedEventOf(answer: ReadAnswer): RecordedEvent | null {
  const event = answer.getEvent()?.getEvent();
  if (event === undefined) return null;
  const metadata = event.getMetadataMap();
  return {
    id: uuidOf(event.getId()),
    type: metadata.get('type') ?? '',
    data: bufferOf(event.getData_asU8()),
    metadata: bufferOf(event.getCustomMetadata_asU8()),
    stream: bufferOf(event.getStreamIdentifier()?.getStreamName_asU8()).toString(),
    revision: Number(event.getStreamRevision()),
    position: BigInt(event.getCommitPosition()),
    recordedAt: Number(BigInt(metadata.get('created') ?? '0') / TICKS_PER_MS),
  };
}

/** The server's own events, such as the mark of a stream that was deleted for good; the log shows them among ours. */
export function isOfServer({ type }: RecordedEvent): boolean {
  return type.startsWith('$');
}

/** No copy: each answer has bytes of its own. */
function bufferOf(bytes: Uint8Array | undefined): Buffer {
  if (bytes === undefined) return Buffer.alloc(0);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
