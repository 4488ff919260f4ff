import { streamOf } from '../replica/stored.js';
import { firstOf, lastOf, shareOf } from './copy-events.js';
import { eventRow, type EventRow } from './event-row.js';
import { Pacer } from './pacing.js';
import { Past } from './past.js';
import { type EventLog, type RecordedEvent } from './ports/event-store.js';
import { emptyReplica } from '../replica/replica.js';

/** Which devices: those of these ids and of these prefixes. */
export interface DeviceFilter {
  readonly ids: ReadonlySet<string>;
  readonly prefixes: readonly string[];
}

export interface Selection {
  /** Inclusive, milliseconds since the epoch, of the event's own time. Null: no bound. */
  readonly from: number | null;
  readonly to: number | null;
  /** Null: all devices. */
  readonly devices: DeviceFilter | null;
  /** Only events after this position. Null: from the first. */
  readonly after: bigint | null;
}

export interface SelectProgress {
  /** Rows that were given. */
  readonly rows: number;
  /** How much of the log is behind them, from 0 to 1, by positions: an estimate. */
  readonly share: number;
}

/** A page is read whole before it is given on, so that a slow consumer holds no read of the store open. */
const PAGE_COUNT = 1000;
const PAGE_BYTES = 4 * 1024 * 1024;
/** Up to so many named devices are read by themselves; the whole log is passed over for more. */
const MAX_STREAMS = 50;

/**
 * The selected events in the order of the log, up to its end at the moment of the call. In memory there is one page, or
 * one of each device where they are few and named.
 *
 * Throws `EventStoreError`.
 *
 * @param signal ends it, also where nothing is selected
 */
export async function* selectEvents(
  log: EventLog,
  selection: Selection,
  signal: AbortSignal,
  onProgress: (progress: SelectProgress) => void = () => undefined,
): AsyncGenerator<EventRow> {
  const last = (await lastOf(log))?.position ?? null;
  if (last === null) return;
  const first = selection.after ?? (await firstOf(log))?.position ?? last;
  const { devices } = selection;
  const isFew = devices !== null && devices.prefixes.length === 0 && devices.ids.size <= MAX_STREAMS;
  const events = isFew ? streamsOf(log, devices.ids, selection, last) : logOf(log, selection, last);
  const pacer = new Pacer();
  let rows = 0;
  for await (const event of events) {
    if (signal.aborted) return;
    onProgress({ rows, share: shareOf(first, event.position, last) });
    if (pacer.isDue) await pacer.pause();
    if (!isSelected(event.stream, devices)) continue;
    const row = eventRow(event);
    if (row === null) continue;
    if (selection.from !== null && row.timestamp < selection.from) continue;
    if (selection.to !== null && row.timestamp > selection.to) continue;
    rows++;
    yield row;
  }
  onProgress({ rows, share: 1 });
}

function isSelected(stream: string, devices: DeviceFilter | null): boolean {
  if (devices === null) return true;
  const { ids, prefixes } = devices;
  const deviceId = stream.slice(streamOf('').length);
  return ids.has(deviceId) || prefixes.some((prefix) => deviceId.startsWith(prefix));
}

async function* logOf(log: EventLog, { after }: Selection, last: bigint): AsyncGenerator<RecordedEvent> {
  let beyond = after;
  for (;;) {
    const page: RecordedEvent[] = [];
    let bytes = 0;
    let isWhole = true;
    const options = { maxCount: PAGE_COUNT, ...(beyond === null ? {} : { after: beyond }) };
    for await (const event of log.readAll(options)) {
      page.push(event);
      bytes += event.data.length + event.metadata.length;
      if (bytes < PAGE_BYTES) continue;
      isWhole = false;
      break;
    }
    for (const event of page) {
      if (event.position > last) return;
      yield event;
      beyond = event.position;
    }
    if (beyond === null || beyond >= last || (isWhole && page.length < PAGE_COUNT)) return;
  }
}

interface Head {
  event: RecordedEvent;
  readonly rest: AsyncIterator<RecordedEvent>;
}

/** The streams of some devices, put together in the log's order. */
async function* streamsOf(
  log: EventLog,
  ids: ReadonlySet<string>,
  { from, to, after }: Selection,
  last: bigint,
): AsyncGenerator<RecordedEvent> {
  const heads: Head[] = [];
  try {
    for (const deviceId of ids) {
      const start = from === null ? 0 : await firstRevisionFrom(log, deviceId, from);
      const rest = log.readStream(streamOf(deviceId), { from: start })[Symbol.asyncIterator]();
      const event = await nextOf(rest, after, last);
      if (event !== null) heads.push({ event, rest });
    }
    while (heads.length > 0) {
      const head = heads.reduce((one, other) => (other.event.position < one.event.position ? other : one));
      yield head.event;
      const next = await nextOf(head.rest, after, last);
      const isOver = next === null || (to !== null && (eventRow(next)?.timestamp ?? 0) > to);
      if (isOver) {
        await head.rest.return?.();
        heads.splice(heads.indexOf(head), 1);
      } else {
        head.event = next;
      }
    }
  } finally {
    for (const { rest } of heads) await rest.return?.();
  }
}

async function nextOf(
  events: AsyncIterator<RecordedEvent>,
  after: bigint | null,
  last: bigint,
): Promise<RecordedEvent | null> {
  for (;;) {
    const next = await events.next();
    if (next.done === true || next.value.position > last) return null;
    if (after === null || next.value.position > after) return next.value;
  }
}

/** Times never go back within a stream, so it is halved until the place is found. */
async function firstRevisionFrom(log: EventLog, deviceId: string, from: number): Promise<number> {
  const past = pastOf(log);
  const last = await past.last(deviceId);
  if (last === null) return 0;
  const before = await past.lastWhere(deviceId, last, ({ timestamp }) => timestamp < from);
  return (before?.revision ?? -1) + 1;
}

/** The past of devices without snapshots: what is only looked up needs none, and a fold begins at the stream's start. */
export function pastOf(log: EventLog): Past {
  return new Past(log, {
    start: (deviceId) => Promise.resolve(emptyReplica(deviceId)),
    passed: () => undefined,
  });
}
