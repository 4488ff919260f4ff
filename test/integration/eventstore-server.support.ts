import {
  EventStoreDBClient,
  jsonEvent,
  type AllStreamSubscription,
  type JSONEventData,
  type ResolvedEvent,
  type StreamSubscription,
} from '@eventstore/db-client';
import { randomUUID } from 'node:crypto';
import {
  startEventStoreServer,
  type EventStoreServer,
  type EventStoreServerOptions,
} from '../support/eventstore-server/index.js';

const open: (() => Promise<unknown>)[] = [];

export async function startServer(options: EventStoreServerOptions = {}): Promise<EventStoreServer> {
  const server = await startEventStoreServer(options);
  open.push(() => server.stop());
  return server;
}

export function connect(server: EventStoreServer, options = ''): EventStoreDBClient {
  const client = EventStoreDBClient.connectionString(`${server.connectionString}${options}`);
  open.push(() => client.dispose());
  return client;
}

/** What the tests of a file have opened, last one first; for afterEach or afterAll. */
export async function closeAll(): Promise<void> {
  for (const close of open.splice(0).reverse()) await close();
}

export function newName(prefix = 'stream'): string {
  return `${prefix}-${randomUUID()}`;
}

export function change(value = 1, id: string = randomUUID()): JSONEventData {
  return jsonEvent({ id, type: 'changed', data: { value } });
}

export function changes(count: number): JSONEventData[] {
  return Array.from({ length: count }, (_, index) => change(index));
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** The revisions that a read shows, as text; the events' data and types are compared where they matter. */
export async function revisions(read: AsyncIterable<{ event?: { revision: bigint } }>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { event } of read) seen.push(String(event?.revision));
  return seen;
}

/** The error that the promise rejects with; fails when it does not reject. */
export async function errorOf(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error('The promise was expected to reject.');
}

/** What a subscription tells, in its order, until `enough` says so or it fails. */
export interface Notes {
  readonly notes: string[];
  readonly error: Promise<Error & Record<string, unknown>>;
  readonly until: (enough: (notes: string[]) => boolean) => Promise<string[]>;
  readonly note: (text: string) => void;
}

export function follow(subscription: AllStreamSubscription | StreamSubscription): Notes {
  // The overloads of the two differ in the type of the events alone.
  const source = subscription as AllStreamSubscription;
  const notes: string[] = [];
  const waiting = new Set<() => void>();
  const note = (text: string): void => {
    notes.push(text);
    for (const look of waiting) look();
  };
  source.on('confirmation', () => note('confirmation'));
  source.on('caughtUp', () => note('caughtUp'));
  source.on('data', ({ event }: ResolvedEvent) => note(`${event?.streamId}@${event?.revision}`));
  const error = new Promise<Error & Record<string, unknown>>((resolve) => {
    source.on('error', (reason) => resolve(reason as Error & Record<string, unknown>));
  });
  const until = (enough: (notes: string[]) => boolean): Promise<string[]> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!enough(notes)) return;
        waiting.delete(look);
        resolve([...notes]);
      };
      waiting.add(look);
      look();
    });
  return { notes, error, until, note };
}
