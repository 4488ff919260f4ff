import { type Refusal } from '../replica/commands.js';

/** A moment in a device's past. */
export type Moment =
  /** After the update that made this version; a delete, which keeps the version, comes after it. */
  | { readonly kind: 'version'; readonly version: number }
  /** After the last event of this millisecond or an earlier one. */
  | { readonly kind: 'time'; readonly time: number };

/** What a question about the past is answered. An expected refusal is a value. */
export type Answer<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal };

export function answer<T>(value: T): Answer<T> {
  return { ok: true, value };
}

export function refuse(code: number, message: string): { readonly ok: false; readonly refusal: Refusal } {
  return { ok: false, refusal: { code, message } };
}

/** Where a number may be either: no device has so many versions, and as milliseconds this is March 1973. */
const FIRST_TIME = 100_000_000_000;
/** The last time that a `Date` can hold. */
const LAST_TIME = 8_640_000_000_000_000;

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)(?:[Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?([Zz]|[+\- ]\d\d:?\d\d))?$/;

/** Milliseconds since the epoch, of ISO 8601 (a date, or a time with its zone) or of such a number; null: neither. */
export function parseTime(text: string): number | null {
  if (/^\d{1,16}$/.test(text)) {
    const time = Number(text);
    return time <= LAST_TIME ? time : null;
  }
  const match = ISO.exec(text);
  if (match === null) return null;
  const [year, month, day, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map((part) => (part === undefined ? undefined : Number(part))) as [number, number, number];
  if (hour > 23 || minute > 59 || second > 59) return null;
  const date = new Date(0);
  // Not by Date.UTC, for which a year below 100 is one of the last century.
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  // A day that does not exist would be one of the next month.
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) {
    return null;
  }
  const milliseconds = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3));
  const offset = offsetMinutes(match[8]);
  return offset === null ? null : date.getTime() + milliseconds - offset * 60_000;
}

/** A plus that was not escaped in a URL arrives as a space. */
function offsetMinutes(zone: string | undefined): number | null {
  if (zone === undefined || zone.toUpperCase() === 'Z') return 0;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
  if (hours > 23 || minutes > 59) return null;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}

/** Null: not a whole number of zero or more. */
export function parseVersion(text: string): number | null {
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}

const TIME_SHAPE =
  'a time in ISO 8601 with its zone, such as 2026-05-01T12:00:00Z, or in milliseconds since the epoch';

/** A value that names a moment, as it was sent; absent: it was not. */
export interface Given {
  readonly version?: unknown;
  readonly at?: unknown;
}

/** The moment that `version` or `at` names; null: neither is given. Refuses both, and what is not one of them. */
export function readMoment({ version, at }: Given): Answer<Moment | null> {
  if (version !== undefined && at !== undefined) {
    return refuse(400, 'Give version or at, not both');
  }
  if (version !== undefined) {
    const number = typeof version === 'string' ? parseVersion(version) : null;
    if (number === null) return refuse(400, 'Invalid version: a whole number');
    return answer({ kind: 'version', version: number });
  }
  if (at === undefined) return answer(null);
  const time = readTime(at);
  return time === null ? refuse(400, `Invalid at: ${TIME_SHAPE}`) : answer({ kind: 'time', time });
}

/** A time as text or, in JSON, as a number; null: it is none. */
export function readTime(value: unknown): number | null {
  if (typeof value === 'string') return parseTime(value);
  return typeof value === 'number' ? parseTime(String(value)) : null;
}

/** The moment that a bound such as `from` names, a version or a time; null: it is not given. */
export function readBound(name: string, value: unknown): Answer<Moment | null> {
  if (value === undefined) return answer(null);
  const text = typeof value === 'string' ? value : '';
  const number = parseVersion(text);
  if (number !== null && number < FIRST_TIME) return answer({ kind: 'version', version: number });
  const time = parseTime(text);
  if (time === null) return refuse(400, `Invalid ${name}: a version, or ${TIME_SHAPE}`);
  return answer({ kind: 'time', time });
}

/** For messages: `at version 5`, `at 2026-05-01T12:00:00.000Z`. */
export function atMoment(moment: Moment): string {
  return moment.kind === 'version'
    ? `at version ${moment.version}`
    : `at ${new Date(moment.time).toISOString()}`;
}
