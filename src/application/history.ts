import { refusals } from '../replica/commands.js';
import { type Origin, type ReplicaEvent, type SectionChanged } from '../replica/events.js';
import { streamOf } from '../replica/stored.js';
import { answer, type Answer, type Moment, refuse } from './moments.js';
import { Pacer } from './pacing.js';
import { type Past, type Placed } from './past.js';
import { type EventLog, type RecordedEvent } from './ports/event-store.js';
import { decode } from './replicas.js';

export const DEFAULT_PAGE_COUNT = 100;
export const MAX_PAGE_COUNT = 1000;
/** A page ends after the event that reaches this: an event may be as large as a request. */
export const MAX_PAGE_BYTES = 4 * 1024 * 1024;

export interface HistoryOptions {
  /** Default: the newest event first. */
  readonly order?: 'newest' | 'oldest';
  /** Inclusive: a version's events, with its delete, or those of a millisecond. */
  readonly from?: Moment | null;
  readonly to?: Moment | null;
  /** From 1 to {@link MAX_PAGE_COUNT}; default {@link DEFAULT_PAGE_COUNT}. */
  readonly limit?: number;
  /** That of the page before, whose order and range it holds; those given beside it are not looked at. */
  readonly cursor?: string;
}

/** An event as those who look back are shown it. */
export interface ShownEvent {
  readonly type: ReplicaEvent['type'];
  readonly version: number;
  readonly timestamp: number;
  /** When the store recorded it, milliseconds since the epoch. */
  readonly recordedAt: number;
  readonly revision: number;
  /** The request's section: a merge patch, or null. Absent for a delete. */
  readonly state?: SectionChanged['state'];
  readonly clientToken?: string;
  readonly source: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
    readonly timestamp: number;
    readonly messageId?: string;
    readonly correlationId?: string;
    readonly traceparent?: string;
  };
}

export interface HistoryPage {
  readonly events: readonly ShownEvent[];
  /** Where the next page begins; absent: this is the last one. */
  readonly cursor?: string;
}

export function showEvent(recorded: RecordedEvent, event: ReplicaEvent, origin: Origin): ShownEvent {
  const { topic, partition, offset, timestamp } = origin.source;
  const { messageId, correlationId, traceparent } = origin;
  return {
    type: event.type,
    version: event.version,
    timestamp: event.timestamp,
    recordedAt: recorded.recordedAt,
    revision: recorded.revision,
    ...(event.type === 'ReplicaDeleted' ? {} : { state: event.state }),
    ...(event.clientToken === undefined ? {} : { clientToken: event.clientToken }),
    source: {
      topic,
      partition,
      offset,
      timestamp,
      ...(messageId === undefined ? {} : { messageId }),
      ...(correlationId === undefined ? {} : { correlationId }),
      ...(traceparent === undefined ? {} : { traceparent }),
    },
  };
}

/** Revisions, both inclusive, and which end comes first. */
export interface Range {
  readonly newestFirst: boolean;
  readonly low: number;
  readonly high: number;
}

/** A page of a device's events. Refuses with 404 where the device never had one, and with 400 a cursor that is none. Throws `EventStoreError`. */
export async function historyPage(
  store: EventLog,
  past: Past,
  deviceId: string,
  options: HistoryOptions,
): Promise<Answer<HistoryPage>> {
  const last = await past.last(deviceId);
  if (last === null) return { ok: false, refusal: refusals.notFound(deviceId) };
  const range = await readRange(past, deviceId, last, options);
  if (!range.ok) return range;
  const { newestFirst, low, high } = range.value;
  const limit = options.limit ?? DEFAULT_PAGE_COUNT;
  const maxCount = Math.min(limit, high - low + 1);
  const events: ShownEvent[] = [];
  if (maxCount <= 0) return answer({ events });
  const pacer = new Pacer();
  let bytes = 0;
  const reads = store.readStream(streamOf(deviceId), {
    direction: newestFirst ? 'backwards' : 'forwards',
    from: newestFirst ? high : low,
    maxCount,
  });
  for await (const recorded of reads) {
    const { event, origin } = decode(recorded);
    events.push(showEvent(recorded, event, origin));
    bytes += recorded.data.length + recorded.metadata.length;
    if (bytes >= MAX_PAGE_BYTES) break;
    if (pacer.isDue) await pacer.pause();
  }
  return answer({ events, ...cursorAfter(range.value, events.at(-1)?.revision) });
}

/** Where a page is to begin, and where the last one ends. Refuses with 400 a cursor that is none. */
export async function readRange(
  past: Past,
  deviceId: string,
  last: Placed,
  options: HistoryOptions,
): Promise<Answer<Range>> {
  if (options.cursor === undefined) return answer(await rangeOf(past, deviceId, last, options));
  const range = parseCursor(options.cursor, last.revision);
  return range === null ? refuse(400, 'Invalid cursor') : answer(range);
}

/** The cursor of the page after one that ended with this revision; none where that was the last of the range. */
export function cursorAfter(
  { newestFirst, low, high }: Range,
  end: number | undefined,
): { readonly cursor?: string } {
  if (end === undefined || end === (newestFirst ? low : high)) return {};
  const rest = newestFirst ? { newestFirst, low, high: end - 1 } : { newestFirst, low: end + 1, high };
  return { cursor: formatCursor(rest) };
}

async function rangeOf(
  past: Past,
  deviceId: string,
  last: Placed,
  { order, from, to }: HistoryOptions,
): Promise<Range> {
  const lastUpTo = async (moment: Moment, inclusive: boolean): Promise<number> => {
    const bound = (moment.kind === 'version' ? moment.version : moment.time) - (inclusive ? 0 : 1);
    const found = await past.lastWhere(
      deviceId,
      last,
      ({ version, timestamp }) => (moment.kind === 'version' ? version : timestamp) <= bound,
    );
    return found?.revision ?? -1;
  };
  return {
    newestFirst: order !== 'oldest',
    low: from ? (await lastUpTo(from, false)) + 1 : 0,
    high: to ? await lastUpTo(to, true) : last.revision,
  };
}

function formatCursor({ newestFirst, low, high }: Range): string {
  return Buffer.from(`1${newestFirst ? 'n' : 'o'}${low}-${high}`).toString('base64url');
}

/** Null: not one of this service's, or not of this device. */
function parseCursor(cursor: string, lastRevision: number): Range | null {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const match = /^1([no])(\d{1,15})-(\d{1,15})$/.exec(text);
  if (match === null) return null;
  const range = { newestFirst: match[1] === 'n', low: Number(match[2]), high: Number(match[3]) };
  return range.low <= range.high && range.high <= lastRevision ? range : null;
}
