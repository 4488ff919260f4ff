import { Backoff } from './backoff.js';
import { groupCommands, lastPosition, type LogCommand, type LogDamage } from './log-commands.js';
import { Pacer } from './pacing.js';
import { type OnRetry } from './patience.js';
import { EventStoreError, type EventStore } from './ports/event-store.js';
import { type CommandRenderer, Detail, type FleetKind, LAST_PART } from './render-commands.js';
import { deferred, type Deferred, pause } from './timing.js';

/** One output as followers get it, ready to be sent. */
export interface FleetOutput {
  readonly part: number;
  readonly kind: FleetKind;
  readonly bytes: Buffer;
}

/** The outputs of one command. */
export interface FleetEntry {
  readonly deviceId: string | null;
  readonly position: bigint;
  readonly outputs: readonly FleetOutput[];
}

/** A place in the log: after this part of the command at this position. */
export interface FleetPlace {
  readonly position: bigint;
  readonly part: number;
}

/** `position.part`. */
export function formatFleetId({ position, part }: FleetPlace): string {
  return `${position}.${part}`;
}

/** Reads an id of the stream, or a bare position, which is the place after all of its parts; null: it is neither. */
export function parseFleetId(id: string): FleetPlace | null {
  const match = /^(\d{1,20})(?:\.([0-3]))?$/.exec(id);
  if (match === null) return null;
  return { position: BigInt(match[1] ?? 0), part: Number(match[2] ?? LAST_PART) };
}

export type Encode = (id: string, kind: FleetKind, document: string) => Buffer;

/** Makes what followers get of one command. Throws `EventStoreError` where it may be made later. */
export async function entryOf(
  renderer: CommandRenderer,
  owner: string,
  item: LogCommand | LogDamage,
  detail: Detail,
  encode: Encode,
): Promise<FleetEntry> {
  const { deviceId, position } = item;
  const rendered = await renderer.render(owner, item, detail);
  const outputs = rendered.map(({ part, kind, document }) => ({
    part,
    kind,
    bytes: encode(formatFleetId({ position, part }), kind, document),
  }));
  return { deviceId, position, outputs };
}

export interface TailDependencies {
  readonly store: EventStore;
  readonly renderer: CommandRenderer;
  readonly encode: Encode;
  /** The most that the latest outputs may take in memory. */
  readonly maxBytes: number;
  readonly onRetry: OnRetry;
}

/** What an entry takes beside its bytes, roughly. */
const ENTRY_BYTES = 400;

/**
 * The end of the log, read once for all followers: the outputs of the latest commands, made once and kept for those
 * who come for them. There is no subscription while nobody follows.
 */
export class FleetTail {
  private entries: FleetEntry[] = [];
  private bytes = 0;
  /** Every command behind this position, up to the end that is read, is among the entries. */
  private floor = 0n;
  private head = 0n;
  private detail = Detail.Accepted;
  private readonly members = new Map<symbol, Detail>();
  private run: { readonly abort: AbortController; readonly started: Promise<void> } | null = null;
  private failure: EventStoreError | null = null;
  private growth: Deferred<void> = deferred();
  private isWaking = false;

  constructor(private readonly dependencies: TailDependencies) {}

  /**
   * To be called by each follower before it asks for entries; those from then on have what it wants. Rejects with
   * `EventStoreError` where the log's end cannot be read.
   *
   * @returns to be called when it leaves
   */
  async join(detail: Detail): Promise<() => void> {
    const member = Symbol('follower');
    this.members.set(member, detail);
    const leave = (): void => {
      if (!this.members.delete(member)) return;
      this.detail = Math.max(Detail.Accepted, ...this.members.values());
      if (this.members.size === 0) this.stop();
    };
    // What is kept has too little of each command; who wants the rest reads it from the log.
    if (detail > this.detail) {
      this.detail = detail;
      this.clear(this.head);
    }
    const run = (this.run ??= this.start());
    try {
      await run.started;
      return leave;
    } catch (error) {
      if (this.run === run) this.stop();
      leave();
      throw error;
    }
  }

  /** The position behind which all commands are here. */
  get from(): bigint {
    return this.floor;
  }

  /** The entries after a position, oldest first, and where they end; null: some of them are only in the log by now. */
  after(position: bigint): { entries: readonly FleetEntry[]; from: number } | null {
    if (this.failure !== null) throw this.failure;
    if (position < this.floor) return null;
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.entries[middle]?.position ?? 0n) <= position) low = middle + 1;
      else high = middle;
    }
    return { entries: this.entries, from: low };
  }

  /** Resolves when there is more, or following has failed. To be taken before one looks. */
  get grown(): Promise<void> {
    return this.growth.promise;
  }

  private start(): NonNullable<typeof this.run> {
    const abort = new AbortController();
    this.failure = null;
    const started = (async () => {
      const last = await lastPosition(this.dependencies.store);
      if (abort.signal.aborted) return;
      this.clear(last);
      this.head = last;
      void this.follow(abort.signal);
    })();
    return { abort, started };
  }

  private stop(): void {
    this.run?.abort.abort();
    this.run = null;
    this.detail = Detail.Accepted;
    this.clear(this.head);
  }

  private clear(floor: bigint): void {
    this.entries = [];
    this.bytes = 0;
    this.floor = floor;
  }

  /** Comes back by itself after an error, at the command after the last one that is here. */
  private async follow(signal: AbortSignal): Promise<void> {
    const { onRetry } = this.dependencies;
    const backoff = new Backoff();
    while (!signal.aborted) {
      try {
        await this.followOnce(signal, backoff);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof EventStoreError && error.code === 'closed') {
          this.failure = error;
          this.wake();
          return;
        }
        const delayMs = backoff.nextDelayMs();
        onRetry(error, delayMs);
        await pause(delayMs, signal);
      }
    }
  }

  private async followOnce(signal: AbortSignal, backoff: Backoff): Promise<void> {
    const { store, renderer, encode } = this.dependencies;
    const after = this.head === 0n ? 'start' : this.head;
    const items = store.subscribe({ after, signal })[Symbol.asyncIterator]();
    const pacer = new Pacer();
    for await (const item of groupCommands(store, items)) {
      if (signal.aborted) return;
      if (item.kind !== 'passed') {
        const { detail } = this;
        const entry = await entryOf(renderer, 'tail', item, detail, encode);
        if (signal.aborted) return;
        this.push(entry, detail);
      }
      this.head = item.position;
      backoff.reset();
      this.wake();
      if (pacer.isDue) await pacer.pause();
    }
  }

  private push(entry: FleetEntry, detail: Detail): void {
    if (detail < this.detail) {
      // Somebody who wants more came while it was made.
      this.clear(entry.position);
      return;
    }
    this.entries.push(entry);
    this.bytes += bytesOf(entry);
    while (this.bytes > this.dependencies.maxBytes) {
      const oldest = this.entries.shift();
      if (oldest === undefined) return;
      this.bytes -= bytesOf(oldest);
      this.floor = oldest.position;
    }
  }

  /** Once a turn of the event loop: many commands come together. */
  private wake(): void {
    if (this.isWaking) return;
    this.isWaking = true;
    setImmediate(() => {
      this.isWaking = false;
      const { growth } = this;
      this.growth = deferred();
      growth.resolve();
    });
  }
}

function bytesOf({ outputs }: FleetEntry): number {
  return outputs.reduce((sum, { bytes }) => sum + bytes.length, ENTRY_BYTES);
}
