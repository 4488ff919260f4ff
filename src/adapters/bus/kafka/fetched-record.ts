/** The format of records, v2. */
export const MAGIC = 2;

/** A header that was sent several times holds an array; null: sent without a value. */
export type RecordHeaders = Record<string, Buffer | null | (Buffer | null)[]>;

/** A record as kafkajs hands it on. */
export interface DecodedRecord {
  readonly magicByte: number;
  readonly attributes: number;
  readonly timestamp: string;
  /** The same as a number. */
  readonly time: number;
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: RecordHeaders;
  readonly isControlRecord: boolean;
  /** What kafkajs looks at to leave aborted transactions out. */
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean };
}

/** What the records of one batch have in common. */
interface FetchedBatch {
  readonly isControl: boolean;
  readonly context: DecodedRecord['batchContext'];
}

/**
 * Makes its key and value when it is asked for them: an answer has thousands of records, and what waits for its turn is
 * copied whenever garbage is collected.
 */
export class FetchedRecord implements DecodedRecord {
  constructor(
    private readonly bytes: Buffer,
    private readonly keyAt: number,
    /** Negative: null. */
    private readonly keyLength: number,
    private readonly valueAt: number,
    private readonly valueLength: number,
    readonly headers: RecordHeaders,
    readonly offset: string,
    readonly time: number,
    private readonly batch: FetchedBatch,
  ) {}

  get magicByte(): number {
    return MAGIC;
  }

  get attributes(): number {
    return 0;
  }

  get timestamp(): string {
    return String(this.time);
  }

  get key(): Buffer | null {
    return this.part(this.keyAt, this.keyLength);
  }

  get value(): Buffer | null {
    return this.part(this.valueAt, this.valueLength);
  }

  get isControlRecord(): boolean {
    return this.batch.isControl;
  }

  get batchContext(): DecodedRecord['batchContext'] {
    return this.batch.context;
  }

  private part(at: number, length: number): Buffer | null {
    return length < 0 ? null : this.bytes.subarray(at, at + length);
  }
}
