import { isAscii } from 'node:buffer';
import { type ReplicaEvent, type Origin } from '../replica/events.js';
import { countBytes, evolve } from '../replica/evolve.js';
import { type JsonValue } from '../replica/json.js';
import { getDocumentHead } from '../replica/documents.js';
import { emptyReplica, type Replica } from '../replica/replica.js';
import {
  decodeStored,
  decodeStoredEvent,
  METADATA_START,
  streamOf,
  UnknownEventError,
} from '../replica/stored.js';
import { EventStoreError, type EventStore, type LogEntry, type RecordedEvent } from './ports/event-store.js';
import { type Observer } from './ports/observer.js';
import { ReplicaCache, type Shown } from './replica-cache.js';
import { type Snapshots, type StartOptions } from './snapshots.js';

export interface StoredCommand {
  readonly events: ReplicaEvent[];
  readonly origin: Origin;
  readonly firstRevision: number;
}

/** An event's parsed content. Throws {@link EventStoreError} `corrupt`, naming the event, where it cannot be read. */
export function decode(recorded: RecordedEvent): { event: ReplicaEvent; origin: Origin } {
  return naming(recorded, () => {
    const data = JSON.parse(recorded.data.toString('utf8')) as JsonValue;
    return decodeStored(recorded.type, data, JSON.parse(recorded.metadata.toString('utf8')) as JsonValue);
  });
}

const METADATA_START_BYTES = Buffer.from(METADATA_START);

/**
 * As {@link decode}, without the origin: where the metadata begins as this version writes it, the rest of it is not
 * read, which is nearly half of the work.
 */
export function decodeEvent(recorded: RecordedEvent | LogEntry): ReplicaEvent {
  const { type, data, metadata } = recorded;
  return naming(recorded, () => {
    const value = JSON.parse(textOf(data)) as JsonValue;
    return isOfThisSchema(metadata)
      ? decodeStoredEvent(type, value)
      : decodeStored(type, value, JSON.parse(textOf(metadata)) as JsonValue).event;
  });
}

function isOfThisSchema(metadata: string | Buffer): boolean {
  if (typeof metadata === 'string') return metadata.startsWith(METADATA_START);
  const start = METADATA_START_BYTES;
  return metadata.length >= start.length && start.compare(metadata, 0, start.length) === 0;
}

/** As UTF-8; nearly all of it is ASCII, which is read in half of the time. */
function textOf(json: string | Buffer): string {
  return typeof json === 'string' ? json : json.toString(isAscii(json) ? 'latin1' : 'utf8');
}

function naming<T>(recorded: { readonly stream: string; readonly revision: number }, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof UnknownEventError) && !(error instanceof SyntaxError)) throw error;
    const place = `${recorded.stream} revision ${recorded.revision}`;
    throw new EventStoreError('corrupt', `Event cannot be read: ${place}: ${error.message}`, {
      cause: error,
    });
  }
}

/** A device's recorded commands, oldest first: the events that one command caused, together. */
export async function* readCommands(
  store: EventStore,
  deviceId: string,
  fromRevision = 0,
): AsyncGenerator<StoredCommand> {
  let current: StoredCommand | null = null;
  for await (const recorded of store.readStream(streamOf(deviceId), { from: fromRevision })) {
    const { event, origin } = decode(recorded);
    if (current !== null && current.origin.commandId === origin.commandId) {
      current.events.push(event);
      continue;
    }
    if (current !== null) yield current;
    current = { events: [event], origin, firstRevision: recorded.revision };
  }
  if (current !== null) yield current;
}

/**
 * The current replicas: those in memory, and the rest by folding their streams from the latest snapshot on. Whoever takes a replica owns it, and
 * may change it in place; it is in the cache again once it is put back, which its taker does only when the store has
 * all that the replica shows.
 */
export class Replicas {
  private readonly cache: ReplicaCache;

  /**
   * @param maxBytes the most that cached replicas may take, by estimate; 0 keeps none
   * @param snapshots where loads begin; absent: each begins at the stream's start
   */
  constructor(
    private readonly store: EventStore,
    private readonly observer: Observer,
    maxBytes: number,
    private readonly snapshots?: Snapshots,
  ) {
    this.cache = new ReplicaCache(maxBytes);
  }

  hits = 0;
  misses = 0;

  /** Number of cached replicas, how many of them are packed, and the estimated bytes of all. */
  get size(): ReplicaCache['size'] {
    return this.cache.size;
  }

  /** The cached replica, which is the taker's from now on; undefined: it must be loaded. */
  takeCached(deviceId: string): Replica | undefined {
    const replica = this.cache.take(deviceId);
    if (replica === undefined) this.misses++;
    else this.hits++;
    return replica;
  }

  /**
   * What a get of the device is answered with now, where that can be told without waiting: the replica is in the cache,
   * exists, and the store tells at once that nothing was recorded since. The document is rendered once and kept beside
   * the replica until somebody takes it. Null: it must be taken.
   */
  show(deviceId: string): Shown | null {
    const kept = this.cache.get(deviceId);
    if (kept === undefined || !kept.replica.exists) return null;
    const { replica } = kept;
    const stream = kept.shown?.stream ?? streamOf(deviceId);
    if (this.store.knownRevision?.(stream) !== replica.revision) return null;
    this.hits++;
    if (kept.shown !== null) return kept.shown;
    const { version, timestamp } = replica;
    const shown = {
      stream,
      version,
      timestamp,
      head: Buffer.from(getDocumentHead(replica)).toString('latin1'),
    };
    this.cache.show(kept, shown);
    return shown;
  }

  /**
   * A replica of some earlier time, from which the device's stream can be folded on: that of the latest snapshot that
   * will do, or the empty one. It is the caller's. Throws {@link EventStoreError}.
   */
  async start(deviceId: string, options?: StartOptions): Promise<Replica> {
    const replica = (await this.snapshots?.start(deviceId, options)) ?? null;
    this.observer.loaded(replica === null ? 'start' : 'snapshot');
    return replica ?? emptyReplica(deviceId);
  }

  /** Folds the device's stream. Throws {@link EventStoreError}. */
  async load(deviceId: string): Promise<Replica> {
    const start = performance.now();
    const replica = await this.start(deviceId);
    const before = replica.revision;
    const lastId = await this.catchUp(replica);
    countBytes(replica);
    if (lastId !== undefined) this.snapshots?.loaded(replica, before, lastId);
    this.observer.timed('load', performance.now() - start);
    return replica;
  }

  /**
   * Folds what was recorded after the replica, by whatever process. Throws {@link EventStoreError}, and then the
   * replica may be anywhere between the two.
   *
   * @returns the id of the last event folded; undefined: there was none
   */
  async catchUp(replica: Replica): Promise<string | undefined> {
    const from = replica.revision + 1;
    let lastId: string | undefined;
    for await (const recorded of this.store.readStream(streamOf(replica.deviceId), { from })) {
      const { event, origin } = decode(recorded);
      evolve(replica, event, origin, recorded.revision);
      lastId = recorded.id;
    }
    return lastId;
  }

  /**
   * To be called when events of a replica are durable, and it shows nothing else. Never throws or waits.
   *
   * @param before the replica's revision before them
   * @param lastId the id of the last of them
   */
  recorded(replica: Replica, before: number, lastId: string): void {
    this.snapshots?.recorded(replica, before, lastId);
  }

  /** To be called by whoever folds a replica through its past, after each whole command. Never throws or waits. */
  passed(replica: Replica, before: number, lastId: string): void {
    this.snapshots?.passed(replica, before, lastId);
  }

  /** The replica as the store has it now. The taker owns it. Throws {@link EventStoreError}. */
  async take(deviceId: string): Promise<Replica> {
    const cached = this.takeCached(deviceId);
    if (cached === undefined) return this.load(deviceId);
    await this.catchUp(cached);
    return cached;
  }

  putBack(replica: Replica): void {
    // A device that has no events is made in no time, and asking for many such must not push out the real ones.
    if (replica.revision >= 0) this.cache.put({ replica, shown: null });
  }
}
