/** Exact revisions are kept as bigint, since a client may name any unsigned 64-bit number and gets it echoed. */
export type ExpectedRevision = 'any' | 'no_stream' | 'stream_exists' | bigint;

export interface ProposedEvent {
  readonly id: string;
  readonly type: string;
  readonly contentType: string;
  readonly data: Uint8Array;
  /** What the protocol calls custom metadata; empty when there is none. */
  readonly metadata: Uint8Array;
}

export interface RecordedEvent extends ProposedEvent {
  readonly stream: string;
  readonly revision: number;
  /** Commit and prepare position in one: they are equal. */
  readonly position: number;
  /** Milliseconds since 1970. */
  readonly created: number;
}

export type AppendOutcome =
  /** `revision` is -1 when nothing was appended to a stream that does not exist. */
  | { readonly kind: 'success'; readonly revision: number; readonly position: number | undefined }
  /** `current` is -1 when there is no such stream. */
  | { readonly kind: 'wrong-expected-version'; readonly current: number }
  | { readonly kind: 'stream-deleted' };

/** The largest revision; as the revision of an event it marks a tombstone, as `$tb` a soft delete. */
export const DELETED_REVISION = 2 ** 63;

/** 2^63 - 1 cannot be a number: the nearest one stands for it inside of the server. */
export function revisionText(revision: number): string {
  return revision >= DELETED_REVISION ? '9223372036854775807' : String(revision);
}

/** The size that counts against the server's limit. */
export function appendedBytes(event: ProposedEvent): number {
  return event.data.length + event.metadata.length + 2 * event.type.length;
}
