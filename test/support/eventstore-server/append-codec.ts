import type { AppendOutcome, ExpectedRevision, ProposedEvent } from './model.js';
import { BackwardsWriter, FieldReader } from './protobuf.js';
import { readUuid, writeUuid } from './uuid.js';

/** The first part of a message that writes to a stream. */
export interface WriteOptions {
  /** Undefined when the client has not named one. */
  readonly stream: string | undefined;
  readonly expected: ExpectedRevision;
  /** Milliseconds from the arrival of the message; only batch appends have one. */
  readonly timeoutMs: number;
}

/** One message of an append: the options come first, then one event each. */
export interface AppendPart {
  readonly options?: WriteOptions;
  readonly event?: ProposedEvent;
}

export interface BatchChunk {
  readonly correlationId: string;
  readonly options: WriteOptions | undefined;
  readonly events: readonly ProposedEvent[];
  readonly isFinal: boolean;
}

/** What a single batch append may meet besides the outcomes of every append. */
export type BatchOutcome =
  | AppendOutcome
  | { readonly kind: 'timeout' }
  | { readonly kind: 'not-ready' }
  | { readonly kind: 'too-large'; readonly maxBytes: number }
  | { readonly kind: 'bad-request'; readonly message: string };

export interface BatchAnswer {
  readonly correlationId: string;
  readonly stream: string;
  readonly expected: ExpectedRevision;
  readonly outcome: BatchOutcome;
}

export interface AppendAnswer {
  readonly expected: ExpectedRevision;
  readonly outcome: Exclude<AppendOutcome, { kind: 'stream-deleted' }>;
}

export function decodeAppendPart(buffer: Buffer): AppendPart {
  const reader = new FieldReader(buffer);
  let part: AppendPart = {};
  while (reader.next()) {
    if (reader.field === 1) part = { options: readOptions(reader.message()) };
    else if (reader.field === 2) part = { event: readEvent(reader.message()) };
    else reader.skip();
  }
  return part;
}

/** Also of a tombstone's request. */
export function decodeDelete(buffer: Buffer): WriteOptions {
  return decodeAppendPart(buffer).options ?? NO_OPTIONS;
}

export function decodeBatchChunk(buffer: Buffer): BatchChunk {
  const reader = new FieldReader(buffer);
  let correlationId = '';
  let options: WriteOptions | undefined;
  let isFinal = false;
  const events: ProposedEvent[] = [];
  while (reader.next()) {
    if (reader.field === 1) correlationId = readUuid(reader.message());
    else if (reader.field === 2) options = readOptions(reader.message());
    else if (reader.field === 3) events.push(readEvent(reader.message()));
    else if (reader.field === 4) isFinal = reader.varint() !== 0;
    else reader.skip();
  }
  return { correlationId, options, events, isFinal };
}

const NO_OPTIONS: WriteOptions = { stream: undefined, expected: 'any', timeoutMs: Infinity };

function readOptions(reader: FieldReader): WriteOptions {
  let { stream, expected, timeoutMs } = NO_OPTIONS;
  while (reader.next()) {
    if (reader.field === 1) stream = readStreamName(reader.message());
    else if (reader.field === 2) expected = reader.bigVarint();
    else if (reader.field === 6) timeoutMs = readMilliseconds(reader.message()) - Date.now();
    else if (reader.field === 7) timeoutMs = readMilliseconds(reader.message());
    else {
      if (reader.field === 3) expected = 'no_stream';
      if (reader.field === 4) expected = 'any';
      if (reader.field === 5) expected = 'stream_exists';
      reader.skip();
    }
  }
  return { stream, expected, timeoutMs };
}

export function readStreamName(reader: FieldReader): string {
  let name = '';
  while (reader.next()) {
    if (reader.field === 3) name = reader.string();
    else reader.skip();
  }
  return name;
}

/** A timestamp or a duration: seconds and nanoseconds. */
function readMilliseconds(reader: FieldReader): number {
  let milliseconds = 0;
  while (reader.next()) {
    if (reader.field === 1) milliseconds += Number(BigInt.asIntN(64, reader.bigVarint())) * 1_000;
    else if (reader.field === 2) milliseconds += Number(BigInt.asIntN(64, reader.bigVarint())) / 1e6;
    else reader.skip();
  }
  return milliseconds;
}

const NO_BYTES = Buffer.alloc(0);

function readEvent(reader: FieldReader): ProposedEvent {
  let id = '';
  let type = '';
  let contentType = '';
  let data: Buffer = NO_BYTES;
  let metadata: Buffer = NO_BYTES;
  while (reader.next()) {
    if (reader.field === 1) id = readUuid(reader.message()).toLowerCase();
    else if (reader.field === 2) {
      const [key, value] = readEntry(reader.message());
      if (key === 'type') type = value;
      else if (key === 'content-type') contentType = value;
    } else if (reader.field === 3) metadata = reader.bytes();
    else if (reader.field === 4) data = reader.bytes();
    else reader.skip();
  }
  return { id, type, contentType, data, metadata };
}

function readEntry(reader: FieldReader): [string, string] {
  let key = '';
  let value = '';
  while (reader.next()) {
    if (reader.field === 1) key = reader.string();
    else if (reader.field === 2) value = reader.string();
    else reader.skip();
  }
  return [key, value];
}

// One writer serves all: a message is written in one go.
const writer = new BackwardsWriter();

export function encodeBatchAnswer({ correlationId, stream, expected, outcome }: BatchAnswer): Buffer {
  if (typeof expected === 'bigint') writer.bigVarint(5, expected);
  else writeEmpty(expected === 'no_stream' ? 6 : expected === 'any' ? 7 : 8);
  writeStreamName(4, stream);
  if (outcome.kind === 'success') writeSuccess(3, outcome);
  else writeStatus(2, outcome, stream, expected);
  writeUuid(writer, 1, correlationId, false);
  return writer.take();
}

export function encodeAppendAnswer({ expected, outcome }: AppendAnswer): Buffer {
  if (outcome.kind === 'success') {
    writeSuccess(1, outcome);
    return writer.take();
  }
  const end = writer.mark();
  if (typeof expected === 'bigint') writer.bigVarint(8, expected);
  else writeEmpty(expected === 'no_stream' ? 11 : expected === 'any' ? 9 : 10);
  if (outcome.current < 0) writeEmpty(7);
  else writer.varint(6, outcome.current);
  // The same again as clients of version 20.6.0 look for it; they know of no expected absence.
  if (typeof expected === 'bigint') writer.bigVarint(3, expected);
  else if (expected !== 'no_stream') writeEmpty(expected === 'any' ? 4 : 5);
  if (outcome.current < 0) writeEmpty(2);
  else writer.varint(1, outcome.current);
  writer.close(2, end);
  return writer.take();
}

/** Also of a tombstone's response. */
export function encodeDeleteAnswer(position: number): Buffer {
  writePosition(1, position);
  return writer.take();
}

function writeSuccess(field: number, { revision, position }: AppendOutcome & { kind: 'success' }): void {
  const end = writer.mark();
  if (position === undefined) writeEmpty(4);
  else writePosition(3, position);
  if (revision < 0) writeEmpty(2);
  else writer.varint(1, revision);
  writer.close(field, end);
}

function writePosition(field: number, position: number): void {
  const end = writer.mark();
  writer.varint(2, position);
  writer.varint(1, position);
  writer.close(field, end);
}

function writeStreamName(field: number, stream: string): void {
  const end = writer.mark();
  writer.string(3, stream);
  writer.close(field, end);
}

function writeEmpty(field: number): void {
  writer.close(field, writer.mark());
}

type Failure = Exclude<BatchOutcome, { kind: 'success' }>;

/** Code, message and the type of the details of google.rpc.Status. */
const STATUS: Record<Failure['kind'], readonly [number, string, string]> = {
  'wrong-expected-version': [6, 'Wrong expected version.', 'event_store.client.WrongExpectedVersion'],
  'stream-deleted': [5, 'Stream is deleted.', 'event_store.client.StreamDeleted'],
  timeout: [4, 'Timeout', 'event_store.client.Timeout'],
  'too-large': [3, 'Maximum append size exceeded.', 'event_store.client.MaximumAppendSizeExceeded'],
  'bad-request': [3, 'Bad request.', 'event_store.client.BadRequest'],
  // The server sends no code here.
  'not-ready': [0, 'Server Is Not Ready', 'google.protobuf.Empty'],
};

function writeStatus(field: number, failure: Failure, stream: string, expected: ExpectedRevision): void {
  const [code, message, type] = STATUS[failure.kind];
  const end = writer.mark();
  writeDetails(failure, stream, expected);
  writer.close(2, end);
  writer.string(1, `type.googleapis.com/${type}`);
  writer.close(3, end);
  writer.string(2, message);
  writer.varint(1, code);
  writer.close(field, end);
}

function writeDetails(failure: Failure, stream: string, expected: ExpectedRevision): void {
  switch (failure.kind) {
    case 'wrong-expected-version':
      if (typeof expected === 'bigint') writer.bigVarint(3, expected);
      else writeEmpty(expected === 'any' ? 4 : expected === 'stream_exists' ? 5 : 6);
      if (failure.current < 0) writeEmpty(2);
      else writer.varint(1, failure.current);
      break;
    case 'stream-deleted':
      writeStreamName(1, stream);
      break;
    case 'too-large':
      writer.varint(1, failure.maxBytes);
      break;
    case 'bad-request':
      writer.string(1, failure.message);
      break;
    case 'timeout':
    case 'not-ready':
      break;
  }
}
