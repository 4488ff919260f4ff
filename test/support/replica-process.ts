import { MemoryStorage } from '../../src/adapters/event-store/memory/memory-event-store.js';
import {
  MemorySnapshots,
  type SnapshotStorage,
} from '../../src/adapters/snapshots/memory/memory-snapshots.js';
import { DeviceLocks } from '../../src/application/device-locks.js';
import { type Message, Outputs } from '../../src/application/outputs.js';
import { type CommandBatch, type CommandMessage, BusError } from '../../src/application/ports/bus.js';
import { type Observer } from '../../src/application/ports/observer.js';
import { ProcessCommands, type ProcessOptions } from '../../src/application/process-commands.js';
import { AnswerGets, ReadReplica } from '../../src/application/read-replica.js';
import { Replicas } from '../../src/application/replicas.js';
import { type SnapshotStore, type StoredSnapshot } from '../../src/application/ports/snapshots.js';
import { Snapshots } from '../../src/application/snapshots.js';
import { DEFAULT_LIMITS } from '../../src/replica/limits.js';
import { batchOf, FIRST_TIMESTAMP, type Lease } from './command-log.js';
import { FaultyEventStore } from './faulty-event-store.js';

export const OWN_TOPIC = 'state.update.accepted';

/** One call of `publish`. */
export type PublishFault = 'unavailable' | 'closed' | 'lost-after-sending' | 'crash-before' | 'crash-after';

export interface ProcessSettings extends Partial<ProcessOptions> {
  /** Shared by all processes of one test: what outlives them. */
  readonly storage?: MemoryStorage;
  readonly cacheBytes?: number;
  readonly clock?: () => number;
  readonly maxAppendBytes?: number;
  /** After how many events of a device a snapshot is made. Default: none is made. */
  readonly snapshotEveryCount?: number;
  /** Where the snapshots are. Default: in memory, shared by all processes of one test. */
  readonly snapshotStore?: SnapshotStore;
}

/** What the use cases told, by name. */
export class RecordingObserver implements Observer {
  readonly calls: { readonly name: keyof Observer; readonly args: readonly unknown[] }[] = [];
  private readonly note =
    (name: keyof Observer) =>
    (...args: unknown[]): void => {
      this.calls.push({ name, args });
    };
  readonly commandsEnded = this.note('commandsEnded');
  readonly batchEnded = this.note('batchEnded');
  readonly timed = this.note('timed');
  readonly loaded = this.note('loaded');
  readonly snapshotsSaved = this.note('snapshotsSaved');
  readonly snapshotFailed = this.note('snapshotFailed');
  readonly conflict = this.note('conflict');
  readonly repeated = this.note('repeated');
  readonly refused = this.note('refused');
  readonly retrying = this.note('retrying');
  readonly failed = this.note('failed');

  of(name: keyof Observer): (readonly unknown[])[] {
    return this.calls.filter((call) => call.name === name).map(({ args }) => args);
  }
}

/** Each call is a millisecond later than the one before, so that no time comes out equal by chance. */
export function steppingClock(start = FIRST_TIMESTAMP + 1_000_000): () => number {
  let now = start;
  return () => now++;
}

const snapshotStorages = new WeakMap<MemoryStorage, SnapshotStorage>();

/** The snapshots that are kept beside these events. */
export function snapshotsBeside(storage: MemoryStorage): SnapshotStorage {
  const known: SnapshotStorage = snapshotStorages.get(storage) ?? new Map<string, StoredSnapshot[]>();
  snapshotStorages.set(storage, known);
  return known;
}

/** One process of the service, without Nest: the use cases on a memory event store and a recording bus. */
export class ReplicaProcess {
  readonly storage: MemoryStorage;
  readonly store: FaultyEventStore;
  readonly snapshots: Snapshots | undefined;
  readonly observer = new RecordingObserver();
  readonly locks = new DeviceLocks();
  readonly replicas: Replicas;
  readonly reader: ReadReplica;
  readonly commands: ProcessCommands;
  readonly gets: AnswerGets;
  /** All that was sent and arrived, in order; what a failed call may have sent is in it. */
  readonly published: Message[] = [];
  readonly publishFaults: (PublishFault | null)[] = [];
  private markCrashed = (): void => undefined;
  private readonly publishCrashed = new Promise<void>((resolve) => {
    this.markCrashed = resolve;
  });

  constructor(settings: ProcessSettings = {}) {
    this.storage = settings.storage ?? new MemoryStorage();
    const clock = settings.clock ?? steppingClock();
    this.store = new FaultyEventStore(this.storage, settings.maxAppendBytes);
    const { snapshotEveryCount: everyCount } = settings;
    if (everyCount !== undefined) {
      const kept = settings.snapshotStore ?? new MemorySnapshots(snapshotsBeside(this.storage));
      this.snapshots = new Snapshots(this.store, kept, this.observer, { everyCount });
    }
    this.replicas = new Replicas(this.store, this.observer, settings.cacheBytes ?? 1 << 24, this.snapshots);
    this.reader = new ReadReplica(this.replicas, this.locks, clock);
    const outputs = new Outputs({
      source: '/test',
      typePrefix: 'state',
      mayReplyTo: (topic) => topic !== OWN_TOPIC,
    });
    const bus = { publish: (messages: readonly Message[]) => this.publish(messages) };
    const limits = settings.limits ?? DEFAULT_LIMITS;
    const options: ProcessOptions = {
      limits,
      unchangedUpdates: settings.unchangedUpdates ?? 'record',
      publishDocuments: settings.publishDocuments ?? true,
      ...(settings.stepCount === undefined ? {} : { stepCount: settings.stepCount }),
    };
    const { store, replicas, locks, observer } = this;
    this.commands = new ProcessCommands({ store, bus, replicas, locks, outputs, clock, observer, options });
    this.gets = new AnswerGets({ reader: this.reader, bus, outputs, clock, observer, limits });
  }

  /** Resolves when a call to the store or the bus has crashed this process. */
  get crashed(): Promise<void> {
    return Promise.race([this.store.crashed, this.publishCrashed]);
  }

  /** Hands the batch over; resolves with what it published, once it may be committed. */
  async deliver(batch: CommandBatch | readonly CommandMessage[], lease?: Lease): Promise<Message[]> {
    const before = this.published.length;
    const whole = 'messages' in batch ? batch : batchOf(batch, lease);
    await (whole.channel === 'get' ? this.gets.process(whole) : this.commands.process(whole));
    return this.published.slice(before);
  }

  /** Hands the batch over to a process that dies in it; resolves with what it had published by then. */
  async deliverAndCrash(batch: CommandBatch | readonly CommandMessage[]): Promise<Message[]> {
    const before = this.published.length;
    const ended = this.deliver(batch).then(() => {
      throw new Error('the process was to crash, and did its work');
    });
    await Promise.race([this.crashed, ended]);
    return this.published.slice(before);
  }

  /** Another process on the same storage, with nothing in memory. */
  restarted(settings: ProcessSettings = {}): ReplicaProcess {
    return new ReplicaProcess({ ...settings, storage: this.storage });
  }

  private async publish(messages: readonly Message[]): Promise<void> {
    const fault = this.publishFaults.shift() ?? null;
    if (fault === 'crash-before') return this.crash();
    if (fault === 'unavailable' || fault === 'closed') throw new BusError(fault, 'as the test asked');
    this.published.push(...messages);
    if (fault === 'crash-after') return this.crash();
    if (fault !== null) throw new BusError('unavailable', 'sent, and no acknowledgement came');
  }

  private crash(): Promise<never> {
    this.markCrashed();
    return new Promise(() => undefined);
  }
}
