import { type Reading, type UpdateRequest } from '../../src/application/read-command.js';

/**
 * What must become of the bytes of an update, told by another reader: `JSON.parse` for what is JSON, and a slow recursive
 * one for what else is refused. Null: as it should be; else what is wrong.
 */
export function complaintAbout(bytes: Uint8Array, reading: Reading<UpdateRequest>): string | null {
  const allowed = refusalsOf(bytes);
  if (reading.ok) {
    if (allowed.size > 0) return `accepted, and must be refused: ${[...allowed].join(', ')}`;
    return sameRequest(bytes, reading.request) ? null : 'accepted as another request than was sent';
  }
  const { code, message } = reading.refusal;
  if (code === 413) return bytes.length > MAX_BYTES ? null : 'refused for a size that it does not have';
  if (![...allowed].some((start) => message.startsWith(start))) {
    return `refused with ${JSON.stringify(message)} in place of ${[...allowed].join(', ') || 'nothing'}`;
  }
  if (!message.isWellFormed() || message.includes('\0')) return 'a refusal that cannot be sent';
  return reading.clientToken?.isWellFormed() === false ? 'a token that cannot be sent' : null;
}

const MAX_BYTES = 128 * 1024;
const MAX_LEVELS = 8;
/** Before it is too deep for a recursive reader, too. */
const TOO_DEEP = new Error('too deep');
const FORBIDDEN = ['__proto__', 'constructor', 'prototype'];

function sameRequest(bytes: Uint8Array, request: UpdateRequest): boolean {
  const { state, version, clientToken } = JSON.parse(new TextDecoder().decode(bytes)) as Record<
    string,
    unknown
  >;
  const was = {
    state,
    ...(clientToken === undefined ? {} : { clientToken }),
    ...(version === undefined ? {} : { version }),
  };
  const now = { state: request.state, clientToken: request.clientToken, version: request.version };
  return JSON.stringify(sorted(was)) === JSON.stringify(sorted(now));
}

const sorted = ({ state, clientToken, version }: Record<string, unknown>): unknown[] => [
  state,
  clientToken,
  version,
];

/** The beginnings of the messages that are right; none: it must be accepted. */
function refusalsOf(bytes: Uint8Array): Set<string> {
  if (bytes.length > MAX_BYTES) return new Set(['The request is ']);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return new Set(['The request is not UTF-8']);
  }
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    // How deep it is, nobody can say of what is no JSON.
    return new Set(['Invalid JSON', 'JSON contains too many levels']);
  }
  const found = new Set<string>();
  try {
    new SlowReader(text, found).value(0, false);
  } catch (error) {
    if (error !== TOO_DEEP) throw error;
    return new Set(['JSON contains too many levels']);
  }
  if (typeof root !== 'object' || root === null || Array.isArray(root)) return new Set(['Invalid JSON']);
  return new Set([...found, ...envelopeOf(root as Record<string, unknown>)]);
}

function envelopeOf(root: Record<string, unknown>): string[] {
  const own = (name: string): unknown => (Object.hasOwn(root, name) ? root[name] : undefined);
  const wrong: string[] = [];
  const [state, version, token] = [own('state'), own('version'), own('clientToken')];
  if (token !== undefined && (typeof token !== 'string' || new TextEncoder().encode(token).length > 64))
    wrong.push('Invalid clientToken');
  if (version !== undefined && !(Number.isSafeInteger(version) && (version as number) >= 0))
    wrong.push('Invalid version');
  if (state === undefined) return [...wrong, 'Missing required node: state'];
  if (state === null) return wrong;
  if (typeof state !== 'object' || Array.isArray(state)) return [...wrong, 'State node must be an object'];
  for (const [name, section] of Object.entries(state)) {
    if (name !== 'reported' && name !== 'desired') wrong.push('State contains an invalid node');
    else if (section !== null && (typeof section !== 'object' || Array.isArray(section))) {
      wrong.push(name === 'reported' ? 'Reported node must be' : 'Desired node must be');
    }
  }
  return wrong;
}

/** Reads valid JSON character by character, and gathers what is not taken in it. */
class SlowReader {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly found: Set<string>,
  ) {}

  value(level: number, inArray: boolean): void {
    this.space();
    const first = this.text.charAt(this.at);
    if ('[{'.includes(first) && level >= MAX_LEVELS) throw TOO_DEEP;
    if (first === '{') this.object(level + 1, inArray);
    else if (first === '[') this.array(level + 1);
    else if (first === '"') this.string();
    else if (first === '-' || (first >= '0' && first <= '9')) this.number();
    else {
      if (first === 'n' && inArray) this.found.add('An array cannot hold null');
      this.at += first === 'f' ? 5 : 4;
    }
    this.space();
  }

  private object(level: number, inArray: boolean): void {
    const names = new Set<string>();
    this.at++;
    this.space();
    while (this.text.charAt(this.at) !== '}') {
      if (this.text.charAt(this.at) === ',') this.at++;
      this.space();
      const name = this.string();
      if (names.has(name)) this.found.add('Duplicate key');
      if (FORBIDDEN.includes(name)) this.found.add('Key is not allowed');
      names.add(name);
      this.space();
      this.at++;
      this.value(level, inArray);
    }
    this.at++;
  }

  private array(level: number): void {
    this.at++;
    this.space();
    while (this.text.charAt(this.at) !== ']') {
      if (this.text.charAt(this.at) === ',') this.at++;
      this.value(level, true);
    }
    this.at++;
  }

  private string(): string {
    const start = this.at++;
    while (this.text.charAt(this.at) !== '"') this.at += this.text.charAt(this.at) === '\\' ? 2 : 1;
    const value = JSON.parse(this.text.slice(start, ++this.at)) as string;
    if (value.includes('\0') || /\p{Surrogate}/u.test(value)) this.found.add('A string or key holds');
    return value;
  }

  private number(): void {
    const start = this.at;
    while (this.at < this.text.length && '+-.eE0123456789'.includes(this.text.charAt(this.at))) this.at++;
    const literal = this.text.slice(start, this.at);
    const value = Number(literal);
    const isZero = !/[1-9]/.test(literal.replace(/e.*/i, ''));
    if (Math.abs(value) > 2 ** 53 - 1 || (value === 0 && !isZero))
      this.found.add('A number cannot be held exactly');
  }

  private space(): void {
    while (this.at < this.text.length && ' \t\n\r'.includes(this.text.charAt(this.at))) this.at++;
  }
}
