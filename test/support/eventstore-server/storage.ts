import { randomUUID } from 'node:crypto';
import {
  DELETED_REVISION,
  revisionText,
  type AppendOutcome,
  type ExpectedRevision,
  type ProposedEvent,
  type RecordedEvent,
} from './model.js';
import {
  isSoftDeleted,
  parseMetadata,
  retentionOf,
  type Retention,
  type StreamMetadata,
} from './retention.js';

const RECENT_IDS = 100_000;
const RECORD_OVERHEAD_BYTES = 116;
const FIRST_POSITION = 1_167;

export interface StoredStream {
  readonly name: string;
  /** The revision of an event is its index: nothing is ever taken out, reads hide what is not to be seen. */
  readonly events: RecordedEvent[];
  /** Called after each append. */
  readonly listeners: Set<() => void>;
  metadata: StreamMetadata;
  retention: Retention;
  tombstoned: boolean;
}

/** The log and the streams of one server; give it to the next server to survive a restart. */
export class ServerStorage {
  readonly log: RecordedEvent[] = [];
  readonly logListeners = new Set<() => void>();
  readonly #streams = new Map<string, StoredStream>();
  readonly #recent = new Map<string, RecordedEvent>();
  readonly #recentRing: RecordedEvent[] = [];
  #recentNext = 0;
  #nextPosition = FIRST_POSITION;

  /** `recentIds`: so many of the latest events of the whole log are recognised by their id alone. */
  constructor(private readonly recentIds = RECENT_IDS) {
    // A new database holds events of the server's own, so that nobody can count on an empty $all.
    this.#setMetadata(this.stream('$stats-127.0.0.1:2113'), { $maxAge: 86_400 });
    this.#setMetadata(this.stream('$scavenges'), { $maxAge: 2_592_000 });
  }

  /** A stream that does not exist yet is made, with no event. */
  stream(name: string): StoredStream {
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      // All streams of metadata show their last event only.
      const retention = name.startsWith('$$') ? { maxCount: 1 } : {};
      stream = { name, events: [], listeners: new Set(), metadata: {}, retention, tombstoned: false };
      this.#streams.set(name, stream);
    }
    return stream;
  }

  /** Undefined for a stream without an event or a tombstone, so that reads do not fill the map. */
  find(name: string): StoredStream | undefined {
    return this.#streams.get(name);
  }

  get lastPosition(): number {
    return this.log.at(-1)?.position ?? 0;
  }

  append(name: string, expected: ExpectedRevision, events: readonly ProposedEvent[]): AppendOutcome {
    const stream = this.stream(name);
    const refused = this.#check(stream, expected, events);
    if (refused !== undefined) return refused;
    // Bringing a soft-deleted stream back keeps the old events hidden.
    if (events.length > 0 && isSoftDeleted(stream.retention)) {
      this.#setMetadata(stream, { ...stream.metadata, $tb: stream.events.length });
    }
    for (const event of events) this.#record(stream, event);
    if (events.length > 0) this.#announce(stream);
    return success(stream.events.at(-1));
  }

  softDelete(name: string, expected: ExpectedRevision): AppendOutcome {
    const stream = this.stream(name);
    const refused = this.#check(stream, expected, [{ ...NO_EVENT, id: randomUUID() }]);
    if (refused !== undefined) return refused;
    const position = this.#setMetadata(stream, { ...stream.metadata, $tb: DELETED_REVISION });
    return { kind: 'success', revision: stream.events.length - 1, position };
  }

  tombstone(name: string, expected: ExpectedRevision): AppendOutcome {
    const stream = this.stream(name);
    const refused = this.#check(stream, expected, [{ ...NO_EVENT, id: randomUUID() }]);
    if (refused !== undefined) return refused;
    stream.tombstoned = true;
    const tombstone: RecordedEvent = {
      ...NO_EVENT,
      id: randomUUID(),
      type: '$streamDeleted',
      stream: name,
      revision: DELETED_REVISION,
      position: this.#takePosition(0),
      created: Date.now(),
    };
    this.log.push(tombstone);
    this.#announce(stream);
    return { kind: 'success', revision: DELETED_REVISION, position: tombstone.position };
  }

  /** Undefined when the events are to be appended. */
  #check(
    stream: StoredStream,
    expected: ExpectedRevision,
    events: readonly ProposedEvent[],
  ): AppendOutcome | undefined {
    const original = stream.name.startsWith('$$') ? this.find(stream.name.slice(2)) : undefined;
    if (stream.tombstoned || original?.tombstoned) return { kind: 'stream-deleted' };
    const current = stream.events.length - 1;
    const wrong: AppendOutcome = { kind: 'wrong-expected-version', current };
    if (expected === 'any' || expected === 'stream_exists') {
      if (expected === 'stream_exists') {
        if (isSoftDeleted(stream.retention)) return { kind: 'stream-deleted' };
        const hasMetadata = (this.find(`$$${stream.name}`)?.events.length ?? 0) > 0;
        if (current < 0 && !hasMetadata) return wrong;
      }
      return this.#checkRecentIds(stream, events, wrong);
    }
    const revision = expected === 'no_stream' ? -1 : Number(expected);
    if (revision === current) return undefined;
    if (revision > current || events.length === 0) return wrong;
    const differs = events.findIndex(({ id }, index) => stream.events[revision + 1 + index]?.id !== id);
    if (differs === -1) return success(stream.events[revision + events.length]);
    // A soft-deleted stream counts as none for who begins it anew.
    const begunAnew = differs === 0 && expected === 'no_stream' && isSoftDeleted(stream.retention);
    return begunAnew ? undefined : wrong;
  }

  #checkRecentIds(
    stream: StoredStream,
    events: readonly ProposedEvent[],
    wrong: AppendOutcome,
  ): AppendOutcome | undefined {
    let last: RecordedEvent | undefined;
    for (const { id } of events) {
      const known = this.#recent.get(id);
      if (known === undefined || known.stream !== stream.name) return last === undefined ? undefined : wrong;
      last = known;
    }
    return last === undefined ? undefined : success(last);
  }

  #record(stream: StoredStream, event: ProposedEvent): RecordedEvent {
    const size = event.data.length + event.metadata.length + 2 * (event.type.length + stream.name.length);
    const recorded: RecordedEvent = {
      id: event.id,
      type: event.type,
      contentType: event.contentType,
      data: event.data,
      metadata: event.metadata,
      stream: stream.name,
      revision: stream.events.length,
      position: this.#takePosition(size),
      created: Date.now(),
    };
    stream.events.push(recorded);
    this.log.push(recorded);
    this.#remember(recorded);
    if (stream.name.startsWith('$$')) {
      const original = this.stream(stream.name.slice(2));
      original.metadata = parseMetadata(event.data);
      original.retention = retentionOf(original.metadata);
    }
    return recorded;
  }

  #setMetadata(stream: StoredStream, metadata: StreamMetadata): number {
    const metastream = this.stream(`$$${stream.name}`);
    const recorded = this.#record(metastream, {
      ...NO_EVENT,
      id: randomUUID(),
      type: '$metadata',
      data: Buffer.from(metadataText(metadata)),
    });
    this.#announce(metastream);
    return recorded.position;
  }

  #takePosition(size: number): number {
    const position = this.#nextPosition;
    this.#nextPosition += RECORD_OVERHEAD_BYTES + size;
    return position;
  }

  #remember(event: RecordedEvent): void {
    const forgotten = this.#recentRing[this.#recentNext];
    // The id may have been recorded again meanwhile; the later event is then the one that is known by it.
    if (forgotten && this.#recent.get(forgotten.id) === forgotten) this.#recent.delete(forgotten.id);
    this.#recentRing[this.#recentNext] = event;
    this.#recentNext = (this.#recentNext + 1) % this.recentIds;
    this.#recent.set(event.id, event);
  }

  #announce(stream: StoredStream): void {
    for (const listener of stream.listeners) listener();
    for (const listener of this.logListeners) listener();
  }
}

const NO_EVENT: ProposedEvent = {
  id: '',
  type: '',
  contentType: 'application/json',
  data: new Uint8Array(),
  metadata: new Uint8Array(),
};

function success(last: RecordedEvent | undefined): AppendOutcome {
  return { kind: 'success', revision: last?.revision ?? -1, position: last?.position };
}

/** JSON.stringify would write 2^63 for 2^63 - 1. */
function metadataText(metadata: StreamMetadata): string {
  return JSON.stringify(metadata).replace(
    `"$tb":${JSON.stringify(DELETED_REVISION)}`,
    `"$tb":${revisionText(DELETED_REVISION)}`,
  );
}
