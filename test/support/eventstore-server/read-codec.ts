import { readStreamName } from './append-codec.js';
import type { RecordedEvent } from './model.js';
import { BackwardsWriter, FieldReader } from './protobuf.js';
import { writeUuid } from './uuid.js';

export type ReadFrom = 'start' | 'end' | number;

export interface ReadFilter {
  readonly on: 'stream' | 'type';
  readonly regex: string;
  readonly prefixes: readonly string[];
  /** How many events make a window; undefined for the server's own size. */
  readonly window: number | undefined;
  /** Windows between two checkpoints. */
  readonly checkpointInterval: number;
}

export interface ReadRequest {
  /** Undefined for $all. */
  readonly stream: string | undefined;
  /** A revision, or a position in $all. */
  readonly from: ReadFrom;
  readonly backwards: boolean;
  /** Undefined for a subscription. */
  readonly count: number | undefined;
  readonly filter: ReadFilter | undefined;
  readonly structuredIds: boolean;
}

export type ReadMessage =
  | { readonly kind: 'event'; readonly event: RecordedEvent; readonly structuredIds: boolean }
  | { readonly kind: 'confirmation'; readonly id: string }
  | { readonly kind: 'checkpoint'; readonly position: number }
  | { readonly kind: 'stream-not-found'; readonly stream: string }
  | { readonly kind: 'caught-up' };

const NO_REQUEST: ReadRequest = {
  stream: undefined,
  from: 'start',
  backwards: false,
  count: undefined,
  filter: undefined,
  structuredIds: false,
};

export function decodeRead(buffer: Buffer): ReadRequest {
  const reader = new FieldReader(buffer);
  let request = NO_REQUEST;
  while (reader.next()) {
    if (reader.field === 1) request = readOptions(reader.message());
    else reader.skip();
  }
  return request;
}

function readOptions(reader: FieldReader): ReadRequest {
  let { stream, from, backwards, count, filter, structuredIds } = NO_REQUEST;
  while (reader.next()) {
    if (reader.field === 1) ({ stream, from } = readStreamOptions(reader.message()));
    else if (reader.field === 2) from = readAllOptions(reader.message());
    else if (reader.field === 3) backwards = reader.varint() === 1;
    else if (reader.field === 5) count = reader.varint();
    else if (reader.field === 7) filter = readFilter(reader.message());
    else if (reader.field === 9) structuredIds = firstField(reader.message()) === 1;
    else reader.skip();
  }
  return { stream, from, backwards, count, filter, structuredIds };
}

function readStreamOptions(reader: FieldReader): { stream: string; from: ReadFrom } {
  let stream = '';
  let from: ReadFrom = 'start';
  while (reader.next()) {
    if (reader.field === 1) stream = readStreamName(reader.message());
    else if (reader.field === 2) from = reader.varint();
    else {
      if (reader.field === 4) from = 'end';
      reader.skip();
    }
  }
  return { stream, from };
}

function readAllOptions(reader: FieldReader): ReadFrom {
  let from: ReadFrom = 'start';
  while (reader.next()) {
    if (reader.field === 1) {
      const position = reader.message();
      from = 0;
      while (position.next()) {
        if (position.field === 1) from = position.varint();
        else position.skip();
      }
    } else {
      if (reader.field === 3) from = 'end';
      reader.skip();
    }
  }
  return from;
}

function readFilter(reader: FieldReader): ReadFilter {
  let on: ReadFilter['on'] = 'stream';
  let regex = '';
  const prefixes: string[] = [];
  let window: number | undefined;
  let checkpointInterval = 0;
  while (reader.next()) {
    if (reader.field === 1 || reader.field === 2) {
      on = reader.field === 1 ? 'stream' : 'type';
      const expression = reader.message();
      while (expression.next()) {
        if (expression.field === 1) regex = expression.string();
        else if (expression.field === 2) prefixes.push(expression.string());
        else expression.skip();
      }
    } else if (reader.field === 3) window = reader.varint();
    else if (reader.field === 5) checkpointInterval = reader.varint();
    else reader.skip();
  }
  return { on, regex, prefixes, window, checkpointInterval };
}

function firstField(reader: FieldReader): number {
  return reader.next() ? reader.field : 0;
}

// One writer serves all: a message is written in one go.
const writer = new BackwardsWriter();
const TICKS_PER_MILLISECOND = 10_000n;

export function encodeRead(message: ReadMessage): Buffer {
  const end = writer.mark();
  switch (message.kind) {
    case 'event':
      writer.varint(3, message.event.position);
      writeEvent(message.event, message.structuredIds);
      writer.close(1, end);
      break;
    case 'confirmation':
      writer.string(1, message.id);
      writer.close(2, end);
      break;
    case 'checkpoint':
      writer.varint(2, message.position);
      writer.varint(1, message.position);
      writer.close(3, end);
      break;
    case 'stream-not-found':
      writer.string(3, message.stream);
      writer.close(1, end);
      writer.close(4, end);
      break;
    case 'caught-up':
      writer.close(8, end);
      break;
  }
  return writer.take();
}

function writeEvent(event: RecordedEvent, structuredIds: boolean): void {
  const end = writer.mark();
  writer.bytes(8, event.data);
  writer.bytes(7, event.metadata);
  writeEntry('created', String(BigInt(event.created) * TICKS_PER_MILLISECOND));
  writeEntry('content-type', event.contentType);
  writeEntry('type', event.type);
  writer.varint(5, event.position);
  writer.varint(4, event.position);
  writer.varint(3, event.revision);
  const name = writer.mark();
  writer.string(3, event.stream);
  writer.close(2, name);
  writeUuid(writer, 1, event.id, structuredIds);
  writer.close(1, end);
}

function writeEntry(key: string, value: string): void {
  const end = writer.mark();
  writer.string(2, value);
  writer.string(1, key);
  writer.close(6, end);
}
