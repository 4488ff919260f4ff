import { type Command, type Refusal, refusals, type SectionTexts } from '../replica/commands.js';
import { type Origin } from '../replica/events.js';
import { isReplicaId, MAX_REPLICA_ID_BYTES, type Limits } from '../replica/limits.js';
import { commandIdOf, fingerprintOf } from './identity.js';
import { type CommandMessage, type Headers } from './ports/bus.js';
import { readEnvelopeOnly, readUpdate } from './read-command.js';

/** A message as far as it can be understood without its device's state. */
export type Incoming =
  | {
      readonly kind: 'command';
      readonly message: CommandMessage;
      readonly deviceId: string;
      readonly origin: Origin;
      /** The command, or why its bytes are refused. */
      readonly content: Command | MalformedCommand;
    }
  | { readonly kind: 'dead-letter'; readonly message: CommandMessage; readonly reason: string };

export interface MalformedCommand {
  readonly kind: 'malformed';
  readonly refusal: Refusal;
  readonly clientToken?: string;
}

/** The most bytes of a `message-id`. */
export const MAX_MESSAGE_ID_BYTES = 128;
/** A correlation id longer than this comes back on outputs, but is not stored. */
const MAX_STORED_HEADER_BYTES = 256;

/** Understands an update or delete message. Never throws. */
export function understand(message: CommandMessage, limits: Limits): Incoming {
  const deviceId = deviceIdOf(message.key);
  if (deviceId === null) return { kind: 'dead-letter', message, reason: keyReason(message) };

  const messageId = headerText(message.headers, 'message-id');
  const fingerprint = fingerprintOf(message.channel, message.value);
  const legalId = messageId !== undefined && isMessageId(messageId) ? messageId : undefined;
  const origin: Origin = {
    commandId: commandIdOf(deviceId, message.position, fingerprint, legalId),
    fingerprint,
    source: message.position,
    ...(legalId === undefined ? {} : { messageId: legalId }),
    ...storedHeader('correlationId', message.headers, 'correlation-id'),
    ...storedHeader('traceparent', message.headers, 'traceparent'),
  };
  if (messageId !== undefined && legalId === undefined) {
    const refusal = {
      code: 400,
      message: `Invalid message-id: 1 to ${MAX_MESSAGE_ID_BYTES} printable ASCII characters`,
    };
    return { kind: 'command', message, deviceId, origin, content: { kind: 'malformed', refusal } };
  }
  return { kind: 'command', message, deviceId, origin, content: readContent(message, origin, limits) };
}

function readContent(message: CommandMessage, origin: Origin, limits: Limits): Command | MalformedCommand {
  const condition = readCondition(message.headers);
  if (condition === null) {
    return {
      kind: 'malformed',
      refusal: { code: 400, message: 'Invalid If-Match: a version such as "17", or *' },
    };
  }
  if (message.channel === 'update') {
    const texts: SectionTexts = {};
    const reading = readUpdate(message.value ?? Buffer.alloc(0), limits, texts);
    if (!reading.ok) return malformed(reading);
    return withCondition({ kind: 'update', origin, ...reading.request, texts }, condition);
  }
  const reading = readEnvelopeOnly(message.value, limits);
  if (!reading.ok) return malformed(reading);
  return withCondition({ kind: 'delete', origin, ...reading.request }, condition);
}

function malformed(reading: { refusal: Refusal; clientToken?: string }): MalformedCommand {
  const { refusal, clientToken } = reading;
  return { kind: 'malformed', refusal, ...(clientToken === undefined ? {} : { clientToken }) };
}

/** The versions that `If-Match` asks for; undefined: it asks for nothing. */
type Condition = { readonly version: number } | { readonly mustExist: true } | undefined;

/** Null: not a legal condition. ETags of this service are versions. */
function readCondition(headers: Headers): Condition | null {
  const text = headerText(headers, 'if-match');
  if (text === undefined) return undefined;
  if (text === '*') return { mustExist: true };
  const version = /^(?:\d{1,16}|"\d{1,16}")$/.test(text) ? text.replaceAll('"', '') : undefined;
  return version === undefined ? null : { version: Number(version) };
}

/** A command that names two different versions can match neither: version −1 stands for that. */
function withCondition(command: Command, condition: Condition): Command {
  if (condition === undefined) return command;
  if ('mustExist' in condition) return { ...command, mustExist: true };
  const both = command.version !== undefined && command.version !== condition.version;
  return { ...command, version: both ? -1 : condition.version };
}

/** The replica that a key names; null: none, or an illegal one. */
export function deviceIdOf(key: Buffer | null): string | null {
  if (key === null || key.length === 0 || key.length > MAX_REPLICA_ID_BYTES) return null;
  const id = key.toString('latin1');
  return isReplicaId(id) ? id : null;
}

/** Why a message is a dead letter whose key names no replica. */
export function keyReason({ key, unreadable }: Pick<CommandMessage, 'key' | 'unreadable'>): string {
  if (unreadable !== undefined) return `Cannot be read: ${unreadable}`;
  return key === null || key.length === 0
    ? 'No key: the record key must be the deviceId'
    : refusals.illegalDeviceId.message;
}

function isMessageId(text: string): boolean {
  return text.length <= MAX_MESSAGE_ID_BYTES && /^[\x21-\x7e]+$/.test(text);
}

function storedHeader<N extends 'correlationId' | 'traceparent'>(
  name: N,
  headers: Headers,
  header: string,
): Partial<Record<N, string>> {
  const text = headerText(headers, header);
  if (text === undefined || text.length > MAX_STORED_HEADER_BYTES || !text.isWellFormed()) return {};
  return { [name]: text } as Partial<Record<N, string>>;
}

/** A header's first value as text; undefined where it was not sent. */
export function headerText(headers: Headers, name: string): string | undefined {
  const value = headerValue(headers, name);
  return value === undefined || typeof value === 'string' ? value : value.toString('utf8');
}

/** A header's first value as it was sent; a value that is null counts as not sent. */
export function headerValue(headers: Headers, name: string): Buffer | string | undefined {
  const value = headers[name];
  if (value === undefined || value === null || typeof value === 'string' || Buffer.isBuffer(value)) {
    return value ?? undefined;
  }
  return value.find((each) => each !== null) ?? undefined;
}
