import { isDeepStrictEqual } from 'node:util';
import { type ReplicaEvent } from '../../../src/replica/events.js';
import { isMap, type Json, mergePatch } from './oracle.js';

/** What became of a leaf that was asked for, and when. */
interface Leaf {
  readonly path: readonly string[];
  readonly value: unknown;
  outcome: 'open' | 'reached' | 'superseded' | 'withdrawn';
  at: number;
}

export interface OracleChange {
  readonly version: number;
  readonly askedAt: number;
  readonly leaves: Leaf[];
  outcome: Leaf['outcome'];
  settledAt: number | null;
}

function at(value: unknown, path: readonly string[]): unknown {
  let found = value;
  for (const key of path) {
    found = isMap(found) && Object.hasOwn(found, key) ? found[key] : undefined;
  }
  return found;
}

/** Each scalar, array and empty object. */
function leavesOf(
  value: unknown,
  path: readonly string[] = [],
): { path: readonly string[]; value: unknown }[] {
  if (!isMap(value) || (Object.keys(value).length === 0 && path.length > 0)) return [{ path, value }];
  return Object.keys(value).flatMap((key) => leavesOf(value[key], [...path, key]));
}

const isEmptyMap = (value: unknown): boolean => isMap(value) && Object.keys(value).length === 0;
/** True where a leaf of desired stands in no delta: an empty object asks for any object. */
const holds = (reported: unknown, { path, value }: Pick<Leaf, 'path' | 'value'>): boolean => {
  const actual = at(reported, path);
  return isEmptyMap(value) ? isMap(actual) : isDeepStrictEqual(actual, value);
};

/** True where something stands at the path, or something that has no members above it. */
function isTaken(desired: unknown, path: readonly string[]): boolean {
  if (at(desired, path) !== undefined) return true;
  for (let length = 1; length < path.length; length++) {
    const above = at(desired, path.slice(0, length));
    if (above !== undefined && !isMap(above)) return true;
  }
  return false;
}

/**
 * The desired changes of a history, by looking at both whole sections after each event, leaf by leaf, at every leaf
 * that was ever asked for. Slow and plain.
 */
export function convergenceOf(events: readonly ReplicaEvent[]): OracleChange[] {
  const changes: OracleChange[] = [];
  let reported: unknown = {};
  let desired: unknown = {};
  for (const event of events) {
    const before = desired;
    if (event.type === 'ReplicaDeleted') {
      reported = {};
      desired = {};
    } else if (event.type === 'ReportedStateChanged') {
      reported = event.state === null ? {} : mergePatch(reported as Json, event.state);
    } else {
      desired = event.state === null ? {} : mergePatch(desired as Json, event.state);
    }
    for (const change of changes) {
      for (const leaf of change.leaves) {
        if (leaf.outcome !== 'open') continue;
        const now = at(desired, leaf.path);
        // An empty object that has members now is another value.
        if (!isDeepStrictEqual(now, leaf.value)) {
          leaf.outcome = isTaken(desired, leaf.path) ? 'superseded' : 'withdrawn';
        } else if (holds(reported, leaf)) {
          leaf.outcome = 'reached';
        }
        leaf.at = event.timestamp;
      }
      settle(change);
    }
    const asked = leavesOf(desired)
      .filter(({ path, value }) => !isDeepStrictEqual(at(before, path), value))
      // An object that lost its last member is not asked for.
      .filter(({ path, value }) => !(isEmptyMap(value) && isMap(at(before, path))))
      .map((leaf): Leaf => {
        const outcome = holds(reported, leaf) ? 'reached' : 'open';
        return { ...leaf, outcome, at: event.timestamp };
      });
    if (asked.length === 0) continue;
    const { version, timestamp } = event;
    const change: OracleChange = {
      version,
      askedAt: timestamp,
      leaves: asked,
      outcome: 'open',
      settledAt: null,
    };
    settle(change);
    changes.push(change);
  }
  return changes;
}

function settle(change: OracleChange): void {
  if (change.outcome !== 'open') return;
  const ends = new Set(change.leaves.map(({ outcome }) => outcome));
  if (ends.has('open')) return;
  change.outcome = ends.has('superseded') ? 'superseded' : ends.has('withdrawn') ? 'withdrawn' : 'reached';
  change.settledAt = Math.max(...change.leaves.map((leaf) => leaf.at));
}
