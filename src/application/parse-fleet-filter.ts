/**
 * Reads and prints filters of fleet queries: see docs/fleet-queries.md for the grammar.
 *
 *     filter  := and { "or" and }
 *     and     := not { "and" not }
 *     not     := "not" not | "(" filter ")" | "exists" "(" operand ")" | operand test
 *     test    := op literal | "in" "(" literal { "," literal } ")"
 *     op      := "==" | "!=" | "<" | "<=" | ">" | ">="
 *     operand := ( "reported" | "desired" | "delta" ) { "." word | "[" string "]" } | field
 *     word    := one or more of A-Z a-z 0-9 _ $ -
 *     literal := JSON string | JSON number | "true" | "false"
 */
import {
  type CompareOp,
  FLEET_FIELDS,
  type FleetField,
  type FleetFilter,
  type Operand,
  type Scalar,
  type StatePath,
} from './fleet-filter.js';
import { answer, type Answer, parseTime, refuse } from './moments.js';

/** Of the text, as UTF-8. */
export const MAX_FILTER_BYTES = 4096;
/** Of parentheses and `not`. */
export const MAX_FILTER_DEPTH = 32;
/** Of tests, and of the values in lists. */
export const MAX_FILTER_TERMS = 200;
/** The deepest that a state may be nested. */
export const MAX_PATH_KEYS = 64;

const SECTIONS = ['reported', 'desired', 'delta'] as const;
const PLAIN_KEY = /^[A-Za-z0-9_$-]+$/;
const TIMES: ReadonlySet<FleetField> = new Set([
  'lastReported',
  'lastDesired',
  'since',
  'connectedSince',
  'disconnectedSince',
]);

/** Never throws: text that is no filter is refused with 400, naming the column (from 1, in characters). */
export function parseFleetFilter(text: string): Answer<FleetFilter> {
  if (Buffer.byteLength(text) > MAX_FILTER_BYTES) {
    return refuse(400, `Invalid filter: longer than ${MAX_FILTER_BYTES} bytes`);
  }
  return reading('filter', text, (reader) => reader.whole(() => reader.or()));
}

/** A place in a state alone, in the grammar of filters; refused as a filter is. */
export function parseStatePath(name: string, text: string): Answer<StatePath> {
  return reading(name, text, (reader) => reader.whole(() => reader.path()));
}

/** The texts between commas that are not in a string: what a list of places holds. */
export function splitList(text: string): string[] {
  return (text.match(/(?:"(?:[^"\\]|\\.)*"|[^,])+|(?<=,)(?=,)|^(?=,)|(?<=,)$|^$/gsu) ?? []).map((part) =>
    part.trim(),
  );
}

function reading<T>(name: string, text: string, read: (reader: Reader) => T): Answer<T> {
  try {
    return answer(read(new Reader(text)));
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    const column = [...text.slice(0, error.at)].length + 1;
    return refuse(400, `Invalid ${name} at column ${column}: ${error.message}`);
  }
}

class Stopped extends Error {
  constructor(
    readonly at: number,
    message: string,
  ) {
    super(message);
  }
}

interface Token {
  readonly kind: 'word' | 'number' | 'string' | 'symbol' | 'end';
  readonly text: string;
  readonly at: number;
}

const SPACE = /[ \t\r\n]*/y;
const TOKEN =
  /(?<string>"(?:[^"\\]|\\[^])*"?)|(?<number>-?[0-9][0-9A-Za-z.+-]*)|(?<word>[A-Za-z_$][A-Za-z0-9_$-]*)|(?<symbol>[=!<>]=|[<>().,[\]])/uy;
const KEY = /[A-Za-z0-9_$-]+/y;
const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[Ee][+-]?\d+)?$/;

const VALUE = 'a value: a JSON string, a number, true or false';
const TEST = 'a test: ==, !=, <, <=, >, >= or in (…)';
const OPERAND = `reported, desired or delta with a path, ${FLEET_FIELDS.join(', ')}, exists(…), not, or (`;

class Reader {
  private at = 0;
  private depth = 0;
  private terms = 0;

  constructor(private readonly text: string) {}

  whole<T>(read: () => T): T {
    const value = read();
    const rest = this.peek();
    return rest.kind === 'end' ? value : this.stop(rest, 'and, or, or the end');
  }

  or(): FleetFilter {
    return this.joined('or', () => this.joined('and', () => this.not()));
  }

  path(): StatePath {
    const token = this.next();
    const section = SECTIONS.find((name) => token.kind === 'word' && name === token.text);
    return section === undefined ? this.stop(token, 'reported, desired or delta') : this.pathIn(section);
  }

  private joined(kind: 'and' | 'or', term: () => FleetFilter): FleetFilter {
    const first = term();
    if (!this.takes(kind)) return first;
    const terms = [first];
    do terms.push(term());
    while (this.takes(kind));
    return { kind, terms };
  }

  private not(): FleetFilter {
    const token = this.next();
    if (isWord(token, 'not')) return { kind: 'not', term: this.nested(token, () => this.not()) };
    if (isSymbol(token, '(')) {
      const inner = this.nested(token, () => this.or());
      this.expect(')', 'and, or, or )');
      return inner;
    }
    this.count(token);
    if (isWord(token, 'exists')) {
      this.expect('(', '(');
      const operand = this.operand(this.next());
      this.expect(')', operand.kind === 'state' ? '., [ or )' : ')');
      return { kind: 'exists', operand };
    }
    return this.test(this.operand(token));
  }

  private test(operand: Operand): FleetFilter {
    const token = this.next();
    if (isWord(token, 'in')) {
      this.expect('(', '(');
      const values = [this.literal(operand)];
      for (;;) {
        const after = this.next();
        if (isSymbol(after, ')')) return { kind: 'in', operand, values };
        if (!isSymbol(after, ',')) this.stop(after, ', or )');
        this.count(after);
        values.push(this.literal(operand));
      }
    }
    const op = token.text;
    if (token.kind !== 'symbol' || !/^(?:[=!<>]=|[<>])$/.test(op)) this.stop(token, TEST);
    const at = this.peek();
    const value = this.literal(operand);
    if (op === '!=') return { kind: 'not', term: { kind: 'compare', operand, op: '==', value } };
    if (typeof value === 'boolean' && op !== '==') {
      throw new Stopped(at.at, 'true and false have no order: compare them by == or !=');
    }
    return { kind: 'compare', operand, op: op as CompareOp, value };
  }

  private operand(token: Token): Operand {
    const field = FLEET_FIELDS.find((name) => isWord(token, name));
    if (field !== undefined) return { kind: 'field', field };
    const section = SECTIONS.find((name) => isWord(token, name));
    return section === undefined ? this.stop(token, OPERAND) : { kind: 'state', path: this.pathIn(section) };
  }

  private pathIn(section: StatePath['section']): StatePath {
    const keys: string[] = [];
    for (;;) {
      const token = this.peek();
      if (isSymbol(token, '.')) {
        this.next();
        keys.push(this.key());
      } else if (isSymbol(token, '[')) {
        this.next();
        const key = this.next();
        keys.push(key.kind === 'string' ? stringOf(key) : this.stop(key, 'a key as a JSON string'));
        this.expect(']', ']');
      } else {
        return { section, keys };
      }
      if (keys.length > MAX_PATH_KEYS) throw new Stopped(token.at, `more than ${MAX_PATH_KEYS} keys`);
    }
  }

  /** After a dot every word is a key, also one that means something elsewhere, or looks like a number. */
  private key(): string {
    KEY.lastIndex = this.at;
    const key = KEY.exec(this.text)?.[0];
    if (key === undefined)
      return this.stop(this.next(), 'a key, such as battery, or without the dot ["a key"]');
    this.at += key.length;
    return key;
  }

  private literal(operand: Operand): Scalar {
    const token = this.next();
    const value = this.scalar(token);
    if (operand.kind === 'state') return value;
    if (typeof value === 'number') return value;
    if (!TIMES.has(operand.field)) return this.stop(token, `a number, as ${operand.field} is`);
    const time = typeof value === 'string' ? parseTime(value) : null;
    return time ?? this.stop(token, 'a time in ISO 8601 with its zone as a string, or in milliseconds');
  }

  private scalar(token: Token): Scalar {
    if (token.kind === 'string') return stringOf(token);
    if (isWord(token, 'true')) return true;
    if (isWord(token, 'false')) return false;
    return token.kind === 'number' ? numberOf(token) : this.stop(token, VALUE);
  }

  private nested<T>(token: Token, read: () => T): T {
    if (++this.depth > MAX_FILTER_DEPTH) {
      throw new Stopped(token.at, `nested more than ${MAX_FILTER_DEPTH} levels deep`);
    }
    const value = read();
    this.depth--;
    return value;
  }

  private count(token: Token): void {
    if (++this.terms > MAX_FILTER_TERMS) {
      throw new Stopped(token.at, `more than ${MAX_FILTER_TERMS} tests and values`);
    }
  }

  private takes(word: string): boolean {
    if (!isWord(this.peek(), word)) return false;
    this.next();
    return true;
  }

  private expect(symbol: string, expected: string): void {
    const token = this.next();
    if (!isSymbol(token, symbol)) this.stop(token, expected);
  }

  private peek(): Token {
    const { at } = this;
    const token = this.next();
    this.at = at;
    return token;
  }

  private next(): Token {
    SPACE.lastIndex = this.at;
    const at = this.at + (SPACE.exec(this.text)?.[0].length ?? 0);
    if (at === this.text.length) return { kind: 'end', text: '', at };
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(this.text);
    // What is no token is one character that fits nowhere.
    const text = match?.[0] ?? String.fromCodePoint(this.text.codePointAt(at) ?? 0);
    this.at = at + text.length;
    const { string, number, word } = match?.groups ?? {};
    const kind =
      string !== undefined
        ? 'string'
        : number !== undefined
          ? 'number'
          : word !== undefined
            ? 'word'
            : 'symbol';
    return { kind, text, at };
  }

  private stop(found: Token, expected: string): never {
    const what = found.kind === 'end' ? 'the end' : shown(found.text);
    throw new Stopped(found.at, `expected ${expected}; found ${what}`);
  }
}

function isWord(token: Token, text: string): boolean {
  return token.kind === 'word' && token.text === text;
}

function isSymbol(token: Token, text: string): boolean {
  return token.kind === 'symbol' && token.text === text;
}

function stringOf({ text, at }: Token): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Stopped(at, `expected a JSON string, "…" with \\" for a quote in it; found ${shown(text)}`);
  }
  // A token that begins with a quote and is JSON is a string.
  if (!(value as string).isWellFormed()) throw new Stopped(at, 'a string holds a lone surrogate');
  return value as string;
}

function numberOf({ text, at }: Token): number {
  if (!JSON_NUMBER.test(text)) throw new Stopped(at, `expected a JSON number; found ${shown(text)}`);
  const value = Number(text);
  const isUnderflow = value === 0 && /[1-9]/.test(text.split(/e/i, 1)[0] ?? '');
  if (isUnderflow || Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    throw new Stopped(at, `the number ${shown(text)} cannot be held exactly, and is in no state`);
  }
  // No −0: the two are equal, and it prints as 0.
  return value + 0;
}

function shown(text: string): string {
  const characters = [...text];
  const short = characters.length > 40 ? `${characters.slice(0, 40).join('')}…` : text;
  return `'${short.toWellFormed().replace(/[\p{Cc}\u2028\u2029]/gu, '\uFFFD')}'`;
}

/** The text that {@link parseFleetFilter} makes the same filter of. */
export function printFleetFilter(filter: FleetFilter): string {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.terms.map(printTerm).join(` ${filter.kind} `);
    case 'not':
      return `not ${printTerm(filter.term)}`;
    case 'exists':
      return `exists(${printOperand(filter.operand)})`;
    case 'compare':
      return `${printOperand(filter.operand)} ${filter.op} ${JSON.stringify(filter.value)}`;
    case 'in':
      return `${printOperand(filter.operand)} in (${filter.values.map((value) => JSON.stringify(value)).join(', ')})`;
    default:
      return filter satisfies never;
  }
}

function printTerm(filter: FleetFilter): string {
  const text = printFleetFilter(filter);
  return filter.kind === 'and' || filter.kind === 'or' ? `(${text})` : text;
}

function printOperand(operand: Operand): string {
  return operand.kind === 'field' ? operand.field : printStatePath(operand.path);
}

export function printStatePath({ section, keys }: StatePath): string {
  return section + keys.map((key) => (PLAIN_KEY.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`)).join('');
}
