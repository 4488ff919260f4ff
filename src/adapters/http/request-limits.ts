import { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { type InFlight } from '../../application/access/in-flight.js';
import { networkOf } from '../../application/access/network.js';
import { Places } from '../../application/access/places.js';
import { type Rates } from '../../application/access/rates.js';
import { nameOf } from '../../application/access/rules.js';
import { type Limit, type LimitObserver } from '../../application/ports/limit-observer.js';
import { type Refusal } from '../../replica/commands.js';
import { callerOf, isOpen } from './gate.js';
import { onClose } from './replies.js';
import { isShort, refuse } from './refuse.js';
import { shadowErrorHeaders } from './shadow-errors.js';

/** The most header lines of a request. Node itself would pass over those beyond. */
export const MAX_HEADER_COUNT = 100;

const TOO_MANY_HEADERS: Refusal = { code: 431, message: `More than ${MAX_HEADER_COUNT} headers` };
const TOO_FAST: Refusal = {
  code: 429,
  message: 'Too many requests of this caller (MAX_REQUESTS_PER_SECOND_COUNT)',
};
const TOO_MANY: Refusal = {
  code: 429,
  message: 'Too many requests of this caller at once (MAX_REQUESTS_IN_FLIGHT_COUNT, MAX_IN_FLIGHT_BYTES)',
};
const OVERLOADED: Refusal = { code: 503, message: 'Too many requests at once (MAX_IN_FLIGHT_BYTES)' };

const LEAVE = Symbol('leave');
type Entered = IncomingMessage & { [LEAVE]?: () => void };

export interface RequestLimitsOptions {
  /** How many requests a second each caller may make; null: without bounds. */
  readonly rates: Rates | null;
  readonly inFlight: InFlight;
  /** The most requests of one caller that wait for their answers. */
  readonly maxCallerCount: number;
  /** The most that those of one caller may take of what all may take. */
  readonly maxCallerBytes: number;
  readonly maxRequestBytes: number;
  readonly observer: LimitObserver;
}

/**
 * Bounds what each caller, and all together, may ask for. What is too much is refused before its body is read; what
 * tells a supervisor that the service is there is never too much.
 */
export class RequestLimits {
  private readonly counts: Places;
  private readonly bytes: Places;

  constructor(private readonly options: RequestLimitsOptions) {
    this.counts = new Places(options.maxCallerCount);
    this.bytes = new Places(options.maxCallerBytes);
  }

  /** For requests of whomever: none with more headers than are looked at. */
  first(next: RequestListener): RequestListener {
    return (request, response) => {
      if (request.rawHeaders.length <= 2 * MAX_HEADER_COUNT) next(request, response);
      else this.refuse(request, response, 'size', TOO_MANY_HEADERS);
    };
  }

  /** For requests of who may make some: no more a second than there may be. */
  pace(next: RequestListener): RequestListener {
    const { rates } = this.options;
    if (rates === null) return next;
    return (request, response) => {
      const waitMs = isOpen(request) ? 0 : rates.take(whoAsks(request));
      if (waitMs === 0) next(request, response);
      else this.refuse(request, response, 'rate', TOO_FAST, Math.ceil(waitMs / 1000));
    };
  }

  /** For requests that take a while: no more at once than there may be. */
  hold(next: RequestListener): RequestListener {
    const { inFlight, maxRequestBytes } = this.options;
    return (request, response) => {
      if (isOpen(request)) return next(request, response);
      const who = whoAsks(request);
      const bytes = bodyBytesOf(request, maxRequestBytes);
      if (!this.counts.take(who)) return this.refuse(request, response, 'in-flight', TOO_MANY, 1);
      const hasShare = this.bytes.take(who, bytes);
      if (!hasShare || !inFlight.take(bytes)) {
        this.counts.give(who);
        if (!hasShare) return this.refuse(request, response, 'in-flight', TOO_MANY, 1);
        this.bytes.give(who, bytes);
        return this.refuse(request, response, 'overload', OVERLOADED, 1);
      }
      let isIn = true;
      const leave = (): void => {
        if (!isIn) return;
        isIn = false;
        this.counts.give(who);
        this.bytes.give(who, bytes);
        inFlight.give(bytes);
      };
      (request as Entered)[LEAVE] = leave;
      onClose(response, () => {
        leave();
        // It has its answer, and would go on sending what nobody wants.
        if (!request.complete && !isShort(request, maxRequestBytes)) request.socket.destroySoon();
      });
      next(request, response);
    };
  }

  private refuse(
    request: IncomingMessage,
    response: ServerResponse,
    limit: Limit,
    refusal: Refusal,
    retryAfterSeconds?: number,
  ): void {
    this.options.observer.limited('http', limit, whoAsks(request));
    const headers = {
      ...shadowErrorHeaders(request.url, refusal.code),
      ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    };
    refuse(request, response, refusal, headers, this.options.maxRequestBytes);
  }
}

/** Counts the request no longer among those that wait for their answers: its answer goes on for as long as it likes. */
export function leaveFlight(request: IncomingMessage): void {
  (request as Entered)[LEAVE]?.();
}

/** By what callers are told apart: who they are, or, where nobody asks, the address that they come from. */
export function whoAsks(request: IncomingMessage): string {
  const caller = callerOf(request);
  return caller === undefined ? networkOf(request.socket.remoteAddress ?? '') : nameOf(caller);
}

/** What of the body may have to be kept. One that says that it is too large is not read. */
function bodyBytesOf({ headers }: IncomingMessage, maxBytes: number): number {
  if (headers['transfer-encoding'] !== undefined) return maxBytes;
  const length = Number(headers['content-length'] ?? 0);
  return length <= maxBytes ? length : 0;
}
