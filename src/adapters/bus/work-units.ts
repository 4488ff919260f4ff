/** The bounds of one unit of work. */
export interface UnitLimits {
  /** The most messages of one unit. */
  readonly maxBatchCount: number;
  /** The most bytes (keys and values) of one unit; a single larger message is a unit of its own. */
  readonly maxBatchBytes: number;
}

interface Sized {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

export function bytesOf(message: Sized): number {
  return (message.key?.length ?? 0) + (message.value?.length ?? 0);
}

/** Cuts consecutive messages into consecutive units within the limits; each has at least one message. */
export function splitIntoUnits<T extends Sized>(messages: readonly T[], limits: UnitLimits): [T, ...T[]][] {
  const units: [T, ...T[]][] = [];
  let unit: [T, ...T[]] | undefined;
  let bytes = 0;
  for (const message of messages) {
    const size = bytesOf(message);
    const isFull =
      unit !== undefined && (unit.length >= limits.maxBatchCount || bytes + size > limits.maxBatchBytes);
    if (unit === undefined || isFull) {
      units.push((unit = [message]));
      bytes = size;
    } else {
      unit.push(message);
      bytes += size;
    }
  }
  return units;
}
