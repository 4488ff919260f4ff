import { type Replica } from '../replica/replica.js';
import { applyAndRespond } from '../replica/respond.js';
import { streamOf } from '../replica/stored.js';
import { Gate, Pacer } from './pacing.js';
import { Past } from './past.js';
import { type OnRetry, Patience, patiently } from './patience.js';
import { type EventStore } from './ports/event-store.js';
import { LAST_PART } from './render-commands.js';
import { decode, readCommands, type Replicas } from './replicas.js';

/** One output of a device, as its followers get it. */
export interface Followed {
  /** Where to go on after this: `revision.part`. */
  readonly id: string;
  readonly channel: 'update.accepted' | 'update.delta' | 'update.documents' | 'delete.accepted';
  readonly document: string;
}

/** A place among a device's outputs: after this part of the command whose last event has this revision; −1: before all. */
export interface FollowPosition {
  readonly revision: number;
  readonly part: number;
}

/** Reads `Last-Event-ID`; null: not one of this service's. */
export function parseFollowId(id: string): FollowPosition | null {
  const match = /^(-1(?=\.3$)|\d{1,15})\.([0-3])$/.exec(id);
  return match === null ? null : { revision: Number(match[1]), part: Number(match[2]) };
}

/**
 * Wakes followers when their device's stream grows. One subscription to the store serves them all, and there is none
 * while nobody follows.
 */
export class DeviceSignals {
  private readonly waiting = new Map<string, Set<() => void>>();
  private subscription: { readonly abort: AbortController; readonly ended: Promise<void> } | null = null;
  private stopped = false;

  constructor(
    private readonly store: EventStore,
    readonly onRetry: OnRetry,
  ) {}

  /** Calls back at each growth of the device's stream, until the returned function is called. */
  watch(deviceId: string, listener: () => void): () => void {
    const stream = streamOf(deviceId);
    const listeners = this.waiting.get(stream) ?? new Set();
    this.waiting.set(stream, listeners.add(listener));
    if (this.subscription === null && !this.stopped) {
      const abort = new AbortController();
      this.subscription = { abort, ended: this.run(abort.signal) };
    }
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.waiting.delete(stream);
      if (this.waiting.size > 0) return;
      this.subscription?.abort.abort();
      this.subscription = null;
    };
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.subscription?.abort.abort();
    await this.subscription?.ended;
  }

  /** Comes back by itself after an error. */
  private async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const item of this.store.subscribe({ after: 'end', signal })) {
          if (item.kind === 'event') this.wake(item.event.stream);
          // Before it was listening, and while it was away, something may have been missed.
          else this.wakeAll();
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.onRetry(error, RESUBSCRIBE_MS);
        await new Promise((resolve) => setTimeout(resolve, RESUBSCRIBE_MS));
      }
    }
  }

  private wake(stream: string): void {
    for (const listener of this.waiting.get(stream) ?? []) listener();
  }

  private wakeAll(): void {
    for (const stream of this.waiting.keys()) this.wake(stream);
  }
}

const RESUBSCRIBE_MS = 1000;

/** The place after all that a device has sent out so far. Throws `EventStoreError`. */
export async function placeNow(store: EventStore, deviceId: string): Promise<FollowPosition> {
  const last = store.readStream(streamOf(deviceId), { direction: 'backwards', maxCount: 1 });
  for await (const { revision } of last) return { revision, part: LAST_PART };
  return { revision: -1, part: LAST_PART };
}

/**
 * The outputs of one device, from its log: after `from`, or from now on, without a gap, until the signal ends it.
 * The texts are those that the topics got, since they come from the same events. While the store is away it waits, and
 * then goes on.
 *
 * Throws `EventStoreError` where waiting does not help.
 */
export async function* followDevice(
  store: EventStore,
  replicas: Pick<Replicas, 'start' | 'passed'>,
  signals: DeviceSignals,
  deviceId: string,
  from: FollowPosition | null,
  signal: AbortSignal,
): AsyncGenerator<Followed> {
  let grown = true;
  let wake = (): void => undefined;
  const unwatch = signals.watch(deviceId, () => {
    grown = true;
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort);
  try {
    const { onRetry } = signals;
    const place = from ?? (await patiently(() => placeNow(store, deviceId), signal, onRetry));
    const past = new Past(store, replicas, signal);
    const fold = (): ReturnType<typeof replicaBefore> => replicaBefore(store, past, deviceId, place);
    const { replica, after } = await patiently(() => folds.run(fold, signal), signal, onRetry);
    const patience = new Patience(signal, onRetry);
    while (!signal.aborted) {
      if (!grown) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (grown || signal.aborted) resolve();
        });
        continue;
      }
      grown = false;
      try {
        yield* newOutputs(store, replica, after);
        patience.reset();
      } catch (error) {
        await patience.after(error);
        // What was yielded is in the replica, so it goes on behind it.
        grown = true;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    unwatch();
  }
}

/** So many followers fold their way to their place at once: where no snapshot helps, that takes long. */
const folds = new Gate(4, Infinity);

/**
 * The replica from which the outputs after a place are made: before the place's command where a part of it is still to
 * come. A place beyond the log's end is of a log that was lost since: all that comes from now on is after it.
 */
async function replicaBefore(
  store: EventStore,
  past: Past,
  deviceId: string,
  place: FollowPosition,
): Promise<{ replica: Replica; after: FollowPosition }> {
  if (place.revision < 0) return { replica: await past.replicaAt(deviceId, -1), after: place };
  const command = await commandAt(store, deviceId, place.revision);
  if (command === null) {
    const end = await placeNow(store, deviceId);
    return { replica: await past.replicaAt(deviceId, end.revision), after: end };
  }
  const isOver = place.part === LAST_PART && command.last === place.revision;
  const replica = await past.replicaAt(deviceId, isOver ? command.last : command.first - 1);
  return { replica, after: place };
}

/** The revisions of the command that this event is of; null: there is no such event. */
async function commandAt(
  store: EventStore,
  deviceId: string,
  revision: number,
): Promise<{ first: number; last: number } | null> {
  const from = Math.max(0, revision - 1);
  const near: { revision: number; commandId: string }[] = [];
  for await (const recorded of store.readStream(streamOf(deviceId), { from, maxCount: 3 })) {
    near.push({ revision: recorded.revision, commandId: decode(recorded).origin.commandId });
  }
  const commandId = near.find((event) => event.revision === revision)?.commandId;
  if (commandId === undefined) return null;
  const revisions = near.filter((event) => event.commandId === commandId).map((event) => event.revision);
  return { first: Math.min(...revisions), last: Math.max(...revisions) };
}

async function* newOutputs(
  store: EventStore,
  replica: Replica,
  after: FollowPosition,
): AsyncGenerator<Followed> {
  const pacer = new Pacer();
  for await (const command of readCommands(store, replica.deviceId, replica.revision + 1)) {
    if (pacer.isDue) await pacer.pause();
    const { events, origin, firstRevision } = command;
    const last = firstRevision + events.length - 1;
    const response = applyAndRespond(replica, events, origin, firstRevision, true);
    const isDelete = events[0]?.type === 'ReplicaDeleted';
    const parts: [Followed['channel'], string | null | undefined][] = [
      [isDelete ? 'delete.accepted' : 'update.accepted', response.accepted],
      ['update.delta', response.delta],
      ['update.documents', response.documents],
    ];
    for (const [part, [channel, document]] of parts.entries()) {
      if (document === undefined || document === null) continue;
      if (last < after.revision || (last === after.revision && part <= after.part)) continue;
      yield { id: `${last}.${part}`, channel, document };
    }
  }
}
