import { sectionOf, type SectionName } from '../replica/events.js';
import { type JsonObject } from '../replica/json.js';
import { deviceOf } from '../replica/stored.js';
import { type RecordedEvent } from './ports/event-store.js';
import { decode } from './replicas.js';

/** One event as analysts get it, in every format. What there is not is null. Times: milliseconds since the epoch. */
export interface EventRow {
  readonly position: bigint;
  readonly deviceId: string;
  readonly version: number;
  readonly revision: number;
  readonly type: string;
  readonly section: SectionName | null;
  readonly state: JsonObject | null;
  readonly scope: 'all' | 'none' | null;
  readonly timestamp: number;
  readonly recordedAt: number;
  readonly sourceTimestamp: number;
  readonly clientToken: string | null;
  readonly messageId: string | null;
  readonly correlationId: string | null;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly commandId: string;
  readonly eventId: string;
}

export type ColumnKind = 'text' | 'integer' | 'time' | 'json';

/** The columns, in their order. Their names are promised to those who keep exports. */
export const EVENT_COLUMNS: readonly (readonly [name: keyof EventRow, kind: ColumnKind])[] = [
  ['position', 'integer'],
  ['deviceId', 'text'],
  ['version', 'integer'],
  ['revision', 'integer'],
  ['type', 'text'],
  ['section', 'text'],
  ['state', 'json'],
  ['scope', 'text'],
  ['timestamp', 'time'],
  ['recordedAt', 'time'],
  ['sourceTimestamp', 'time'],
  ['clientToken', 'text'],
  ['messageId', 'text'],
  ['correlationId', 'text'],
  ['topic', 'text'],
  ['partition', 'integer'],
  ['offset', 'integer'],
  ['commandId', 'text'],
  ['eventId', 'text'],
];

/** Null: the stream is no device's. Throws `EventStoreError` `corrupt` where the event cannot be read. */
export function eventRow(recorded: RecordedEvent): EventRow | null {
  const deviceId = deviceOf(recorded.stream);
  if (deviceId === null) return null;
  const { event, origin } = decode(recorded);
  const { topic, partition, offset, timestamp: sourceTimestamp } = origin.source;
  const isDelete = event.type === 'ReplicaDeleted';
  return {
    position: recorded.position,
    deviceId,
    version: event.version,
    revision: recorded.revision,
    type: event.type,
    section: isDelete ? null : sectionOf(event),
    state: isDelete ? null : event.state,
    scope: isDelete ? null : (event.scope ?? null),
    timestamp: event.timestamp,
    recordedAt: recorded.recordedAt,
    sourceTimestamp,
    clientToken: event.clientToken ?? null,
    messageId: origin.messageId ?? null,
    correlationId: origin.correlationId ?? null,
    topic,
    partition,
    offset,
    commandId: origin.commandId,
    eventId: recorded.id,
  };
}

/** One JSON object, without a line end. The position is a number that may be over 2^53. */
export function rowToJson(row: EventRow): string {
  const members = EVENT_COLUMNS.map(([name]) => {
    const value = row[name];
    return `"${name}":${typeof value === 'bigint' ? String(value) : JSON.stringify(value)}`;
  });
  return `{${members.join(',')}}`;
}

export const CSV_HEADER = EVENT_COLUMNS.map(([name]) => name).join(',');

/** One line of CSV (RFC 4180), without a line end; times in ISO 8601, null as an empty field. */
export function rowToCsv(row: EventRow): string {
  return EVENT_COLUMNS.map(([name, kind]) => csvField(textOf(row[name], kind))).join(',');
}

function textOf(value: EventRow[keyof EventRow], kind: ColumnKind): string | null {
  if (value === null) return null;
  if (kind === 'time') return new Date(Number(value)).toISOString();
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** Text that is empty stands in quotes, and null does not. */
export function csvField(text: string | null): string {
  if (text === null) return '';
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
