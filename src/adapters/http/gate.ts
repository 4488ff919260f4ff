import { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { type Ask, KnownCaller } from '../../application/access/known-caller.js';
import { type Caller } from '../../application/access/rules.js';
import { type Authentication, type Authenticator, UNKNOWN } from '../../application/ports/authenticator.js';
import { type Refusal } from '../../replica/commands.js';
import { refuse } from './refuse.js';

const UNAUTHENTICATED: Refusal = {
  code: 401,
  message: 'Not authenticated: send an API key or a token as Authorization: Bearer …, or as x-api-key',
};
const UNAVAILABLE: Refusal = {
  code: 503,
  message: 'Tokens cannot be checked now: the issuer does not answer',
};

const KNOWN = Symbol('known');
const STRANGER = Symbol('stranger');

type Asked = IncomingMessage & { [KNOWN]?: KnownCaller; [STRANGER]?: true };

/** Who asks; undefined: nobody was asked, since authentication is off, or for a route that is open to everybody. */
export function callerOf(request: IncomingMessage): Caller | undefined {
  return knownOf(request)?.caller;
}

/** As {@link callerOf}, for answers that take long: while it is written, the caller's credentials may end. */
export function knownOf(request: IncomingMessage): KnownCaller | undefined {
  return (request as Asked)[KNOWN];
}

/** Whether the gate let somebody in whom it does not know, to a route that is open to everybody. */
export function isStranger(request: IncomingMessage): boolean {
  return (request as Asked)[STRANGER] === true;
}

export interface GateOptions {
  /** The most of a refused request's body that is read, and thrown away, so that its connection can be used again. */
  readonly maxDiscardedBytes: number;
  readonly onRefused: (code: 401 | 503) => void;
}

/**
 * Lets a request on where it is known who asks, and answers all others with one and the same 401: before it is looked
 * at what they ask for, and before their bodies are read.
 */
export class Gate {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly options: GateOptions,
  ) {}

  guard(next: RequestListener): RequestListener {
    return (request, response) => {
      const credential = credentialOf(request);
      const ask: Ask = () =>
        credential === undefined ? UNKNOWN : this.authenticator.authenticate(credential);
      const settle = (answer: Authentication): void => this.settle(answer, ask, request, response, next);
      const answer = ask();
      if (answer instanceof Promise) void answer.then(settle);
      else settle(answer);
    };
  }

  private settle(
    answer: Authentication,
    ask: Ask,
    request: IncomingMessage,
    response: ServerResponse,
    next: RequestListener,
  ): void {
    const asked = request as Asked;
    if (!answer.ok) {
      if (!isOpen(request)) return this.refuse(request, response, ...refusalOf(answer));
      asked[STRANGER] = true;
      return next(request, response);
    }
    asked[KNOWN] = new KnownCaller(answer.caller, ask);
    next(request, response);
  }

  private refuse(
    request: IncomingMessage,
    response: ServerResponse,
    refusal: Refusal,
    headers: Readonly<Record<string, string>>,
  ): void {
    this.options.onRefused(refusal.code as 401 | 503);
    refuse(request, response, refusal, headers, this.options.maxDiscardedBytes);
  }
}

function refusalOf({
  reason,
}: Exclude<Authentication, { ok: true }>): [Refusal, Readonly<Record<string, string>>] {
  return reason === 'unknown'
    ? [UNAUTHENTICATED, { 'www-authenticate': 'Bearer' }]
    : [UNAVAILABLE, { 'retry-after': '1' }];
}

/** What tells a supervisor that the service is there, and no more than that. */
export function isOpen({ method, url = '' }: IncomingMessage): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false;
  const path = url.split('?', 1)[0];
  return path === '/health/live' || path === '/health/ready';
}

const BEARER = /^Bearer +(\S+) *$/i;

/** The key or token that was sent; undefined: none, or something else. */
function credentialOf({ headers }: IncomingMessage): string | undefined {
  const key = headers['x-api-key'];
  if (key !== undefined) return typeof key === 'string' ? key : undefined;
  return headers.authorization === undefined ? undefined : BEARER.exec(headers.authorization)?.[1];
}
