import { randomUUID } from 'node:crypto';
import type {
  AppendResult,
  EventStore,
  NewEvent,
  RecordedEvent,
  StreamAppend,
  SubscriptionItem,
} from '../../src/application/ports/event-store.js';

/** What the contract suite needs of an adapter. */
export interface EventStoreHarness {
  /**
   * A store that works: on storage of its own, or a further client of one server, whose log nobody else appends to
   * during the suite.
   */
  open(): Promise<EventStore>;
  /** Where storage is durable: another store on the storage of the last {@link open}, whose store is closed by now. */
  reopen?(): Promise<EventStore>;
  /** Called once, after the last test; every store was closed before. */
  dispose?(): Promise<void>;
}

/** Gives the store of the running test. */
export type StoreOf = () => EventStore;

/** Stream names are fresh and random: a server's log is not empty at the start. */
export function newStream(): string {
  return `contract-${randomUUID()}`;
}

export function newEvent(data: unknown = { n: 1 }, id: string = randomUUID()): NewEvent {
  return { id, type: 'ThingHappened', data: Buffer.from(JSON.stringify(data)), metadata: Buffer.from('{}') };
}

export function newEvents(count: number): NewEvent[] {
  return Array.from({ length: count }, (_, n) => newEvent({ n }));
}

export async function appendOne(
  store: EventStore,
  stream: string,
  expectedRevision: number,
  events: readonly NewEvent[],
): Promise<AppendResult> {
  const [result] = await store.append([{ stream, expectedRevision, events }]);
  if (result === undefined) throw new Error('append gave no result');
  return result;
}

/** Appends, in parts of 100 events, to a stream that does not exist yet. */
export async function fill(store: EventStore, stream: string, count: number): Promise<NewEvent[]> {
  const events = newEvents(count);
  for (let at = 0; at < count; at += 100) {
    const result = await appendOne(store, stream, at - 1, events.slice(at, at + 100));
    if (result.kind !== 'appended') throw new Error(`not filled: ${JSON.stringify(result)}`);
  }
  return events;
}

export function append(stream: string, expectedRevision: number, ...events: NewEvent[]): StreamAppend {
  return { stream, expectedRevision, events };
}

/** A result in short: `appended 3`, `conflict -1`, `failed invalid`. */
export function brief(result: AppendResult | undefined): string {
  if (result === undefined) return 'nothing';
  return result.kind === 'failed' ? `failed ${result.error.code}` : `${result.kind} ${result.revision}`;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export function idsOf(events: readonly { readonly id: string }[]): string[] {
  return events.map(({ id }) => id);
}

/** Reads a subscription until `done`, then ends it. Events of other streams than these are left out. */
export async function follow(
  items: AsyncIterable<SubscriptionItem>,
  streams: readonly string[],
  done: (events: readonly RecordedEvent[], item: SubscriptionItem) => boolean | Promise<boolean>,
): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for await (const item of items) {
    if (item.kind === 'event' && streams.includes(item.event.stream)) events.push(item.event);
    if (await done(events, item)) break;
  }
  return events;
}

/** Takes the items of a subscription one by one. `next` throws where it has ended. */
export function pullFrom(items: AsyncIterable<SubscriptionItem>): {
  next(): Promise<SubscriptionItem>;
  end(): Promise<void>;
} {
  const iterator = items[Symbol.asyncIterator]();
  return {
    next: async () => {
      const result = await iterator.next();
      if (result.done === true) throw new Error('the subscription has ended');
      return result.value;
    },
    end: async () => {
      await iterator.return?.();
    },
  };
}
