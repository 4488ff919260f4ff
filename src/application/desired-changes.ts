import { refusals } from '../replica/commands.js';
import {
  closeLeaves,
  noOpenChanges,
  openLeaves,
  type OpenChanges,
  type OpenLeaves,
  type Outcome,
  type Settled,
} from '../replica/convergence.js';
import { type Changed, evolve } from '../replica/evolve.js';
import { isEmpty, isObject, type JsonObject, type JsonValue, own } from '../replica/json.js';
import { streamOf } from '../replica/stored.js';
import {
  cursorAfter,
  DEFAULT_PAGE_COUNT,
  type HistoryOptions,
  MAX_PAGE_BYTES,
  type Range,
  readRange,
} from './history.js';
import { answer, type Answer } from './moments.js';
import { Pacer } from './pacing.js';
import { type Past } from './past.js';
import { type EventStore, type RecordedEvent } from './ports/event-store.js';
import { readChunks } from './read-chunks.js';
import { decode } from './replicas.js';

/** A page ends after so many events, once it has an update of desired: all that lies between is folded. */
const MAX_SPAN_COUNT = 100_000;
/** To look for more keys than these in an event's bytes costs as much as to parse it. */
const MAX_KEYS_LOOKED_FOR = 16;

/** A desired change, and what became of it: see {@link Outcome}. */
export interface DesiredChange {
  readonly version: number;
  /** Of its event. */
  readonly revision: number;
  /** Milliseconds since the epoch, as all times here. */
  readonly askedAt: number;
  /** The values that it put into desired and that did not stand there. */
  readonly desired: JsonObject;
  readonly outcome: Outcome | 'open';
  /** Null: it is open. */
  readonly settledAt: number | null;
  readonly durationMs: number | null;
  /** Of `desired`, what is open; absent: nothing. */
  readonly open?: JsonObject;
  readonly clientToken?: string;
}

export interface ChangesPage {
  readonly changes: readonly DesiredChange[];
  /** The device's last event: how far what became of them is known. */
  readonly asOf: { readonly version: number; readonly timestamp: number };
  /** Where the next page begins; absent: this is the last one. */
  readonly cursor?: string;
}

/**
 * A page of a device's desired changes in a range of its events. What became of them is looked for beyond that range,
 * until all of the page are settled, or to the last event. The limit is one of updates that name desired: a page may
 * have fewer changes, and still a cursor.
 *
 * Refuses with 404 where the device never had an event, and with 400 a cursor that is none. Throws `EventStoreError`.
 */
export async function changesPage(
  store: EventStore,
  past: Past,
  deviceId: string,
  options: HistoryOptions,
): Promise<Answer<ChangesPage>> {
  const last = await past.last(deviceId);
  if (last === null) return { ok: false, refusal: refusals.notFound(deviceId) };
  const range = await readRange(past, deviceId, last, options);
  if (!range.ok) return range;
  const { version, timestamp } = last.event;
  const asOf = { version, timestamp };
  const { updates, end } = await updatesIn(store, deviceId, range.value, options.limit ?? DEFAULT_PAGE_COUNT);
  const cursor = cursorAfter(range.value, end);
  if (updates.length === 0) return answer({ changes: [], asOf, ...cursor });
  const [first, until] = [Math.min(...updates), Math.max(...updates)];
  const follower = new Follower(await past.replicaAt(deviceId, first - 1), until);
  const pacer = new Pacer();
  const maxCount = last.revision - first + 1;
  const reads = readChunks(store, streamOf(deviceId), { direction: 'forwards', from: first, maxCount });
  for await (const recorded of reads) {
    follower.take(recorded);
    if (follower.isDone) break;
    if (pacer.isDue) await pacer.pause();
  }
  const changes = follower.changes();
  if (range.value.newestFirst) changes.reverse();
  return answer({ changes, asOf, ...cursor });
}

/** The updates of desired that a page is made of, and the revision of the last event that was looked at for them. */
async function updatesIn(
  store: EventStore,
  deviceId: string,
  { newestFirst, low, high }: Range,
  limit: number,
): Promise<{ updates: number[]; end: number | undefined }> {
  const updates: number[] = [];
  if (low > high) return { updates, end: undefined };
  const pacer = new Pacer();
  let bytes = 0;
  let end: number | undefined;
  const reads = readChunks(store, streamOf(deviceId), {
    direction: newestFirst ? 'backwards' : 'forwards',
    from: newestFirst ? high : low,
    maxCount: high - low + 1,
  });
  for await (const { type, revision, data } of reads) {
    end = revision;
    if (type === 'DesiredStateChanged') {
      updates.push(revision);
      bytes += data.length;
      if (updates.length >= limit || bytes >= MAX_PAGE_BYTES) break;
    }
    const start = updates[0];
    if (start !== undefined && Math.abs(revision - start) >= MAX_SPAN_COUNT) break;
    if (pacer.isDue) await pacer.pause();
  }
  return { updates, end };
}

interface Asked {
  readonly version: number;
  readonly revision: number;
  readonly askedAt: number;
  readonly desired: JsonObject;
  readonly clientToken?: string;
}

/** Follows the changes that are asked for until a revision, from event to event. */
class Follower {
  private readonly open: OpenChanges = noOpenChanges();
  private readonly asked: Asked[] = [];
  private readonly settled = new Map<number, Settled>();
  private mayConcern: ((recorded: RecordedEvent) => boolean) | null = null;
  private revision: number;

  /** @param replica that before the first event, which is the follower's from now on */
  constructor(
    private readonly replica: Awaited<ReturnType<Past['replicaAt']>>,
    private readonly until: number,
  ) {
    this.revision = replica.revision;
  }

  /** True where no later event matters. */
  get isDone(): boolean {
    return this.revision >= this.until && this.open.changes.size === 0;
  }

  take(recorded: RecordedEvent): void {
    this.revision = recorded.revision;
    const isAsking = recorded.revision <= this.until;
    // The replica is right from then on where a leaf is open, and that is all that is looked at.
    if (!isAsking && !(this.mayConcern ??= filterOf(this.open.leaves))(recorded)) return;
    const { event, origin } = decode(recorded);
    const changed: Changed = {};
    evolve(this.replica, event, origin, recorded.revision, changed);
    const settled = closeLeaves(this.open, event, changed, this.replica.delta);
    if (settled.length > 0) this.mayConcern = null;
    for (const each of settled) this.settled.set(each.version, each);
    if (!isAsking || event.type !== 'DesiredStateChanged' || !changed.desired) return;
    const atOnce = openLeaves(this.open, event, changed, this.replica.delta);
    if (atOnce !== null) this.settled.set(atOnce.version, atOnce);
    if (atOnce === null && !this.open.changes.has(event.version)) return;
    const { version, timestamp: askedAt, clientToken } = event;
    const desired = valuesOf(changed.desired);
    const token = clientToken === undefined ? {} : { clientToken };
    this.asked.push({ version, revision: recorded.revision, askedAt, desired, ...token });
  }

  /** The oldest first. */
  changes(): DesiredChange[] {
    const open = new Map<number, JsonObject>();
    collectOpen(this.open.leaves, this.replica.delta, [], open);
    return this.asked.map(({ version, revision, askedAt, desired, ...token }) => {
      const settled = this.settled.get(version);
      const left = open.get(version);
      return {
        version,
        revision,
        askedAt,
        desired,
        outcome: settled?.outcome ?? 'open',
        settledAt: settled?.settledAt ?? null,
        durationMs: settled === undefined ? null : settled.settledAt - askedAt,
        ...(left === undefined ? {} : { open: left }),
        ...token,
      };
    });
  }
}

/** Tells at a glance, without parsing it, that an event names no key in which a leaf is open. */
function filterOf(leaves: OpenLeaves): (recorded: RecordedEvent) => boolean {
  const keys = Object.keys(leaves);
  if (keys.length > MAX_KEYS_LOOKED_FOR) return () => true;
  // Stored events are written by JSON.stringify, which spells a key in one way.
  const wanted = ['"state":null', ...keys.map((key) => `${JSON.stringify(key)}:`)].map((text) =>
    Buffer.from(text),
  );
  return ({ type, data }) => type === 'ReplicaDeleted' || wanted.some((text) => data.includes(text));
}

/** What a change sets, without what it removes; a copy, since the objects in it go on to change with desired. */
function valuesOf(change: JsonObject): JsonObject {
  const values: JsonObject = {};
  for (const key of Object.keys(change)) {
    const value = change[key] as JsonValue;
    if (value === null) continue;
    if (!isObject(value) || isEmpty(value)) {
      values[key] = isObject(value) ? {} : value;
      continue;
    }
    const inner = valuesOf(value);
    if (!isEmpty(inner)) values[key] = inner;
  }
  return values;
}

/** The open leaves with the values that are wanted, by the version that asked for them. */
function collectOpen(
  leaves: OpenLeaves,
  delta: JsonObject,
  path: readonly string[],
  byVersion: Map<number, JsonObject>,
): void {
  for (const key of Object.keys(leaves)) {
    const node = leaves[key] as number | OpenLeaves;
    const wanted = delta[key] as JsonValue;
    if (typeof node === 'object') {
      collectOpen(node, wanted as JsonObject, [...path, key], byVersion);
      continue;
    }
    let target = byVersion.get(node);
    if (target === undefined) byVersion.set(node, (target = {}));
    for (const above of path) {
      target[above] = own(target, above) ?? {};
      target = target[above] as JsonObject;
    }
    target[key] = wanted;
  }
}
