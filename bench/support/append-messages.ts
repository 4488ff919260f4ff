/** What the program of one side is told, and what it answers. */

export interface AppendOrder {
  /** Names the streams, so that they are new in every round. */
  readonly round: string;
  readonly appends: number;
  readonly eventsPerAppend: number;
}

export interface AppendAnswer {
  readonly seconds: number;
  readonly cpuMicros: number;
}

/** Appends that wait for their answer at once, on both sides. */
export const IN_FLIGHT = 512;
/** Streams in one call of the adapter's `append`; two such calls are open at once. */
export const STREAMS_PER_CALL = IN_FLIGHT / 2;
/** Appends to one stream in a round, each on top of the last. */
export const APPENDS_PER_STREAM = 4;
