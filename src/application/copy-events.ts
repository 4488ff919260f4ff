import { setTimeout as pause } from 'node:timers/promises';
import {
  type AppendResult,
  type EventLog,
  EventStoreError,
  type EventStore,
  type RecordedEvent,
  type StreamAppend,
} from './ports/event-store.js';

export interface CopyOptions {
  /** The most events that are read and appended together. Default 1000. */
  readonly batchCount?: number;
  /** A batch ends with the event that makes it so large, in bytes. Default 4 MiB. */
  readonly batchBytes?: number;
  /** An append to a stream ends before it would be larger, in bytes, unless by one event. Default 512 KiB. */
  readonly appendBytes?: number;
  /** How often an append that can be tried again is tried again. Default 10: with the pauses, for about a minute. */
  readonly tries?: number;
  /** The first pause between two tries, in milliseconds; they grow. Default 100. */
  readonly pauseMs?: number;
  /** Called after each batch. */
  readonly onProgress?: (progress: CopyProgress) => void;
}

export interface CopyProgress {
  /** Events that this run has copied, or found copied. */
  readonly events: number;
  /** How much of the log is behind it, from 0 to 1, by positions: an estimate. */
  readonly share: number;
}

export interface Copied {
  /** Events that this run has appended, or found at the place where an earlier one stopped. */
  readonly events: number;
  /** True where an earlier run's copy was gone on with. */
  readonly resumed: boolean;
  /** The last position of the source that was copied; null: the source is empty. */
  readonly lastPosition: bigint | null;
}

/** Thrown where what the target holds is not a part of what the source holds. */
export class OtherEventsError extends Error {
  constructor(place: string) {
    super(`the target has other events than the source: ${place}`);
    this.name = 'OtherEventsError';
  }
}

const DEFAULT_BATCH_COUNT = 1000;
const DEFAULT_BATCH_BYTES = 4 * 1024 * 1024;
const DEFAULT_APPEND_BYTES = 512 * 1024;
const DEFAULT_TRIES = 10;
const DEFAULT_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;

/**
 * Copies the whole log, in its order, with revisions, ids, types, data and metadata as they are. Positions and the
 * times of recording are the target's own. What stands in the target already is recognised by its ids; where the
 * target's last event is one of the source's, the copy goes on from there. In memory there is one batch at a time.
 *
 * Throws `EventStoreError`; {@link OtherEventsError}.
 */
export async function copyEvents(
  source: EventStore,
  target: EventStore,
  options: CopyOptions = {},
): Promise<Copied> {
  const batchCount = options.batchCount ?? DEFAULT_BATCH_COUNT;
  const last = await lastOf(source);
  const targetLast = await lastOf(target);
  if (last === null) {
    if (targetLast !== null) throw new OtherEventsError(placeOf(targetLast));
    return { events: 0, resumed: false, lastPosition: null };
  }
  const resume = targetLast === null ? null : await resumeAt(source, targetLast, batchCount);
  const first = (await firstOf(source))?.position ?? 0n;
  let events = 0;
  let lastPosition = resume?.after ?? null;
  for await (const batch of batchesOf(source, resume, last.position, batchCount, options.batchBytes)) {
    await appendAll(target, appendsOf(batch, options.appendBytes), options);
    events += batch.length;
    lastPosition = batch.at(-1)?.position ?? lastPosition;
    options.onProgress?.({ events, share: shareOf(first, lastPosition ?? first, last.position) });
  }
  return { events, resumed: targetLast !== null, lastPosition };
}

/** How far a position is from the first to the last one. */
export function shareOf(first: bigint, position: bigint, last: bigint): number {
  return last <= first ? 1 : Number(position - first) / Number(last - first);
}

export async function lastOf(store: EventLog): Promise<RecordedEvent | null> {
  for await (const event of store.readAll({ direction: 'backwards', maxCount: 1 })) return event;
  return null;
}

export async function firstOf(store: EventLog): Promise<RecordedEvent | null> {
  for await (const event of store.readAll({ maxCount: 1 })) return event;
  return null;
}

/** Where an earlier run is gone on with. */
interface Resume {
  /** The events after this position are appended. Undefined: all. */
  readonly after: bigint | undefined;
  /** A batch ends here, where the target does: an append that only a part of is new would break the order. */
  readonly targetEnd: bigint;
}

/**
 * Begins a batch before the target's last event, since what was appended together need not have arrived in its order.
 */
async function resumeAt(source: EventStore, targetLast: RecordedEvent, batchCount: number): Promise<Resume> {
  const { stream, revision, id } = targetLast;
  let position: bigint | null = null;
  for await (const same of source.readStream(stream, { from: revision, maxCount: 1 })) {
    if (same.revision === revision && same.id === id) position = same.position;
  }
  if (position === null) throw new OtherEventsError(placeOf(targetLast));
  let earliest: bigint | undefined;
  let count = 0;
  for await (const event of source.readAll({
    direction: 'backwards',
    after: position,
    maxCount: batchCount + 1,
  })) {
    earliest = event.position;
    count++;
  }
  return { after: count > batchCount ? earliest : undefined, targetEnd: position };
}

async function* batchesOf(
  source: EventStore,
  resume: Resume | null,
  last: bigint,
  maxCount: number,
  maxBytes = DEFAULT_BATCH_BYTES,
): AsyncGenerator<RecordedEvent[]> {
  const after = resume?.after;
  let batch: RecordedEvent[] = [];
  let bytes = 0;
  for await (const event of source.readAll(after === undefined ? {} : { after })) {
    // What is recorded meanwhile is for the next run, or the check would not know where to stop.
    if (event.position > last) break;
    batch.push(event);
    bytes += bytesOf(event);
    if (batch.length < maxCount && bytes < maxBytes && event.position !== resume?.targetEnd) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** Neighbours of one stream become one append; the order stays that of the log. */
function appendsOf(batch: readonly RecordedEvent[], maxBytes = DEFAULT_APPEND_BYTES): StreamAppend[] {
  const appends: { stream: string; expectedRevision: number; events: RecordedEvent[] }[] = [];
  let bytes = 0;
  for (const event of batch) {
    const open = appends.at(-1);
    bytes += bytesOf(event);
    if (open?.stream === event.stream && bytes <= maxBytes) {
      open.events.push(event);
      continue;
    }
    appends.push({ stream: event.stream, expectedRevision: event.revision - 1, events: [event] });
    bytes = bytesOf(event);
  }
  return appends;
}

function bytesOf({ type, data, metadata }: RecordedEvent): number {
  return data.length + metadata.length + 2 * type.length;
}

/** Appends them in their order. All are on the way at once, and each that did not arrive so is seen to by itself. */
async function appendAll(
  target: EventStore,
  appends: readonly StreamAppend[],
  options: CopyOptions,
): Promise<void> {
  const results = await Promise.all(appends.map((append) => appendOne(target, append)));
  for (const [index, append] of appends.entries()) {
    await finish(target, append, results[index] as AppendResult, options);
  }
}

/** Tries an append again until it stands in the target. Those before it stand there. */
async function finish(
  target: EventStore,
  append: StreamAppend,
  first: AppendResult,
  options: CopyOptions,
): Promise<void> {
  const { stream, expectedRevision, events } = append;
  const { tries = DEFAULT_TRIES, pauseMs = DEFAULT_PAUSE_MS } = options;
  let result = first;
  for (let left = tries, delay = pauseMs; result.kind !== 'appended'; left--) {
    if (result.kind === 'conflict') {
      const standing = result.revision - expectedRevision;
      if (standing > 0 && standing < events.length) {
        // The first of them stand there: an append whose answer was lost, of an earlier run that made other batches.
        for (const part of [
          { stream, expectedRevision, events: events.slice(0, standing) },
          { stream, expectedRevision: result.revision, events: events.slice(standing) },
        ]) {
          await finish(target, part, await appendOne(target, part), options);
        }
        return;
      }
      // It may have come before an earlier one of its stream, which is there by now.
      if (standing > 0 || left <= 0) {
        throw new OtherEventsError(`${stream} stands at revision ${result.revision}`);
      }
    } else if (!result.error.canRetry || left <= 0) {
      throw result.error;
    } else {
      await pause(delay);
      delay = Math.min(2 * delay, LONGEST_PAUSE_MS);
    }
    result = await appendOne(target, append);
  }
}

async function appendOne(target: EventStore, append: StreamAppend): Promise<AppendResult> {
  const [result] = await target.append([append]);
  if (result === undefined) throw new EventStoreError('invalid', 'an append had no result');
  return result;
}

function placeOf({ stream, revision, id }: RecordedEvent): string {
  return `${stream} has the event ${id} at revision ${revision}`;
}
