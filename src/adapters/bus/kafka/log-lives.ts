import { randomUUID } from 'node:crypto';

/*
 * A topic can be deleted and made anew under its old name; the group's committed offset then points into another
 * log. So every commit says which life of the topic it belongs to. Where the broker gives topics ids, the id is the
 * name of the life; where it does not, the name is drawn at random, and a new life shows only by a log that ends
 * before the committed offset.
 */

/** A place in one life of a partition: the next offset to take. */
export interface LogPlace {
  readonly offset: number;
  /** Null where the offset was set by somebody else, such as an operator's tool. */
  readonly log: string | null;
}

export interface PartitionFacts {
  /** The first offset that is there. */
  readonly low: number;
  /** The offset after the last one. */
  readonly high: number;
  /** Null where the broker has no topic ids. */
  readonly topicId: string | null;
  /** What the group committed; null: nothing. */
  readonly committed: LogPlace | null;
  /** How far this process got; tells where the committed offset was lost. */
  readonly remembered: LogPlace | null;
}

export type StartReason = 'first' | 'resumed' | 'made-anew' | 'expired' | 'truncated';

export interface Start {
  readonly offset: number;
  readonly log: string;
  readonly reason: StartReason;
}

const RANDOM_PREFIX = 'r-';

/** Where to start in a partition, and the name of its present life. */
export function decideStart({ low, high, topicId, committed, remembered }: PartitionFacts): Start {
  const known = committed ?? remembered;
  if (known === null) return { offset: low, log: topicId ?? randomLog(), reason: 'first' };

  if (!isSameLife(known, topicId, high))
    return { offset: low, log: topicId ?? randomLog(), reason: 'made-anew' };

  const log = topicId ?? known.log ?? randomLog();
  if (known.offset < low) return { offset: low, log, reason: 'expired' };
  // An unclean election can cut a log short in its life; what was processed stays processed.
  if (known.offset > high) return { offset: high, log, reason: 'truncated' };
  return { offset: known.offset, log, reason: 'resumed' };
}

function isSameLife(known: LogPlace, topicId: string | null, high: number): boolean {
  const hasId = topicId !== null && known.log !== null && !known.log.startsWith(RANDOM_PREFIX);
  return hasId ? known.log === topicId : known.offset <= high;
}

function randomLog(): string {
  return `${RANDOM_PREFIX}${randomUUID()}`;
}

/** The metadata of a commit. */
export function encodeLog(log: string): string {
  return JSON.stringify({ log });
}

/** The name of the life in a commit's metadata; null when it was not written by {@link encodeLog}. */
export function decodeLog(metadata: string | null): string | null {
  if (metadata === null || metadata === '') return null;
  try {
    const parsed = JSON.parse(metadata) as { log?: unknown } | null;
    return typeof parsed?.log === 'string' ? parsed.log : null;
  } catch {
    return null;
  }
}
