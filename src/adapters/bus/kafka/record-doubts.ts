/*
 * Only a batch's records have a checksum in Kafka's protocol; where they stand, and in which partition, has none. What
 * cannot be so may have been changed on its way, and is asked for again; what comes a second time, byte for byte the
 * same, stands so in the log.
 */

export interface Doubt {
  readonly topic: string;
  readonly partition: number;
  /** Where the records are said to begin. */
  readonly offset: number;
  /** `records`: they cannot be what was sent; `gap`: some are missing before them; `overlap`: they begin too early. */
  readonly kind: 'records' | 'gap' | 'overlap';
  /** In one line. */
  readonly reason: string;
  /** It has come twice: it stands so in the log. */
  readonly isConfirmed: boolean;
}

type Watcher = (doubt: Doubt) => void;

const watchers = new Set<Watcher>();
/** By partition, of what came since something came that was as it must be: a log may have several places in a row. */
const signatures = new Map<string, Set<string>>();
/** A line that changes all that comes must not fill the memory. */
const MAX_SIGNATURES = 100;

/** Tells of each doubt, of whatever client of this process, until the returned function is called. */
export function watchDoubts(watcher: Watcher): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/**
 * Notes that these records cannot be so.
 *
 * @param signature what is the same only for the same bytes
 * @returns true: they have come so before, and are to be taken as they are; false: they are to be asked for again
 */
export function doubt(about: Omit<Doubt, 'isConfirmed'>, signature: string): boolean {
  const place = placeOf(about.topic, about.partition);
  const known = signatures.get(place) ?? new Set<string>();
  signatures.set(place, known);
  const isConfirmed = known.has(signature);
  if (known.size >= MAX_SIGNATURES) known.clear();
  known.add(signature);
  for (const watcher of watchers) watcher({ ...about, isConfirmed });
  return isConfirmed;
}

/** Notes that what came of a partition is as it must be. */
export function trust(topic: string, partition: number): void {
  // Nearly always there is nothing.
  if (signatures.size > 0) signatures.delete(placeOf(topic, partition));
}

function placeOf(topic: string, partition: number): string {
  return `${partition}|${topic}`;
}
