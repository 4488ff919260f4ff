import { DELETED_REVISION, type RecordedEvent } from './model.js';

/** The part of a stream's metadata that hides events from reads of that stream. */
export interface Retention {
  readonly maxCount?: number;
  readonly maxAgeSeconds?: number;
  readonly truncateBefore?: number;
}

export type StreamMetadata = Record<string, unknown>;

/** Metadata that is no JSON object counts as none, as on the real server. */
export function parseMetadata(data: Uint8Array): StreamMetadata {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
    return typeof parsed === 'object' && parsed !== null ? (parsed as StreamMetadata) : {};
  } catch {
    return {};
  }
}

export function retentionOf(metadata: StreamMetadata): Retention {
  return {
    maxCount: positive(metadata['$maxCount']),
    maxAgeSeconds: positive(metadata['$maxAge']),
    truncateBefore: positive(metadata['$tb']),
  };
}

export function isSoftDeleted(retention: Retention): boolean {
  return retention.truncateBefore !== undefined && retention.truncateBefore >= DELETED_REVISION;
}

/** The index, which is also the revision, of the first event that a read of the stream may show. */
export function firstVisible(events: readonly RecordedEvent[], retention: Retention, now: number): number {
  const { maxCount, maxAgeSeconds, truncateBefore } = retention;
  let first = Math.min(truncateBefore ?? 0, events.length);
  if (maxCount !== undefined) first = Math.max(first, events.length - maxCount);
  if (maxAgeSeconds !== undefined) {
    const oldest = now - maxAgeSeconds * 1000;
    first = Math.max(
      first,
      firstIndex(events, (event) => event.created >= oldest),
    );
  }
  return first;
}

/** Where in a list, in which all that fulfil the condition come last, the first of them stands. */
export function firstIndex<T>(list: readonly T[], fulfils: (item: T) => boolean): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = list[middle];
    if (item !== undefined && fulfils(item)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function positive(value: unknown): number | undefined {
  return typeof value === 'number' && value > 0 ? value : undefined;
}
