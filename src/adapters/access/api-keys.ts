import { hash, randomBytes } from 'node:crypto';
import { readCaller } from '../../application/access/caller.js';
import { type Caller } from '../../application/access/rules.js';
import { messageOf } from '../../application/timing.js';
import { readText, WatchedFiles } from './watched-files.js';

const KEY_BYTES = 32;
/** So that a key is known as one wherever it turns up. */
const KEY_START = 'dsr_';
const HASH = /^[0-9a-f]{64}$/;
const MEMBERS = ['id', 'role', 'devices', 'sha256'];

/** 256 random bits: what can be guessed by no one needs no slow hash. */
export function newApiKey(): string {
  return KEY_START + randomBytes(KEY_BYTES).toString('base64url');
}

export function hashOf(key: string): string {
  return hash('sha256', key, 'hex');
}

/** The line of the file that lets the caller in with this key. */
export function lineOf(caller: Caller, key: string): string {
  const { id, role, devices } = caller;
  return JSON.stringify({ id, role, ...(devices.length === 0 ? {} : { devices }), sha256: hashOf(key) });
}

export type KeysByHash = ReadonlyMap<string, Caller>;

/**
 * One JSON object a line; empty lines, and those that begin with `#`, say nothing. Throws an error of one line that
 * names the line, and shows nothing of a key that stands there in place of its hash.
 */
export function parseApiKeys(text: string): KeysByHash {
  const keys = new Map<string, Caller>();
  // What was cut off to be written anew would lock everybody out.
  if (text.trim() === '') throw new Error('it is empty; a file without keys has at least a comment');
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const problem = add(keys, trimmed);
    if (problem !== null) throw new Error(`line ${index + 1}: ${problem}`);
  }
  return keys;
}

function add(keys: Map<string, Caller>, line: string): string | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'it is not JSON';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'it is not a JSON object';
  const strange = Object.keys(value).find((name) => !MEMBERS.includes(name));
  // Not by its name: it may be a key.
  if (strange !== undefined) return `it has a member that is none of ${MEMBERS.join(', ')}`;
  const { id, role, devices, sha256 } = value as Record<string, unknown>;
  if (typeof sha256 !== 'string' || !HASH.test(sha256)) {
    return 'sha256 must be 64 hexadecimal digits in lower case';
  }
  const caller = readCaller({ id, role, devices });
  if (typeof caller === 'string') return caller;
  if (keys.has(sha256)) return 'this sha256 stands there before';
  keys.set(sha256, caller);
  return null;
}

interface KeysLogger {
  info(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/**
 * The keys of a file, which is read again when it has changed. A new version that cannot be read is refused with a log
 * line, and the one before it stays.
 */
export class ApiKeys {
  private keys: KeysByHash;
  private readonly files: WatchedFiles;

  /** Throws an error of one line that says what is wrong with the file. */
  constructor(
    private readonly path: string,
    private readonly logger: KeysLogger,
  ) {
    this.files = new WatchedFiles([path], () => this.readAgain());
    this.keys = read(path);
    this.files.watch();
  }

  get count(): number {
    return this.keys.size;
  }

  /** By the hash alone, of which nobody can choose the beginning: how long that takes tells nothing of the keys. */
  callerOf(key: string): Caller | undefined {
    return this.keys.get(hashOf(key));
  }

  close(): void {
    this.files.close();
  }

  private readAgain(): void {
    try {
      this.keys = read(this.path);
      this.logger.info({ keys: this.keys.size }, 'API_KEYS_FILE was read again');
    } catch (error) {
      const reason = messageOf(error);
      this.logger.error({ reason }, 'API_KEYS_FILE has changed and cannot be used: the keys before stay');
    }
  }
}

function read(path: string): KeysByHash {
  const text = readText(path);
  try {
    return parseApiKeys(text);
  } catch (error) {
    throw new Error(`'${path}': ${messageOf(error)}`, { cause: error });
  }
}
