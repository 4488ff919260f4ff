import { countBytes } from '../replica/evolve.js';
import { type Replica } from '../replica/replica.js';
import { decodeSnapshot, encodeSnapshot } from '../replica/snapshot.js';
import { streamOf } from '../replica/stored.js';
import { type EventStore } from './ports/event-store.js';
import { type Observer } from './ports/observer.js';
import { type SnapshotStore, type StoredSnapshot } from './ports/snapshots.js';

export interface SnapshotOptions {
  /** A snapshot is made each time that so many more events of a device are recorded. At least 1. */
  readonly everyCount: number;
}

/** Which snapshot will do. */
export interface StartOptions {
  /** The highest revision that may be in it. Default: any. */
  readonly atMost?: number;
  /** Whether the replica is early enough for what is looked for. Default: it is. */
  readonly fits?: (replica: Replica) => boolean;
}

/**
 * Snapshots of a level are this many times as far apart as those of the level below. Since of each level the latest
 * ones are kept, they are the closer together the later they are: whoever looks for something that was recorded a while
 * ago begins close before it, or at the worst a thirtieth of that while before it, however long the history is.
 */
const LEVEL_FACTOR = 8;
const MAX_LEVEL = 6;

/** What waits is written after so long, or at once when it is so much. */
const SAVE_DELAY_MS = 200;
const SAVE_BYTES = 1024 * 1024;
/** More than this does not wait: what comes then is dropped. */
const MAX_WAITING_BYTES = 32 * SAVE_BYTES;

/**
 * Makes snapshots of what is recorded, and begins loads with them. Whatever is wrong with a snapshot or with their
 * store costs time alone: it is told to the observer, and the history is folded from an earlier place.
 */
export class Snapshots {
  private waiting: StoredSnapshot[] = [];
  private waitingBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> | null = null;

  constructor(
    private readonly events: EventStore,
    private readonly store: SnapshotStore,
    private readonly observer: Observer,
    private readonly options: SnapshotOptions,
  ) {}

  /**
   * The replica of the latest snapshot that will do; null: there is none, and the fold begins at the stream's start.
   * One whose event does not stand in the stream is of another stream: of a store that was since replaced by an older
   * copy of it. It is removed.
   *
   * Throws `EventStoreError`.
   */
  async start(deviceId: string, { atMost, fits }: StartOptions = {}): Promise<Replica | null> {
    let highest = atMost ?? Number.MAX_SAFE_INTEGER;
    let newest: number | undefined;
    while (highest >= 0) {
      const stored = await this.find(deviceId, highest);
      if (stored === null) return null;
      highest = stored.revision - 1;
      newest ??= stored.revision;
      const replica = decodeSnapshot(stored.text, deviceId);
      if (replica === null || replica.revision !== stored.revision) {
        this.observer.snapshotFailed('read', new Error(`A snapshot of ${deviceId} cannot be read`));
        continue;
      }
      if (fits !== undefined && !fits(replica)) {
        // Twice as far back each time: how far is not known, and there may be hundreds of them.
        highest -= newest - stored.revision;
        continue;
      }
      if (await this.isBorneOut(stored)) return replica;
      await this.remove(stored);
    }
    return null;
  }

  /**
   * Makes a snapshot where it is time for one. The replica shows what is durable, and nothing else.
   *
   * @param before the revision that it had before its latest events
   * @param eventId the id of the last of them
   */
  recorded(replica: Replica, before: number, eventId: string): void {
    const { everyCount } = this.options;
    if (crosses(before, replica.revision, everyCount)) this.add(replica, before, eventId);
  }

  /** As {@link recorded}, of a replica that was loaded: where that took long, it need not take long again. */
  loaded(replica: Replica, before: number, eventId: string): void {
    if (replica.revision - before > this.options.everyCount) this.add(replica, before, eventId);
  }

  /**
   * As {@link recorded}, of a replica that is folded on through its past: where the snapshots of that past are
   * missing, they are made anew. The replica must stand after a whole command.
   */
  passed(replica: Replica, before: number, eventId: string): void {
    const { everyCount } = this.options;
    // Those in between are not kept for long, and would only be written to be removed.
    if (!crosses(before, replica.revision, everyCount * LEVEL_FACTOR)) return;
    countBytes(replica);
    this.add(replica, before, eventId);
  }

  /** Resolves when all snapshots that were made are written, or given up. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.writing ??= this.write().finally(() => (this.writing = null));
    await this.writing;
  }

  async close(): Promise<void> {
    await this.flush();
    await this.store.close().catch((error: unknown) => this.observer.snapshotFailed('close', error));
  }

  private add(replica: Replica, before: number, eventId: string): void {
    // Here and not later: the next command changes the replica in place.
    const text = encodeSnapshot(replica);
    if (this.waitingBytes + text.length > MAX_WAITING_BYTES) {
      this.observer.snapshotFailed('save', new Error('Too many snapshots wait to be saved'));
      return;
    }
    const { deviceId, revision } = replica;
    const level = levelOf(before, revision, this.options.everyCount);
    this.waiting.push({ deviceId, revision, eventId, level, text });
    this.waitingBytes += text.length;
    const delay = this.waitingBytes >= SAVE_BYTES ? 0 : SAVE_DELAY_MS;
    if (this.timer !== undefined && delay > 0) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.flush(), delay).unref();
  }

  private async write(): Promise<void> {
    while (this.waiting.length > 0) {
      const snapshots = this.waiting;
      this.waiting = [];
      this.waitingBytes = 0;
      try {
        await this.store.save(snapshots);
        this.observer.snapshotsSaved(snapshots.length);
      } catch (error) {
        this.observer.snapshotFailed('save', error);
      }
    }
  }

  private async find(deviceId: string, atMost: number): Promise<StoredSnapshot | null> {
    try {
      return await this.store.find(deviceId, atMost);
    } catch (error) {
      this.observer.snapshotFailed('read', error);
      return null;
    }
  }

  private async isBorneOut({ deviceId, revision, eventId }: StoredSnapshot): Promise<boolean> {
    const one = this.events.readStream(streamOf(deviceId), { from: revision, maxCount: 1 });
    for await (const event of one) return event.revision === revision && event.id === eventId;
    return false;
  }

  private async remove({ deviceId, revision }: StoredSnapshot): Promise<void> {
    const reason = `The snapshot of ${deviceId} at revision ${revision} is not of this event store`;
    this.observer.snapshotFailed('read', new Error(reason));
    await this.store
      .remove(deviceId, revision)
      .catch((error: unknown) => this.observer.snapshotFailed('remove', error));
  }
}

/** True where a multiple of `count` events was reached between the two revisions. */
function crosses(before: number, after: number, count: number): boolean {
  return Math.floor((after + 1) / count) > Math.floor((before + 1) / count);
}

function levelOf(before: number, after: number, everyCount: number): number {
  let level = 0;
  let count = everyCount * LEVEL_FACTOR;
  for (; level < MAX_LEVEL && crosses(before, after, count); count *= LEVEL_FACTOR) level++;
  return level;
}
