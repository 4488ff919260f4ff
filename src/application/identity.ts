import { hash } from 'node:crypto';
import { type CommandChannel, type SourcePosition } from './ports/bus.js';

/** The namespace of all ids that this service derives. Stored ids depend on it: it never changes. */
const NAMESPACE = Buffer.from('6f0d2c4e8a5b4f7e9c31b7d60e52a814', 'hex').toString('latin1');

/** UUIDv5 (RFC 9562, 5.5) of a name in this service's namespace. */
export function deriveId(name: string): string {
  const digest = hash('sha1', Buffer.from(NAMESPACE + name, 'latin1'), 'hex');
  const variant = ((parseInt(digest.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-5${digest.slice(13, 16)}-${variant}${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
}

/**
 * What is longer cannot be accepted under any settings, and what a batch unfolds to can be very long: of it the
 * beginning and the length are told apart.
 */
const MAX_HASHED_BYTES = 1024 * 1024;

/** Kind and 128-bit hash of a command's bytes. */
export function fingerprintOf(channel: CommandChannel, value: Buffer | null): string {
  if (value === null) return `${channel}:`;
  const digest = hash('sha256', value.subarray(0, MAX_HASHED_BYTES), 'base64url').slice(0, 22);
  return `${channel}:${digest}${value.length > MAX_HASHED_BYTES ? `+${value.length}` : ''}`;
}

/** One id for all sends of one command: by its message id where it has one, else by its place. */
export function commandIdOf(
  deviceId: string,
  position: SourcePosition,
  fingerprint: string,
  messageId: string | undefined,
): string {
  return messageId === undefined
    ? deriveId(
        `p/${position.topic}/${position.partition}/${position.offset}/${position.timestamp}/${fingerprint}`,
      )
    : deriveId(`m/${deviceId}/${fingerprint}/${messageId}`);
}

/**
 * The id of a command's event: derived, so that an append that is tried again is the same append. It covers all that
 * can differ between two decisions on the same command, so that an equal id means an equal event: another process that
 * decides the same command a moment later makes another event, and the store tells it that it came second.
 */
export function eventIdOf(commandId: string, version: number, timestamp: number, index: number): string {
  return deriveId(`e/${commandId}/${version}/${timestamp}/${index}`);
}
