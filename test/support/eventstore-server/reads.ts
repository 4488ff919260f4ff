import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { invalidArgument, refusalError, slowConsumer, streamDeleted } from './errors.js';
import { after, type ServerFaults } from './faults.js';
import type { RecordedEvent } from './model.js';
import type { ReadFilter, ReadMessage, ReadRequest } from './read-codec.js';
import { firstIndex, firstVisible, isSoftDeleted } from './retention.js';
import type { ServerStorage } from './storage.js';

/** The server's own window for filters that name none. */
const DEFAULT_WINDOW = 32;

export type ReadCall = ServerWritableStream<ReadRequest, ReadMessage>;

export interface ReadContext {
  readonly storage: ServerStorage;
  readonly faults: ServerFaults;
  readonly subscriptions: Set<Subscription>;
  /** Servers before 24.10 send no checkpoint when a filtered subscription has caught up. */
  readonly checkpointBeforeCaughtUp: boolean;
}

/** Streams.Read: reads and subscriptions of a stream and of $all. */
export function read(context: ReadContext, call: ReadCall): void {
  const { request } = call;
  const refusal = context.faults.takeRefusal(request.count === undefined ? 'subscribe' : 'read');
  if (refusal) {
    call.emit('error', refusalError(refusal));
    return;
  }
  after(context.faults.delayMs, () => {
    const running = request.count === undefined ? subscribe(context, call) : readOnce(context, call);
    running.catch((error: unknown) => call.emit('error', error));
  });
}

async function subscribe(context: ReadContext, call: ReadCall): Promise<void> {
  const subscription = new Subscription(context, call);
  context.subscriptions.add(subscription);
  try {
    await subscription.run();
  } finally {
    context.subscriptions.delete(subscription);
  }
}

async function send(call: ReadCall, message: ReadMessage): Promise<void> {
  if (call.write(message) || call.cancelled) return;
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  call.once('cancelled', leave);
  try {
    await once(call, 'drain', { signal: gone.signal });
  } catch (error) {
    if (!call.cancelled) throw error;
  } finally {
    call.off('cancelled', leave);
  }
}

async function readOnce({ storage }: ReadContext, call: ReadCall): Promise<void> {
  const { request } = call;
  const { stream: name, structuredIds } = request;
  let events = storage.log;
  let first = 0;
  if (name !== undefined) {
    const stream = storage.find(name);
    if (stream?.tombstoned) throw streamDeleted(name);
    if (stream === undefined || stream.events.length === 0 || isSoftDeleted(stream.retention)) {
      call.write({ kind: 'stream-not-found', stream: name });
      call.end();
      return;
    }
    events = stream.events;
    first = firstVisible(events, stream.retention, Date.now());
  }
  const matches = matcher(request.filter);
  const range = request.backwards ? backwards(events, first, request) : forwards(events, first, request);
  let rest = request.count ?? 0;
  for (const event of range) {
    if (rest === 0 || call.cancelled) break;
    if (!matches(event)) continue;
    rest -= 1;
    await send(call, { kind: 'event', event, structuredIds });
  }
  call.end();
}

function* forwards(
  events: RecordedEvent[],
  first: number,
  { from, stream }: ReadRequest,
): Iterable<RecordedEvent> {
  // What is appended while the read goes on belongs to the next one.
  const end = events.length;
  let index = first;
  if (from === 'end') return;
  if (typeof from === 'number') {
    index =
      stream === undefined ? firstIndex(events, (event) => event.position >= from) : Math.max(from, first);
  }
  for (; index < end; index += 1) {
    const event = events[index];
    if (event) yield event;
  }
}

function* backwards(
  events: RecordedEvent[],
  first: number,
  { from, stream }: ReadRequest,
): Iterable<RecordedEvent> {
  let index = events.length - 1;
  // A stream's first event stands at its start; nothing stands before the start of $all.
  if (from === 'start') index = stream === undefined ? -1 : 0;
  if (typeof from === 'number') {
    index =
      stream === undefined
        ? firstIndex(events, (event) => event.position >= from) - 1
        : Math.min(from, index);
  }
  for (; index >= first; index -= 1) {
    const event = events[index];
    if (event) yield event;
  }
}

function matcher(filter: ReadFilter | undefined): (event: RecordedEvent) => boolean {
  if (filter === undefined) return () => true;
  const { prefixes } = filter;
  const regex = prefixes.length === 0 ? new RegExp(filter.regex) : undefined;
  const test = (text: string): boolean =>
    regex ? regex.test(text) : prefixes.some((prefix) => text.startsWith(prefix));
  return filter.on === 'stream' ? ({ stream }) => test(stream) : ({ type }) => test(type);
}

/** One subscription: the events after its start, then those to come as they are appended. */
export class Subscription {
  readonly #context: ReadContext;
  readonly #call: ReadCall;
  #ended = false;
  #wake: () => void = () => {};

  constructor(context: ReadContext, call: ReadCall) {
    this.#context = context;
    this.#call = call;
    call.on('cancelled', () => this.#end());
  }

  abortAsSlow(): void {
    if (this.#ended) return;
    this.#end();
    this.#call.emit('error', slowConsumer());
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }

  async run(): Promise<void> {
    const { storage } = this.#context;
    const { stream, filter } = this.#call.request;
    if (filter && filter.checkpointInterval <= 0) {
      throw invalidArgument('The checkpoint interval has to be larger than 0.');
    }
    await send(this.#call, { kind: 'confirmation', id: randomUUID() });
    const listeners = stream === undefined ? storage.logListeners : storage.stream(stream).listeners;
    const wake = (): void => this.#wake();
    listeners.add(wake);
    try {
      await this.#follow();
    } finally {
      listeners.delete(wake);
    }
  }

  async #follow(): Promise<void> {
    const { storage, checkpointBeforeCaughtUp } = this.#context;
    const { stream, filter, structuredIds, from } = this.#call.request;
    const events = stream === undefined ? storage.log : storage.stream(stream).events;
    const matches = matcher(filter);
    const interval = filter ? (filter.window ?? DEFAULT_WINDOW) * filter.checkpointInterval : Infinity;
    let next = this.#start(events);
    let position = events[next - 1]?.position ?? (typeof from === 'number' ? from : 0);
    let sinceCheckpoint = 0;
    let caughtUp = false;
    this.#refuseTombstoned();
    while (!this.#ended) {
      for (let event = events[next]; event !== undefined && !this.#ended; event = events[next]) {
        next += 1;
        position = event.position;
        if (matches(event)) await send(this.#call, { kind: 'event', event, structuredIds });
        sinceCheckpoint += 1;
        if (sinceCheckpoint < interval || this.#ended) continue;
        sinceCheckpoint = 0;
        await send(this.#call, { kind: 'checkpoint', position });
      }
      if (this.#ended) return;
      if (!caughtUp) {
        caughtUp = true;
        if (filter && checkpointBeforeCaughtUp) await send(this.#call, { kind: 'checkpoint', position });
        await send(this.#call, { kind: 'caught-up' });
        continue;
      }
      // A tombstone may have come while the last event was sent, and nothing comes after it.
      this.#refuseTombstoned();
      if (next >= events.length) await this.#change();
    }
  }

  /** Nothing is awaited between the look at the length and the registration, so no append can slip through. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #start(events: RecordedEvent[]): number {
    const { from, stream: name } = this.#call.request;
    const { storage } = this.#context;
    if (from === 'end') return events.length;
    if (name === undefined) {
      return from === 'start' ? 0 : firstIndex(events, (event) => event.position > from);
    }
    const { retention } = storage.stream(name);
    const visible = firstVisible(events, retention, Date.now());
    return Math.max(visible, from === 'start' ? 0 : from + 1);
  }

  #refuseTombstoned(): void {
    const { stream } = this.#call.request;
    if (stream !== undefined && this.#context.storage.stream(stream).tombstoned) {
      this.#ended = true;
      throw streamDeleted(stream);
    }
  }
}
