import { createRequire } from 'node:module';
import { type Random } from '../kernel/random.js';
import { type Actor, type Scheduled, type Scheduler } from '../kernel/scheduler.js';
import { type Node } from './cluster.js';
import { type Reply } from './group.js';

const load = createRequire(import.meta.url);
type ErrorClass = new (message: string, details: object) => Error;
const { KafkaJSConnectionError, KafkaJSConnectionClosedError, KafkaJSRequestTimeoutError } = load(
  'kafkajs/src/errors',
) as Record<
  'KafkaJSConnectionError' | 'KafkaJSConnectionClosedError' | 'KafkaJSRequestTimeoutError',
  ErrorClass
>;
const { createErrorFromCode } = load('kafkajs/src/protocol/error') as {
  createErrorFromCode: (code: number) => Error;
};

/** How long things take on the way to a broker and back, in milliseconds. */
export interface Latency {
  readonly mean: number;
  /** How often one takes a hundred times as long. */
  readonly slow: number;
}

export function latencyOf(random: Random, { mean, slow }: Latency): number {
  return 0.05 + random.exponential(random.chance(slow) ? 100 * mean : mean);
}

interface Call {
  readonly label: string;
  readonly handle: (reply: Reply<unknown>) => void;
  settle: ((result: { value: unknown } | { error: Error }) => void) | null;
  timeout: Scheduled | null;
}

/**
 * A TCP connection of a client to a node: requests arrive in the order in which they were sent, the node takes one after
 * the other, and answers come in that order. Where it is cut, all that waits fails; what was sent last may still arrive.
 */
export class Connection {
  isOpen = true;
  /** On their way to the node, in order. */
  private readonly sent: Call[] = [];
  private arrived = 0;
  private isBusy = false;
  private readonly waiting = new Set<Call>();
  private lastArrivalMs = 0;
  private lastAnswerMs = 0;
  private whenIdle: (() => void)[] = [];
  /** Nothing gets through before this time. */
  stalledUntilMs = 0;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    private readonly latency: () => Latency,
    readonly client: Actor,
    readonly node: Node,
  ) {}

  send<T>(label: string, timeoutMs: number, handle: (reply: Reply<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.isOpen) return reject(this.closedError());
      const call: Call = { label, handle: handle, settle: null, timeout: null };
      call.settle = (result) => {
        call.settle = null;
        this.waiting.delete(call);
        if (call.timeout !== null) this.scheduler.cancel(call.timeout);
        if ('error' in result) reject(result.error);
        else resolve(result.value as T);
        if (this.waiting.size === 0) {
          for (const idle of this.whenIdle.splice(0)) idle();
        }
      };
      this.waiting.add(call);
      call.timeout = this.scheduler.after(timeoutMs, this.client, `${label} timed out`, () => {
        const details = { broker: this.address };
        call.settle?.({ error: new KafkaJSRequestTimeoutError(`Request ${label} timed out`, details) });
      });
      this.sent.push(call);
      const at = Math.max(
        this.lastArrivalMs,
        this.stalledUntilMs,
        this.scheduler.nowMs + latencyOf(this.random, this.latency()),
      );
      this.lastArrivalMs = at;
      this.scheduler.after(at - this.scheduler.nowMs, this.node.actor, '', () => {
        this.arrived++;
        this.takeNext();
      });
    });
  }

  /** Resolves when nothing waits for an answer any more. */
  idle(): Promise<void> {
    if (this.waiting.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.whenIdle.push(resolve));
  }

  /** Breaks it. Some of what is on the way to the node may have arrived. */
  cut(why: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const lost = this.random.int(this.sent.length + 1);
    this.sent.length = Math.min(this.sent.length, lost);
    if (this.waiting.size > 0)
      this.scheduler.note(`connection to ${this.node.host} is cut: ${why}`, this.client);
    for (const call of [...this.waiting]) {
      this.scheduler.after(this.random.next(), this.client, '', () =>
        call.settle?.({ error: this.closedError() }),
      );
    }
  }

  private get address(): string {
    return `${this.node.host}:${this.node.port}`;
  }

  closedError(): Error {
    return new KafkaJSConnectionClosedError('Closed connection', {
      host: this.node.host,
      port: this.node.port,
    });
  }

  private takeNext(): void {
    if (this.isBusy || this.arrived === 0) return;
    this.arrived--;
    const call = this.sent.shift();
    if (call === undefined || !this.node.isUp) return this.takeNext();
    this.isBusy = true;
    let isAnswered = false;
    if (call.label !== 'Fetch') this.scheduler.note(`${call.label} of ${this.client.name}`, this.node.actor);
    call.handle((answer) => {
      if (isAnswered) return;
      isAnswered = true;
      this.isBusy = false;
      this.answer(call, 'code' in answer ? { error: createErrorFromCode(answer.code) } : answer);
      this.takeNext();
    });
  }

  private answer(call: Call, result: { value: unknown } | { error: Error }): void {
    const at = Math.max(
      this.lastAnswerMs,
      this.stalledUntilMs,
      this.scheduler.nowMs + latencyOf(this.random, this.latency()),
    );
    this.lastAnswerMs = at;
    this.scheduler.after(at - this.scheduler.nowMs, this.client, '', () => {
      if (this.isOpen) call.settle?.(result);
    });
  }
}

/** Opens a connection, or fails as a socket would. */
export function refusedError(node: { host: string; port: number }, code: string): Error {
  return new KafkaJSConnectionError(`Connection error: connect ${code} ${node.host}:${node.port}`, {
    broker: `${node.host}:${node.port}`,
    code,
  });
}
