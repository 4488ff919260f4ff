import type { sendUnaryData, ServerDuplexStream, ServerReadableStream } from '@grpc/grpc-js';
import type {
  AppendAnswer,
  AppendPart,
  BatchAnswer,
  BatchChunk,
  BatchOutcome,
  WriteOptions,
} from './append-codec.js';
import {
  appendTooLarge,
  connectionLost,
  invalidArgument,
  missingMetadata,
  refusalError,
  streamDeleted,
} from './errors.js';
import { after, type ServerFaults } from './faults.js';
import { appendedBytes, type AppendOutcome, type ExpectedRevision, type ProposedEvent } from './model.js';
import type { ServerStorage } from './storage.js';
import { isUuid } from './uuid.js';

/** The server ends every batch append by itself after this time, whatever the client asks for. */
const WRITE_TIMEOUT_MS = 2_000;

export interface ServerStats {
  /** Streams appended to, whether recorded, repeated or refused, one by one or in batches. */
  appends: number;
  /** Those of them that came as batch appends. */
  batchAppends: number;
  /** Events recorded for clients. */
  events: number;
  /** Batch appends received in full and not answered yet, at most so far; more than 1 only under a delay. */
  maxBatchAppendsInFlight: number;
}

export interface AppendContext {
  readonly storage: ServerStorage;
  readonly faults: ServerFaults;
  readonly stats: ServerStats;
  readonly maxAppendBytes: number;
  /** Later servers limit each event instead of the append. */
  readonly maxEventBytes: number | undefined;
}

interface Batch {
  readonly correlationId: string;
  readonly stream: string;
  readonly expected: ExpectedRevision;
  readonly timeoutMs: number;
  readonly events: ProposedEvent[];
  timer: NodeJS.Timeout | undefined;
}

function currentRevision(storage: ServerStorage, stream: string): number {
  return (storage.find(stream)?.events.length ?? 0) - 1;
}

/** What the limit says of these events: the number of bytes that it allows when they break it. */
function brokenLimit(context: AppendContext, events: readonly ProposedEvent[]): number | undefined {
  const { maxAppendBytes, maxEventBytes } = context;
  if (maxEventBytes !== undefined) {
    return events.some((event) => appendedBytes(event) > maxEventBytes) ? maxEventBytes : undefined;
  }
  const total = events.reduce((bytes, event) => bytes + appendedBytes(event), 0);
  return total > maxAppendBytes ? maxAppendBytes : undefined;
}

function record(
  { storage, stats }: AppendContext,
  stream: string,
  expected: ExpectedRevision,
  events: readonly ProposedEvent[],
): AppendOutcome {
  const before = storage.log.length;
  const outcome = storage.append(stream, expected, events);
  if (storage.log.length > before) stats.events += events.length;
  return outcome;
}

/** Streams.Append: a stream of messages in, one message or error out. */
export function append(
  context: AppendContext,
  call: ServerReadableStream<AppendPart, AppendAnswer>,
  callback: sendUnaryData<AppendAnswer>,
): void {
  const { faults, stats, storage } = context;
  let options: WriteOptions | undefined;
  const events: ProposedEvent[] = [];
  call.on('data', (part: AppendPart) => {
    options ??= part.options;
    if (part.event) events.push(part.event);
  });
  call.on('end', () => {
    stats.appends += 1;
    const refusal = faults.takeRefusal('append');
    if (refusal && refusal.kind !== 'wrong-expected-version') return callback(refusalError(refusal));
    after(faults.delayMs, () => {
      // The client has given up meanwhile.
      if (call.cancelled) return;
      const stream = options?.stream;
      if (options === undefined || stream === undefined) {
        return callback(invalidArgument('Required field StreamIdentifier not set.'));
      }
      const { expected } = options;
      const faulty = events.find(({ type, contentType }) => type === '' || contentType === '');
      if (faulty) return callback(missingMetadata(faulty.type === '' ? 'type' : 'content-type'));
      if (!events.every(({ id }) => isUuid(id))) return callback(invalidArgument('An event id is no UUID.'));
      const limit = brokenLimit(context, events);
      if (limit !== undefined) return callback(appendTooLarge(limit));
      if (refusal) {
        const outcome = { kind: refusal.kind, current: currentRevision(storage, stream) };
        return callback(null, { expected, outcome });
      }
      const outcome = record(context, stream, expected, events);
      const dropped = faults.takeDroppedResponse();
      if (dropped === 'hang') return;
      if (dropped === 'unavailable') return callback(connectionLost());
      after(faults.delayResponseMs, () => {
        if (outcome.kind === 'stream-deleted') callback(streamDeleted(stream));
        else callback(null, { expected, outcome });
      });
    });
  });
}

/** Streams.BatchAppend: appends of many streams in, an answer each out, told apart by their correlation ids. */
export class BatchAppendCall {
  readonly #context: AppendContext;
  readonly #call: ServerDuplexStream<BatchChunk, BatchAnswer>;
  readonly #pending = new Map<string, Batch>();
  #inFlight = 0;
  #ended = false;
  #broken = false;

  constructor(context: AppendContext, call: ServerDuplexStream<BatchChunk, BatchAnswer>) {
    this.#context = context;
    this.#call = call;
    call.on('data', (chunk: BatchChunk) => this.#receive(chunk));
    call.on('cancelled', () => this.#close());
    call.on('error', () => this.#close());
    call.on('end', () => {
      this.#ended = true;
      this.#endIfDone();
    });
  }

  #receive(chunk: BatchChunk): void {
    if (this.#broken) return;
    const { correlationId } = chunk;
    if (chunk.options && !this.#pending.has(correlationId)) this.#begin(correlationId, chunk.options);
    const batch = this.#pending.get(correlationId);
    // As on the real server, chunks of an append that has been answered already are passed over.
    if (batch === undefined) return;
    const invalid = chunk.events.find((event) => badEvent(event) !== undefined);
    if (invalid) return this.#refuse(batch, { kind: 'bad-request', message: badEvent(invalid) ?? '' });
    for (const event of chunk.events) batch.events.push(event);
    const limit = brokenLimit(this.#context, batch.events);
    if (limit !== undefined) return this.#refuse(batch, { kind: 'too-large', maxBytes: limit });
    if (chunk.isFinal) {
      this.#finish(batch);
      this.#commit(batch);
    } else {
      batch.timer ??= setTimeout(() => this.#refuse(batch, { kind: 'timeout' }), batch.timeoutMs);
    }
  }

  #begin(correlationId: string, options: WriteOptions): void {
    const batch: Batch = {
      correlationId,
      stream: options.stream ?? '',
      expected: options.expected,
      timeoutMs: Math.min(options.timeoutMs, WRITE_TIMEOUT_MS),
      events: [],
      timer: undefined,
    };
    if (options.stream === undefined) {
      this.#answer(batch, { kind: 'bad-request', message: 'Required field StreamIdentifier not set.' });
    } else if (batch.timeoutMs <= 0) {
      this.#answer(batch, { kind: 'timeout' });
    } else {
      this.#pending.set(correlationId, batch);
    }
  }

  #finish(batch: Batch): void {
    clearTimeout(batch.timer);
    this.#pending.delete(batch.correlationId);
  }

  #refuse(batch: Batch, outcome: BatchOutcome): void {
    this.#finish(batch);
    this.#answer(batch, outcome);
  }

  #commit(batch: Batch): void {
    const { stats, faults, storage } = this.#context;
    stats.appends += 1;
    stats.batchAppends += 1;
    this.#inFlight += 1;
    stats.maxBatchAppendsInFlight = Math.max(stats.maxBatchAppendsInFlight, this.#inFlight);
    const refusal = faults.takeRefusal('append');
    if (refusal?.kind === 'not-ready') return this.#settle(batch, refusal);
    if (refusal?.kind === 'wrong-expected-version') {
      return this.#settle(batch, { ...refusal, current: currentRevision(storage, batch.stream) });
    }
    if (refusal) return this.#break(refusalError(refusal));
    if (faults.delayMs >= batch.timeoutMs) {
      return after(batch.timeoutMs, () => this.#settle(batch, { kind: 'timeout' }));
    }
    const { delayMs } = faults;
    after(delayMs, () => this.#record(batch, batch.timeoutMs - delayMs));
  }

  #record(batch: Batch, remainingMs: number): void {
    const { faults } = this.#context;
    // An append that has been received takes place even if the client has gone away since.
    const outcome = record(this.#context, batch.stream, batch.expected, batch.events);
    const dropped = faults.takeDroppedResponse();
    if (dropped === 'hang') return;
    if (dropped === 'unavailable') return this.#break(connectionLost());
    const tooLate = faults.delayResponseMs >= remainingMs;
    after(Math.min(faults.delayResponseMs, remainingMs), () =>
      this.#settle(batch, tooLate ? { kind: 'timeout' } : outcome),
    );
  }

  #settle(batch: Batch, outcome: BatchOutcome): void {
    this.#inFlight -= 1;
    this.#answer(batch, outcome);
    this.#endIfDone();
  }

  #answer({ correlationId, stream, expected }: Batch, outcome: BatchOutcome): void {
    if (!this.#broken) this.#call.write({ correlationId, stream, expected, outcome });
  }

  #endIfDone(): void {
    if (this.#ended && this.#inFlight === 0 && !this.#broken) {
      this.#close();
      this.#call.end();
    }
  }

  #break(error: Error): void {
    if (this.#broken) return;
    this.#close();
    this.#call.emit('error', error);
  }

  #close(): void {
    this.#broken = true;
    for (const { timer } of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
  }
}

function badEvent({ id, type, contentType }: ProposedEvent): string | undefined {
  if (type === '' || contentType === '') return 'The given key was not present in the dictionary.';
  return isUuid(id) ? undefined : 'An event id is no UUID.';
}
