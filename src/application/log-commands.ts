import { type Origin, type ReplicaEvent } from '../replica/events.js';
import { deviceOf } from '../replica/stored.js';
import {
  EventStoreError,
  type EventStore,
  type RecordedEvent,
  type SubscriptionItem,
} from './ports/event-store.js';
import { decode, type StoredCommand } from './replicas.js';
import { settlesWithin } from './timing.js';

/** What one command recorded, with the position of its last event. */
export interface LogCommand extends StoredCommand {
  readonly kind: 'command';
  readonly deviceId: string;
  readonly position: bigint;
}

/** An event that cannot be read. */
export interface LogDamage {
  readonly kind: 'damaged';
  /** Null: that is lost too. */
  readonly deviceId: string | null;
  readonly position: bigint;
  readonly reason: string;
}

/** Nothing that is wanted stands up to here. */
export interface LogPassed {
  readonly kind: 'passed';
  readonly position: bigint;
}

export type LogItem = LogCommand | LogDamage | LogPassed;

/**
 * How long the second event of an update is waited for before the stream is asked whether there is one. The two are
 * recorded together, so it nearly always comes at once.
 */
const SECOND_EVENT_MS = 5;

interface Decoded {
  readonly recorded: RecordedEvent;
  readonly event: ReplicaEvent;
  readonly origin: Origin;
}

/**
 * Puts the log's events together again to the commands that caused them, in the log's order: an update of both sections
 * is two events, which stand next to each other. It is told at the position of the second one, wherever the items
 * begin. Items may begin in the middle of a command; where they end in the middle of one, that one is not told.
 *
 * After a damaged event that ended the items it ends too: the rest is read from behind that position.
 *
 * Throws {@link EventStoreError}. The items are released at its end.
 */
export async function* groupCommands(
  store: EventStore,
  items: AsyncIterator<SubscriptionItem>,
  wants: (deviceId: string) => boolean = () => true,
): AsyncGenerator<LogItem> {
  let held: Decoded | null = null;
  let hasSecond = false;
  let isFirst = true;
  try {
    for (;;) {
      const next = items.next();
      // Awaited below; by then it may have failed already.
      next.catch(() => undefined);
      if (held !== null && !hasSecond && !(await settlesWithin(next, SECOND_EVENT_MS))) {
        hasSecond = await isFollowed(store, held);
        if (!hasSecond) {
          yield commandOf([held]);
          held = null;
        }
      }
      const result = await taken(next);
      const isEvent = 'value' in result && result.value !== undefined && result.value.kind === 'event';
      if (held !== null && !isEvent) {
        hasSecond ||= await isFollowed(store, held);
        if (!hasSecond) {
          yield commandOf([held]);
          held = null;
        }
      }
      if ('damage' in result) {
        yield result.damage;
        return;
      }
      if (result.value === undefined) return;
      if (result.value.kind !== 'event') continue;
      const recorded = result.value.event;
      if (held !== null) {
        const first: Decoded = held;
        held = null;
        hasSecond = false;
        if (isSecondOf(recorded, first)) {
          const read = decodeItem(recorded);
          yield 'kind' in read ? read : commandOf([first, read]);
          continue;
        }
        yield commandOf([first]);
      }
      const wasFirst: boolean = isFirst;
      isFirst = false;
      const deviceId = deviceOf(recorded.stream);
      if (deviceId === null || !wants(deviceId)) {
        yield { kind: 'passed', position: recorded.position };
        continue;
      }
      const read = decodeItem(recorded);
      if ('kind' in read) {
        yield read;
      } else if (mayBeFollowed(read)) {
        held = read;
      } else {
        const before = wasFirst ? await firstOf(store, read) : null;
        if (before === null) yield commandOf([read]);
        else yield 'kind' in before ? before : commandOf([before, read]);
      }
    }
  } finally {
    await items.return?.();
  }
}

/** What a read of the log yields, as a subscription does. */
export async function* asItems(events: AsyncIterable<RecordedEvent>): AsyncGenerator<SubscriptionItem> {
  for await (const event of events) yield { kind: 'event', event };
}

/** The position of the log's last event; 0: there is none. Throws {@link EventStoreError}. */
export async function lastPosition(store: EventStore): Promise<bigint> {
  try {
    const last = await only(store.readAll({ direction: 'backwards', maxCount: 1 }));
    return last?.position ?? 0n;
  } catch (error) {
    const damage = damageOf(error);
    if (damage === null) throw error;
    return damage.position;
  }
}

/** The position of the last event before this one; 0: there is none. Throws {@link EventStoreError}. */
export async function positionBefore(store: EventStore, position: bigint): Promise<bigint> {
  const before = await only(store.readAll({ direction: 'backwards', after: position, maxCount: 1 }));
  return before?.position ?? 0n;
}

/** The event of a read of one. Read to its end: a call that is broken off costs a server more than one that ends. */
async function only(events: AsyncIterable<RecordedEvent>): Promise<RecordedEvent | null> {
  let found: RecordedEvent | null = null;
  for await (const event of events) found ??= event;
  return found;
}

async function taken(
  next: Promise<IteratorResult<SubscriptionItem, unknown>>,
): Promise<{ value: SubscriptionItem | undefined } | { damage: LogDamage }> {
  try {
    const result = await next;
    return { value: result.done === true ? undefined : result.value };
  } catch (error) {
    const damage = damageOf(error);
    if (damage === null) throw error;
    return { damage };
  }
}

function damageOf(error: unknown): LogDamage | null {
  if (!(error instanceof EventStoreError) || error.code !== 'corrupt' || error.damaged === undefined) {
    return null;
  }
  const { stream, position } = error.damaged;
  const deviceId = stream === null ? null : deviceOf(stream);
  return { kind: 'damaged', deviceId, position, reason: error.message };
}

function decodeItem(recorded: RecordedEvent): Decoded | LogDamage {
  try {
    return { recorded, ...decode(recorded) };
  } catch (error) {
    if (!(error instanceof EventStoreError)) throw error;
    const { position, stream } = recorded;
    return { kind: 'damaged', deviceId: deviceOf(stream), position, reason: error.message };
  }
}

function commandOf(decoded: readonly [Decoded, ...Decoded[]]): LogCommand {
  const [first] = decoded;
  const { recorded } = decoded.at(-1) ?? first;
  return {
    kind: 'command',
    deviceId: deviceOf(recorded.stream) ?? '',
    events: decoded.map(({ event }) => event),
    origin: first.origin,
    firstRevision: first.recorded.revision,
    position: recorded.position,
  };
}

/** Only an update that names both sections is two events, the reported one first. */
function mayBeFollowed({ event }: Decoded): boolean {
  return event.type === 'ReportedStateChanged' && event.scope !== 'none';
}

function isSecondOf(recorded: RecordedEvent, { recorded: first, origin }: Decoded): boolean {
  if (recorded.stream !== first.stream || recorded.revision !== first.revision + 1) return false;
  if (recorded.type !== 'DesiredStateChanged') return false;
  const read = decodeItem(recorded);
  // One that cannot be read is told with the update that it may be of: that one cannot be shown without it.
  return 'kind' in read || read.origin.commandId === origin.commandId;
}

async function isFollowed(store: EventStore, first: Decoded): Promise<boolean> {
  const { stream, revision } = first.recorded;
  try {
    const after = await only(store.readStream(stream, { from: revision + 1, maxCount: 1 }));
    return after !== null && isSecondOf(after, first);
  } catch (error) {
    if (!isForGood(error)) throw error;
    // A damaged event may be the second one; of a stream that was deleted there is none.
    return error.code === 'corrupt';
  }
}

/** The first event of an update whose second one this is; null: it stands alone. */
async function firstOf(store: EventStore, second: Decoded): Promise<Decoded | LogDamage | null> {
  const { stream, revision, type, position } = second.recorded;
  if (type !== 'DesiredStateChanged' || revision === 0) return null;
  try {
    const recorded = await only(store.readStream(stream, { from: revision - 1, maxCount: 1 }));
    if (recorded === null) return null;
    const before = { recorded, ...decode(recorded) };
    return before.origin.commandId === second.origin.commandId ? before : null;
  } catch (error) {
    if (!isForGood(error)) throw error;
    return { kind: 'damaged', deviceId: deviceOf(stream), position, reason: error.message };
  }
}

/** Of this one stream, and it will not be otherwise: what concerns others goes on. */
export function isForGood(error: unknown): error is EventStoreError {
  return error instanceof EventStoreError && !error.canRetry && error.code !== 'closed';
}
