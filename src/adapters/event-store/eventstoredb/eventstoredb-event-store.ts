import type {
  AppendResult,
  EventStore,
  EventStoreError,
  ReadAllOptions,
  ReadStreamOptions,
  RecordedEvent,
  StreamAppend,
  SubscribeOptions,
  SubscriptionItem,
} from '../../../application/ports/event-store.js';
import { checkAppends, checkCount } from '../append-rules.js';
import { closedError } from '../errors.js';
import { BatchAppender } from './batch-appender.js';
import { Connection } from './connection.js';
import { readConnectionString } from './connection-string.js';
import { toEventStoreError } from './errors.js';
import { type EventStoreLogger, silentLogger } from './logger.js';
import { allRequest, streamRequest, type ReadRequest } from './read-request.js';
import { openRead, type Reading } from './reader.js';
import { isOfServer, recordedEventOf } from './recorded.js';
import { subscribeToServer } from './subscription.js';

export type { EventStoreLogger } from './logger.js';

export interface EventStoreDbOptions {
  /** `esdb://…` or `esdb+discover://…`, also with `kurrentdb`. */
  readonly connectionString: string;
  /** What the names of the streams begin with that {@link EventStore.readAll} and subscriptions show. */
  readonly streamPrefix: string;
  /** The most appends that wait for their answer at once; further ones queue. Default 512. */
  readonly maxInFlightCount?: number;
  /** The most bytes of events under way at once. Default 16 MiB. */
  readonly maxInFlightBytes?: number;
  /** The limit of one append, in bytes. Default 1 MiB, what every server takes unless it is told otherwise. */
  readonly maxAppendBytes?: number;
  /** Default: silent. */
  readonly logger?: EventStoreLogger;
}

const DEFAULT_IN_FLIGHT_COUNT = 512;
const DEFAULT_IN_FLIGHT_BYTES = 16 * 1024 * 1024;
const DEFAULT_MAX_APPEND_BYTES = 1024 * 1024;
/** A question of health must be answered sooner than whoever asks loses patience. */
const HEALTH_MS = 2000;
/** How long an append that failed is held against the store where no other has been tried. */
const FAILURE_COUNTS_MS = 15_000;
/** A device cannot be called so. */
const HEALTH_STREAM = '$health';

/**
 * Opens the event store of a server or a cluster. Nothing is sent yet: a store that is away shows at the first call,
 * as `unavailable`, and in {@link EventStore.health}.
 *
 * Throws {@link EventStoreError} `invalid`, one line that names EVENTSTORE_CONNECTION_STRING, where the connection
 * string cannot be used.
 */
export function openEventStoreDb(options: EventStoreDbOptions): EventStore {
  const { logger = silentLogger } = options;
  const settings = readConnectionString(options.connectionString);
  const connection = new Connection(settings, logger);
  if (settings.credentials !== undefined && !settings.tls) {
    logger.warn({ eventStore: connection.place }, 'Credentials are not sent to an event store without TLS');
  }
  const appender = new BatchAppender(connection, {
    maxInFlightCount: options.maxInFlightCount ?? DEFAULT_IN_FLIGHT_COUNT,
    maxInFlightBytes: options.maxInFlightBytes ?? DEFAULT_IN_FLIGHT_BYTES,
    deadlineMs: settings.deadlineMs,
  });
  return new EventStoreDb(connection, appender, {
    prefix: options.streamPrefix,
    maxAppendBytes: options.maxAppendBytes ?? DEFAULT_MAX_APPEND_BYTES,
    deadlineMs: settings.deadlineMs,
    logger,
  });
}

interface Settings {
  readonly prefix: string;
  readonly maxAppendBytes: number;
  readonly deadlineMs: number;
  readonly logger: EventStoreLogger;
}

/** The event store in EventStoreDB or KurrentDB, over gRPC. */
class EventStoreDb implements EventStore {
  private readonly closing = new Set<() => void>();
  private lastFailure: { readonly error: EventStoreError; readonly at: number } | null = null;
  private probing: Promise<string | null> | null = null;
  private closed = false;
  private closePromise: Promise<void> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly appender: BatchAppender,
    private readonly settings: Settings,
  ) {}

  async append(appends: readonly StreamAppend[]): Promise<AppendResult[]> {
    if (this.closed) return appends.map(() => ({ kind: 'failed', error: closedError() }));
    const results = checkAppends(appends, this.settings.maxAppendBytes);
    let open = results.reduce((count, result) => (result === null ? count + 1 : count), 0);
    if (open > 0) {
      await new Promise<void>((resolve) => {
        appends.forEach((append, index) => {
          if (results[index] !== null) return;
          this.appender.append(append, (result) => {
            results[index] = result;
            this.note(result);
            if (--open === 0) resolve();
          });
        });
      });
    }
    return results.filter((result) => result !== null);
  }

  private note(result: AppendResult): void {
    if (result.kind !== 'failed') this.lastFailure = null;
    else if (result.error.canRetry) this.lastFailure = { error: result.error, at: performance.now() };
  }

  async *readStream(stream: string, options: ReadStreamOptions = {}): AsyncGenerator<RecordedEvent> {
    this.throwIfClosed();
    const { direction = 'forwards', from, maxCount = Infinity } = options;
    checkCount('from', from);
    checkCount('maxCount', maxCount);
    if (maxCount === 0) return;
    const start = from === Infinity ? undefined : from;
    if (from === Infinity && direction === 'forwards') return;
    const request = streamRequest(stream, direction, start, maxCount);
    yield* readOut(this.read(request, this.settings.deadlineMs), maxCount);
  }

  async *readAll(options: ReadAllOptions = {}): AsyncGenerator<RecordedEvent> {
    this.throwIfClosed();
    const { direction = 'forwards', after, maxCount = Infinity } = options;
    checkCount('maxCount', maxCount);
    if (maxCount === 0) return;
    let beyond = after;
    for (let left = maxCount; left > 0;) {
      // Forwards the server counts the position itself in; it may be that of another stream's event, too.
      const isInclusive = direction === 'forwards' && beyond !== undefined;
      const count = isInclusive ? left + 1 : left;
      let received = 0;
      const events = this.read(allRequest(direction, beyond, count, this.settings.prefix));
      for await (const event of readOut(events, count)) {
        received++;
        if (isInclusive && event.position === beyond) continue;
        beyond = event.position;
        if (isOfServer(event) || left === 0) continue;
        left--;
        yield event;
      }
      if (received < count) return;
    }
  }

  private async *read(request: ReadRequest, firstAnswerMs?: number): AsyncGenerator<RecordedEvent> {
    let forget = (): void => undefined;
    try {
      const reading: Reading = await openRead(
        this.connection,
        request,
        firstAnswerMs === undefined ? {} : { firstAnswerMs },
      );
      forget = this.onClose(() => reading.cancel());
      this.throwIfClosed();
      for await (const answer of reading.answers) {
        const event = recordedEventOf(answer);
        if (event === null) continue;
        yield event;
        this.throwIfClosed();
      }
      this.throwIfClosed();
    } catch (error) {
      if (this.closed) throw closedError();
      throw toEventStoreError(error, this.connection.place);
    } finally {
      forget();
    }
  }

  subscribe(options: SubscribeOptions): AsyncIterable<SubscriptionItem> {
    return subscribeToServer(
      {
        connection: this.connection,
        prefix: this.settings.prefix,
        logger: this.settings.logger,
        isClosed: () => this.closed,
        onClose: (stop) => this.onClose(stop),
      },
      options,
    );
  }

  async health(): Promise<string | null> {
    if (this.closed) return closedError().message;
    const failure = this.lastFailure;
    if (failure !== null && performance.now() - failure.at < FAILURE_COUNTS_MS) return failure.error.message;
    this.probing ??= this.probe().finally(() => (this.probing = null));
    return this.probing;
  }

  /** Asks the leader for something that is not there. */
  private async probe(): Promise<string | null> {
    const request = streamRequest(this.settings.prefix + HEALTH_STREAM, 'backwards', undefined, 1);
    try {
      const reading = await openRead(this.connection, request, { firstAnswerMs: HEALTH_MS });
      // Nothing stands there, or one event at most; only that it ends well counts.
      for await (const _ of reading.answers) continue;
      return null;
    } catch (error) {
      return toEventStoreError(error, this.connection.place).message;
    }
  }

  close(): Promise<void> {
    this.closePromise ??= this.release();
    return this.closePromise;
  }

  private async release(): Promise<void> {
    this.closed = true;
    for (const stop of this.closing) stop();
    await this.appender.close();
    this.connection.close();
  }

  private onClose(stop: () => void): () => void {
    this.closing.add(stop);
    return () => this.closing.delete(stop);
  }

  private throwIfClosed(): void {
    if (this.closed) throw closedError();
  }
}

/**
 * The events of a read of so many, the last one once the call has ended. A consumer that stops after the last one would
 * break the call off otherwise, and servers close a connection on which many calls are (the bounds against
 * CVE-2023-44487).
 */
async function* readOut(
  events: AsyncIterable<RecordedEvent>,
  maxCount: number,
): AsyncGenerator<RecordedEvent> {
  let left = maxCount;
  let last: RecordedEvent | undefined;
  for await (const event of events) {
    if (--left > 0) yield event;
    else last = event;
  }
  if (last !== undefined) yield last;
}
