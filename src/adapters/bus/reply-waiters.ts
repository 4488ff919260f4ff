import { BusError, type Reply } from '../../application/ports/bus.js';
import { NEST_ERROR } from '../../application/reply-headers.js';
import { deferred, type Deferred } from '../../application/timing.js';

type HeaderValue = Buffer | string | readonly (Buffer | string)[] | null | undefined;

interface Waiter {
  readonly answer: Deferred<Reply>;
  readonly timer: NodeJS.Timeout;
}

/** Requests that wait for their replies, by correlation id. */
export class ReplyWaiters {
  private readonly waiters = new Map<string, Waiter>();

  /**
   * @param requestTimeoutMs after how long a request is given up with `reply-timeout`
   */
  constructor(private readonly requestTimeoutMs: number) {}

  get size(): number {
    return this.waiters.size;
  }

  wait(correlationId: string): Promise<Reply> {
    const answer = deferred<Reply>();
    const timer = setTimeout(() => {
      this.waiters.delete(correlationId);
      answer.reject(
        new BusError(
          'reply-timeout',
          `No reply within ${this.requestTimeoutMs} ms: the command may still take effect`,
        ),
      );
    }, this.requestTimeoutMs);
    this.waiters.set(correlationId, { answer, timer });
    return answer.promise;
  }

  /** Gives up one request whose command could not be sent. */
  fail(correlationId: string, error: BusError): void {
    this.take(correlationId)?.reject(error);
  }

  /** An answer arrived; one that nobody waits for (late, or another instance's) is ignored. */
  resolve(
    correlationId: string,
    value: Buffer | string | null,
    headers: Readonly<Record<string, HeaderValue>>,
  ): void {
    const answer = this.take(correlationId);
    if (answer === undefined) return;
    const error = headers[NEST_ERROR];
    const body = value ?? (isPlain(error) ? error : '');
    answer.resolve({
      accepted: error === undefined,
      value: typeof body === 'string' ? Buffer.from(body) : body,
    });
  }

  rejectAll(error: BusError): void {
    for (const correlationId of [...this.waiters.keys()]) this.fail(correlationId, error);
  }

  private take(correlationId: string): Deferred<Reply> | undefined {
    const waiter = this.waiters.get(correlationId);
    if (waiter === undefined) return undefined;
    this.waiters.delete(correlationId);
    clearTimeout(waiter.timer);
    return waiter.answer;
  }
}

function isPlain(value: HeaderValue): value is Buffer | string {
  return typeof value === 'string' || Buffer.isBuffer(value);
}
