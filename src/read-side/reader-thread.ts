import { type Presence } from '../application/ports/presence.js';
import {
  type FleetCount,
  type FleetPage,
  type DeviceRow,
  type FleetQuery,
  type FleetSelection,
  type OutOfSync,
  type OutOfSyncQuery,
  ReadModelError,
  type ReadModelQueries,
  type SettledQuery,
  type SettledSum,
} from '../application/ports/read-model.js';
import { type Deferred, deferred, messageOf } from '../application/timing.js';
import { type FromReader, type Query, type ReaderData, type ToReader } from './messages.js';
import { Thread, type ThreadObserver } from './thread.js';

/** SQLite keeps its cache outside of the heap; a page of the largest rows is far below this. */
const MAX_HEAP_MIB = 256;
/** Questions that wait; a further one is refused at once rather than late. */
const MAX_WAITING_COUNT = 256;

/** Asks a thread of its own, since the file is read in one go: the event loop of the commands never waits for it. */
export class ReaderThread implements ReadModelQueries {
  private readonly thread: Thread<ToReader, FromReader>;
  private readonly waiting = new Map<number, Deferred<unknown>>();
  private nextId = 0;

  constructor(file: Omit<ReaderData, 'role'>, observer: ThreadObserver, entry?: URL) {
    this.thread = new Thread({
      data: { role: 'reader', ...file },
      maxHeapMib: MAX_HEAP_MIB,
      observer,
      onMessage: (message) => this.answered(message),
      onEnd: (error) => this.refuseAll(`The reader thread ended: ${messageOf(error)}`),
      ...(entry === undefined ? {} : { entry }),
    });
    this.thread.start();
  }

  find(deviceId: string): Promise<DeviceRow | null> {
    return this.ask<DeviceRow | null>({ method: 'find', args: [deviceId] });
  }

  list(query: FleetQuery): Promise<FleetPage> {
    return this.ask<FleetPage>({ method: 'list', args: [query] });
  }

  count(selection?: FleetSelection): Promise<FleetCount> {
    return this.ask<FleetCount>({ method: 'count', args: [selection] });
  }

  scan(after: string, limit: number): Promise<DeviceRow[]> {
    return this.ask<DeviceRow[]>({ method: 'scan', args: [after, limit] });
  }

  settled(query: SettledQuery): Promise<SettledSum> {
    return this.ask<SettledSum>({ method: 'settled', args: [query] });
  }

  outOfSync(query: OutOfSyncQuery): Promise<OutOfSync> {
    return this.ask<OutOfSync>({ method: 'outOfSync', args: [query] });
  }

  presence(replicaId: string): Promise<Presence | null> {
    return this.ask<Presence | null>({ method: 'presence', args: [replicaId] });
  }

  connectedCount(): Promise<number> {
    return this.ask<number>({ method: 'connectedCount', args: [] });
  }

  async stop(): Promise<void> {
    await this.thread.stop();
    this.refuseAll('The read model is closed');
  }

  private async ask<T>(query: Query): Promise<T> {
    if (this.waiting.size >= MAX_WAITING_COUNT) {
      throw new ReadModelError('unavailable', 'Too many questions wait for the read model');
    }
    const id = this.nextId++;
    if (!this.thread.post({ kind: 'query', id, query })) {
      throw new ReadModelError('unavailable', 'The reader thread is being started again');
    }
    const answer = deferred<unknown>();
    this.waiting.set(id, answer);
    return (await answer.promise) as T;
  }

  private answered(message: FromReader): void {
    const waiter = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.ok) waiter?.resolve(message.value);
    else waiter?.reject(new ReadModelError(message.code, message.message));
  }

  private refuseAll(reason: string): void {
    for (const waiter of this.waiting.values()) waiter.reject(new ReadModelError('unavailable', reason));
    this.waiting.clear();
  }
}
