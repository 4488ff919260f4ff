import type { NewEvent, StreamAppend } from '../../../application/ports/event-store.js';

/**
 * The requests of the BatchAppend call, written straight as protobuf bytes: the client's generated classes cost some
 * three times as much, and its `appendToStream` would parse and write every event's JSON anew, so that what is stored
 * were not what was handed in. Held to the generated classes by a test.
 */

/** A message ends at about this size; servers refuse messages of more than 4 MiB. */
const MESSAGE_BYTES = 1024 * 1024;

const UUID_BYTES = 36;
/** A UUID message in its text form: field 2, 36 bytes. */
const UUID_MESSAGE_BYTES = 2 + UUID_BYTES;
const CONTENT_TYPE = mapEntry('content-type', 'application/json');
const TYPE_ENTRIES = new Map<string, Buffer>();
/** Types are few; this is only against a caller that makes them up. */
const MAX_TYPES = 1000;

function mapEntry(key: string, value: string): Buffer {
  const [keyBytes, valueBytes] = [Buffer.from(key), Buffer.from(value)];
  const body = Buffer.concat([prefixed(0x0a, keyBytes), prefixed(0x12, valueBytes)]);
  return prefixed(0x12, body);
}

function prefixed(tag: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(1 + varintBytes(bytes.length));
  head[0] = tag;
  writeVarint(head, 1, bytes.length);
  return Buffer.concat([head, bytes]);
}

function typeEntry(type: string): Buffer {
  let entry = TYPE_ENTRIES.get(type);
  if (entry === undefined) {
    entry = mapEntry('type', type);
    if (TYPE_ENTRIES.size < MAX_TYPES) TYPE_ENTRIES.set(type, entry);
  }
  return entry;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

function writeVarint(target: Buffer, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    target[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  target[at++] = rest;
  return at;
}

function eventBytes(event: NewEvent, type: Buffer): number {
  const { data, metadata } = event;
  return (
    2 +
    UUID_MESSAGE_BYTES +
    type.length +
    CONTENT_TYPE.length +
    (metadata.length === 0 ? 0 : 1 + varintBytes(metadata.length) + metadata.length) +
    (data.length === 0 ? 0 : 1 + varintBytes(data.length) + data.length)
  );
}

/** The options of a batch, without their tag and length. The deadline is a duration: no clock but the server's counts. */
function optionsOf({ stream, expectedRevision }: StreamAppend, deadlineMs: number): Buffer {
  const nameBytes = Buffer.byteLength(stream);
  const identifierBytes = 1 + varintBytes(nameBytes) + nameBytes;
  const seconds = Math.floor(deadlineMs / 1000);
  const nanos = Math.round((deadlineMs % 1000) * 1_000_000);
  const durationBytes =
    (seconds === 0 ? 0 : 1 + varintBytes(seconds)) + (nanos === 0 ? 0 : 1 + varintBytes(nanos));
  const revisionBytes = expectedRevision < 0 ? 2 : 1 + varintBytes(expectedRevision);
  const options = Buffer.allocUnsafe(
    1 + varintBytes(identifierBytes) + identifierBytes + revisionBytes + 2 + durationBytes,
  );
  options[0] = 0x0a;
  let at = writeVarint(options, 1, identifierBytes);
  options[at++] = 0x1a;
  at = writeVarint(options, at, nameBytes);
  at += options.write(stream, at);
  if (expectedRevision < 0) {
    options[at++] = 0x1a;
    options[at++] = 0;
  } else {
    options[at++] = 0x10;
    at = writeVarint(options, at, expectedRevision);
  }
  options[at++] = 0x3a;
  options[at++] = durationBytes;
  if (seconds > 0) {
    options[at++] = 0x08;
    at = writeVarint(options, at, seconds);
  }
  if (nanos > 0) {
    options[at++] = 0x10;
    writeVarint(options, at, nanos);
  }
  return options;
}

function writeEvent(target: Buffer, start: number, event: NewEvent, type: Buffer, bytes: number): number {
  let at = start;
  target[at++] = 0x1a;
  at = writeVarint(target, at, bytes);
  target[at++] = 0x0a;
  target[at++] = UUID_MESSAGE_BYTES;
  target[at++] = 0x12;
  target[at++] = UUID_BYTES;
  at += target.write(event.id, at, 'latin1');
  at += type.copy(target, at);
  at += CONTENT_TYPE.copy(target, at);
  at = writeBytes(target, at, 0x1a, event.metadata);
  return writeBytes(target, at, 0x22, event.data);
}

function writeBytes(target: Buffer, start: number, tag: number, bytes: Buffer): number {
  if (bytes.length === 0) return start;
  target[start] = tag;
  const at = writeVarint(target, start + 1, bytes.length);
  return at + bytes.copy(target, at);
}

/** The messages of one append: the options stand in the first one only, the last one is final. */
export function encodeBatch(correlationId: string, append: StreamAppend, deadlineMs: number): Buffer[] {
  const messages: Buffer[] = [];
  const { events } = append;
  let from = 0;
  while (from < events.length) {
    const options = from === 0 ? optionsOf(append, deadlineMs) : null;
    const sizes: number[] = [];
    const types: Buffer[] = [];
    let bytes = 2 + UUID_MESSAGE_BYTES + 2;
    if (options !== null) bytes += 1 + varintBytes(options.length) + options.length;
    let to = from;
    while (to < events.length) {
      const event = events[to] as NewEvent;
      const type = typeEntry(event.type);
      const size = eventBytes(event, type);
      if (to > from && bytes + size > MESSAGE_BYTES) break;
      bytes += 1 + varintBytes(size) + size;
      sizes.push(size);
      types.push(type);
      to++;
    }
    const isFinal = to === events.length;
    const message = Buffer.allocUnsafe(isFinal ? bytes : bytes - 2);
    message[0] = 0x0a;
    message[1] = UUID_MESSAGE_BYTES;
    message[2] = 0x12;
    message[3] = UUID_BYTES;
    let at = 4 + message.write(correlationId, 4, 'latin1');
    if (options !== null) {
      message[at++] = 0x12;
      at = writeVarint(message, at, options.length);
      at += options.copy(message, at);
    }
    for (let index = from; index < to; index++) {
      const [size = 0, type = CONTENT_TYPE] = [sizes[index - from], types[index - from]];
      at = writeEvent(message, at, events[index] as NewEvent, type, size);
    }
    if (isFinal) {
      message[at++] = 0x20;
      message[at] = 1;
    }
    messages.push(message);
    from = to;
  }
  return messages;
}
