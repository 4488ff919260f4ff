import { type JsonMap, type Json, type Request } from '../../unit/support/oracle.js';
import { type Random } from '../kernel/random.js';
import { type Oracle } from '../oracle/oracle.js';
import { type Command } from '../oracle/sent.js';
import { type Plan } from '../plan.js';

const KEYS = ['a', 'b', 'c', '0', 'é"'];
const SCALARS: readonly Json[] = [0, 1, -1.5, true, false, '', 'on', 'é€😀', 9007199254740991];

/** Bodies that no update may have, and the codes that they are refused with. */
const MALFORMED: readonly (readonly [body: string | Buffer, code: number])[] = [
  ['{', 400],
  ['', 400],
  ['[]', 400],
  ['{"reported":{}}', 400],
  ['{"state":1}', 400],
  ['{"state":{"reported":[]}}', 400],
  ['{"state":{"extra":{}}}', 400],
  ['{"state":{"desired":{"a":[1,null]}}}', 400],
  ['{"state":{"desired":{"a":1,"a":2}}}', 400],
  ['{"state":{"desired":{"__proto__":1}}}', 400],
  ['{"state":{"desired":{"a":9007199254740993}}}', 400],
  ['{"state":{"desired":{"a":{"b":{"c":{"d":{"e":{"f":{}}}}}}}}}', 400],
  ['{"state":{},"version":"1"}', 400],
  ['{"state":{},"clientToken":1}', 400],
  [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 415],
];

const ILLEGAL_KEYS = ['', '..', 'a/b', 'ä', 'a'.repeat(200)];

/** Draws commands: most of them ordinary, some of each kind that is not. */
export class CommandSource {
  private count = 0;
  /** Commands with a message id, to be sent again. */
  private readonly named: Command[] = [];
  readonly deviceIds: readonly string[];

  constructor(
    private readonly random: Random,
    private readonly plan: Plan,
    private readonly oracle: Oracle,
  ) {
    this.deviceIds = Array.from({ length: plan.deviceCount }, (_, index) =>
      index % 4 === 3 ? `d${index - 1}/name/config` : `d${index}`,
    );
  }

  next(isRest: boolean): Command {
    const { random, plan } = this;
    this.count++;
    const again = this.named.length > 0 && random.chance(0.06) ? random.pick(this.named) : undefined;
    if (again !== undefined)
      return random.chance(0.8) ? again : { ...again, ...this.update(again.key ?? 'd0', again.messageId) };
    if (!isRest && random.chance(0.01)) return this.deadLetter();
    const key = random.chance(0.4) ? (this.deviceIds[0] as string) : random.pick(this.deviceIds);
    if (plan.hasGets && random.chance(0.1)) return this.bare('get', key);
    if (plan.hasDeletes && random.chance(0.08)) return this.bare('delete', key);
    if (random.chance(0.06)) return this.malformed(key);
    const command = this.update(key, random.chance(0.15) ? `m-${this.count}` : undefined);
    if (command.messageId !== undefined) this.named.push(command);
    return command;
  }

  private deadLetter(): Command {
    const key = this.random.chance(0.3) ? null : this.random.pick(ILLEGAL_KEYS);
    return { ...this.malformed('d0'), key, verdict: 'dead-letter' };
  }

  private malformed(key: string): Command {
    const [body, code] = this.random.pick(MALFORMED);
    return {
      channel: 'update',
      key,
      value: Buffer.from(body as string),
      headers: {},
      verdict: code,
      request: { state: null },
      messageId: undefined,
      condition: undefined,
    };
  }

  private bare(channel: 'get' | 'delete', key: string): Command {
    const { random } = this;
    const clientToken = this.token();
    const isMalformed = random.chance(0.05);
    const version = channel === 'delete' ? this.version(key) : undefined;
    const request: Request = {
      state: null,
      ...(version === undefined ? {} : { version }),
      ...(clientToken === undefined ? {} : { clientToken }),
    };
    const { state: _, ...rest } = request;
    const isEmpty = Object.keys(rest).length === 0 && random.chance(0.5);
    return {
      channel,
      key,
      value: isMalformed ? Buffer.from('nonsense') : isEmpty ? null : Buffer.from(JSON.stringify(rest)),
      headers: {},
      verdict: isMalformed ? 400 : null,
      request: isMalformed || isEmpty ? { state: null } : request,
      messageId: undefined,
      condition: undefined,
    };
  }

  private update(key: string, messageId: string | undefined): Command {
    const { random } = this;
    const version = this.version(key);
    const clientToken = this.token();
    const request: Request = {
      state: this.state(),
      ...(version === undefined ? {} : { version }),
      ...(clientToken === undefined ? {} : { clientToken }),
    };
    const condition = random.chance(0.04) ? (random.chance(0.3) ? true : this.device(key)) : undefined;
    return {
      channel: 'update',
      key,
      value: Buffer.from(JSON.stringify(request)),
      headers: {
        ...(messageId === undefined ? {} : { 'message-id': messageId }),
        ...(condition === undefined ? {} : { 'if-match': condition === true ? '*' : `"${condition}"` }),
      },
      verdict: null,
      request,
      messageId,
      condition,
    };
  }

  private device(key: string): number {
    return this.oracle.device(key).shadow.version;
  }

  private version(key: string): number | undefined {
    const { random } = this;
    if (random.chance(0.75)) return undefined;
    return Math.max(0, this.device(key) + random.pick([0, 0, 0, 1, 1, 2, -1]));
  }

  private token(): string | undefined {
    return this.random.chance(0.7) ? `t${this.count}` : undefined;
  }

  private state(): Request['state'] {
    const { random } = this;
    if (random.chance(0.02)) return null;
    const state: { reported?: JsonMap | null; desired?: JsonMap | null } = {};
    if (random.chance(0.6)) state.reported = random.chance(0.04) ? null : this.patch(2);
    if (random.chance(0.6)) state.desired = random.chance(0.04) ? null : this.patch(2);
    const { maxAppendBytes } = this.plan;
    if (maxAppendBytes !== undefined && random.chance(0.05)) {
      state.reported = { ...state.reported, a: 'x'.repeat(maxAppendBytes) };
    }
    return state;
  }

  private patch(levels: number): JsonMap {
    const { random } = this;
    const map: JsonMap = {};
    for (let left = random.int(4); left > 0; left--) map[random.pick(KEYS)] = this.value(levels);
    return map;
  }

  private value(levels: number): Json {
    const { random } = this;
    const kind = random.int(10);
    if (kind < 2) return null;
    if (kind < 7 || levels === 0) return random.pick(SCALARS);
    return kind === 7 ? [random.pick(SCALARS), { a: 1 }] : this.patch(levels - 1);
  }
}
