/** A record as the broker keeps it. */
export interface StoredRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer | Buffer[] | null>>;
}

/** What a producer sends. */
export interface ProducedRecord {
  readonly key?: Buffer | string | null;
  readonly value: Buffer | string | null;
  readonly headers?: Readonly<
    Record<string, Buffer | string | readonly (Buffer | string)[] | null | undefined>
  >;
  readonly timestamp?: number;
}

export class PartitionLog {
  readonly records: StoredRecord[] = [];
  /** Called once at the next append. */
  readonly waiters = new Set<() => void>();

  constructor(
    readonly topic: string,
    readonly partition: number,
    /** The id of the node that takes its requests. */
    public leader: number,
  ) {}

  append(record: ProducedRecord, nowMs: number): StoredRecord {
    const stored: StoredRecord = {
      offset: this.records.length,
      timestamp: record.timestamp ?? nowMs,
      key: bytesOf(record.key),
      value: bytesOf(record.value),
      headers: Object.fromEntries(
        Object.entries(record.headers ?? {}).map(([name, value]) => [name, headerOf(value)]),
      ),
    };
    this.records.push(stored);
    return stored;
  }

  wake(): void {
    const waiting = [...this.waiters];
    this.waiters.clear();
    for (const wake of waiting) wake();
  }
}

export class Topic {
  readonly partitions: PartitionLog[];

  constructor(
    readonly name: string,
    /** 32 hex digits, the same for one life of the topic. */
    readonly id: string,
    partitionCount: number,
    nodeCount: number,
  ) {
    let sum = 0;
    for (const char of name) sum += char.charCodeAt(0);
    this.partitions = Array.from(
      { length: partitionCount },
      (_, partition) => new PartitionLog(name, partition, 1 + ((sum + partition) % nodeCount)),
    );
  }
}

function bytesOf(value: Buffer | string | null | undefined): Buffer | null {
  return value === null || value === undefined ? null : Buffer.from(value as string);
}

function headerOf(
  value: Buffer | string | readonly (Buffer | string)[] | null | undefined,
): Buffer | Buffer[] | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string' || Buffer.isBuffer(value)) return Buffer.from(value as string);
  return value.map((one) => Buffer.from(one as string));
}
