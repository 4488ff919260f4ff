import { type ReplicaEvent } from './events.js';
import { type Changed } from './evolve.js';
import { isEmpty, isObject, own, type JsonObject, type JsonValue } from './json.js';

/**
 * What became of a desired change: an update that put at least one value into desired that did not stand there.
 *
 * Each leaf it put there (a scalar, an array or an empty object) is open until reported has that value; or until
 * another value is wanted in its place, in it or above it: superseded; or none: withdrawn. A leaf that is closed stays
 * closed, whatever is reported later. The change is settled with its last leaf: `superseded` where any of its leaves
 * was, else `withdrawn` where any was, else `reached`.
 */
export type Outcome = 'reached' | 'superseded' | 'withdrawn';

export interface Settled {
  readonly version: number;
  /** Times of the events, milliseconds since the epoch. */
  readonly askedAt: number;
  readonly settledAt: number;
  readonly outcome: Outcome;
}

/** A desired change that has open leaves. */
export interface OpenChange {
  readonly version: number;
  readonly askedAt: number;
  /** How many of its leaves are open. */
  open: number;
  superseded: number;
  withdrawn: number;
}

/**
 * The open leaves of a device, in the shape of its delta, of which they are a part: at each leaf the version of the
 * change that asked for it. No two changes have the same leaf open: the later one has superseded the earlier.
 */
export interface OpenLeaves {
  [key: string]: number | OpenLeaves;
}

/** Changed in place by its one holder. */
export interface OpenChanges {
  /** By version, the oldest first. */
  readonly changes: Map<number, OpenChange>;
  readonly leaves: OpenLeaves;
}

export function noOpenChanges(): OpenChanges {
  return { changes: new Map(), leaves: {} };
}

/**
 * Closes what an event closes, and returns the changes that are settled by it. It costs what the event names, and
 * nothing where no change is open. To be called after `evolve`.
 *
 * The two events of an update count one after the other, as they are recorded: what its report reaches is reached, also
 * where the update wants another value from then on.
 *
 * @param changed what the event really changed, as `evolve` fills it in; of a report it is not looked at
 * @param delta the replica's, after the event
 */
export function closeLeaves(
  open: OpenChanges,
  event: ReplicaEvent,
  changed: Changed,
  delta: JsonObject,
): readonly Settled[] {
  // Stryker disable next-line ConditionalExpression: only sooner
  if (open.changes.size === 0) return NONE;
  const closing: Closing = { changes: open.changes, at: event.timestamp, settled: [] };
  if (event.type === 'ReportedStateChanged') {
    // Without the section nothing is equal to anything.
    if (event.state !== null) closeReached(open.leaves, event.state, delta, closing);
  } else if (event.type === 'ReplicaDeleted' || changed.desired === null) {
    closeWithin(open.leaves, 'withdrawn', closing);
  } else if (changed.desired !== undefined) {
    closeChanged(open.leaves, changed.desired, closing);
  }
  return closing.settled;
}

const NONE: readonly Settled[] = [];

/**
 * Opens the leaves that an event puts into desired and that reported has not. To be called after {@link closeLeaves}.
 *
 * @returns the change, settled, where reported has all that it asks for already; else null
 */
export function openLeaves(
  open: OpenChanges,
  event: ReplicaEvent,
  changed: Changed,
  delta: JsonObject,
): Settled | null {
  if (!changed.desired) return null;
  const { version, timestamp } = event;
  const count = { asked: false, open: 0 };
  openAsked(open.leaves, changed.desired, delta, version, count);
  if (count.open > 0) {
    open.changes.set(version, {
      version,
      askedAt: timestamp,
      open: count.open,
      superseded: 0,
      withdrawn: 0,
    });
  }
  if (!count.asked || count.open > 0) return null;
  return { version, askedAt: timestamp, settledAt: timestamp, outcome: 'reached' };
}

/** What is closed together, by one event. */
interface Closing {
  readonly changes: Map<number, OpenChange>;
  readonly at: number;
  readonly settled: Settled[];
}

function closeLeaf({ changes, at, settled }: Closing, version: number, outcome: Outcome): void {
  const change = changes.get(version);
  if (change === undefined) return;
  if (outcome !== 'reached') change[outcome]++;
  if (--change.open > 0) return;
  changes.delete(version);
  settled.push({
    version,
    askedAt: change.askedAt,
    settledAt: at,
    outcome: change.superseded > 0 ? 'superseded' : change.withdrawn > 0 ? 'withdrawn' : 'reached',
  });
}

/** Of what a report names, what the delta holds no more is equal now. */
function closeReached(
  leaves: OpenLeaves,
  patch: JsonObject,
  delta: JsonObject | undefined,
  closing: Closing,
): void {
  for (const key in leaves) {
    const inner = own(patch, key);
    if (inner === undefined) continue;
    const node = leaves[key] as number | OpenLeaves;
    const outstanding = delta && own(delta, key);
    if (outstanding === undefined) {
      closeNode(node, 'reached', closing);
      delete leaves[key];
    } else if (typeof node === 'object') {
      // Where it is no object, what is wanted in it is as far from being reported as it was.
      if (!isObject(inner)) continue;
      closeReached(node, inner, isObject(outstanding) ? outstanding : undefined, closing);
      if (isEmpty(node)) delete leaves[key];
    }
  }
}

/** Where desired really changed, no open leaf stays what it was. */
function closeChanged(leaves: OpenLeaves, change: JsonObject, closing: Closing): void {
  for (const key of Object.keys(change)) {
    const node = own(leaves, key);
    if (node === undefined) continue;
    const inner = change[key] as JsonValue;
    if (typeof node === 'object' && isObject(inner)) {
      closeChanged(node, inner, closing);
      if (!isEmpty(node)) continue;
    } else {
      closeNode(node, inner === null ? 'withdrawn' : 'superseded', closing);
    }
    delete leaves[key];
  }
}

function closeNode(node: number | OpenLeaves, outcome: Outcome, closing: Closing): void {
  if (typeof node === 'number') closeLeaf(closing, node, outcome);
  else closeWithin(node, outcome, closing);
}

function closeWithin(leaves: OpenLeaves, outcome: Outcome, closing: Closing): void {
  for (const key of Object.keys(leaves)) {
    closeNode(leaves[key] as number | OpenLeaves, outcome, closing);
    delete leaves[key];
  }
}

function openAsked(
  leaves: OpenLeaves,
  change: JsonObject,
  delta: JsonObject | undefined,
  version: number,
  count: { asked: boolean; open: number },
): void {
  for (const key of Object.keys(change)) {
    const value = change[key] as JsonValue;
    if (value === null) continue;
    const outstanding = delta && own(delta, key);
    if (isObject(value) && !isEmpty(value)) {
      const before = own(leaves, key);
      const inner: OpenLeaves = typeof before === 'object' ? before : {};
      openAsked(inner, value, isObject(outstanding) ? outstanding : undefined, version, count);
      if (!isEmpty(inner)) leaves[key] = inner;
    } else {
      count.asked = true;
      if (outstanding === undefined) continue;
      count.open++;
      leaves[key] = version;
    }
  }
}

/** As text that {@link decodeOpenChanges} makes the same of. */
export function encodeOpenChanges({ changes, leaves }: OpenChanges): string {
  const rows = [...changes.values()].map(({ version, askedAt, open, superseded, withdrawn }) => [
    version,
    askedAt,
    open,
    superseded,
    withdrawn,
  ]);
  return JSON.stringify({ changes: rows, leaves });
}

/** Null: it is not such a text. */
export function decodeOpenChanges(text: string): OpenChanges | null {
  try {
    const { changes, leaves } = JSON.parse(text) as { changes: unknown; leaves: unknown };
    if (!Array.isArray(changes) || !isObject(leaves)) return null;
    const open: OpenChanges = { changes: new Map(), leaves: leaves as OpenLeaves };
    for (const row of changes as unknown[]) {
      if (!Array.isArray(row) || row.length !== 5 || !row.every(Number.isSafeInteger)) return null;
      const [version, askedAt, count, superseded, withdrawn] = row as [
        number,
        number,
        number,
        number,
        number,
      ];
      open.changes.set(version, { version, askedAt, open: count, superseded, withdrawn });
    }
    return open;
  } catch {
    return null;
  }
}
