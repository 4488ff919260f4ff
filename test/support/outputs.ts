import { type Message } from '../../src/application/outputs.js';
import { type MemoryStorage } from '../../src/adapters/event-store/memory/memory-event-store.js';

/** A document that went out. */
export interface Document {
  readonly state?: unknown;
  readonly version?: number;
  readonly timestamp: number;
  readonly code?: number;
  readonly message?: string;
  readonly clientToken?: string;
}

export function documentOf({ value }: Message): Document {
  if (value === null) throw new Error('a tombstone has no document');
  return JSON.parse(value.toString()) as Document;
}

export function header({ headers }: Message, name: string): string | undefined {
  return headers[name]?.toString();
}

/** A message in one short line: `d1 update.accepted 3`, `d1 update.rejected 409`, `d1 update.documents null`. */
export function brief(message: Message): string {
  const { channel, key, value } = message;
  const name = channel === 'reply' ? `reply to ${message.topic}` : channel;
  if (value === null || channel === 'dead-letter') return `${key?.toString() ?? '-'} ${name}`;
  const document = documentOf(message) as Document & { current?: { version: number } };
  const number = document.version ?? document.code ?? document.current?.version;
  return `${key?.toString() ?? '-'} ${name} ${number}`;
}

export function briefs(messages: readonly Message[]): string[] {
  return messages.map(brief);
}

/** Answers alone: accepted and rejected. */
export function answers(messages: readonly Message[]): string[] {
  return briefs(messages.filter(({ channel }) => /accepted$|rejected$/.test(channel)));
}

/** A message as text, every byte of it, to be compared with another. */
export function exact(message: Message): string {
  const { channel, key, value, headers } = message;
  const place = channel === 'reply' ? `${message.topic}/${message.partition}` : '';
  const lines = Object.keys(headers)
    .sort()
    .map((name) => `${name}=${Buffer.from(headers[name] ?? '').toString('latin1')}`);
  return [channel, place, hex(key), hex(value), ...lines].join('\n');
}

function hex(part: string | Buffer | null): string {
  return part === null ? '-' : Buffer.from(part).toString('latin1');
}

/** All events as `device/revision type version`, in the log's order. */
export function recorded(storage: MemoryStorage): string[] {
  return storage.log.map(({ stream, revision, type, data }) => {
    const { version } = JSON.parse(data.toString()) as { version: number };
    return `${stream.replace('deviceState-', '')}/${revision} ${type} v${version}`;
  });
}

/** The ids of the commands that caused the recorded events, in the log's order. */
export function commandIds(storage: MemoryStorage): string[] {
  return storage.log.map(({ metadata }) => {
    const { $causationId } = JSON.parse(metadata.toString()) as { $causationId: string };
    return $causationId;
  });
}
