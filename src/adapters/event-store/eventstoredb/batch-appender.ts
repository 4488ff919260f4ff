import { randomUUID } from 'node:crypto';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import {
  EventStoreError,
  type AppendResult,
  type StreamAppend,
} from '../../../application/ports/event-store.js';
import { closedError } from '../errors.js';
import { correlationOf, decodeAnswer, resultOf, type BatchAnswer } from './batch-answer.js';
import { encodeBatch } from './batch-encoding.js';
import type { Connection } from './connection.js';
import { storeError, toAppendError } from './errors.js';

const BATCH_APPEND = '/event_store.client.streams.Streams/BatchAppend';
/** How often it is looked whether an append waits too long. */
const SWEEP_MS = 250;

type BatchStream = ClientDuplexStream<Buffer, BatchAnswer>;

interface Pending {
  readonly append: StreamAppend;
  readonly bytes: number;
  readonly settle: (result: AppendResult) => void;
  /** When it counts as unanswered, by `performance.now()`. */
  giveUpAt: number;
}

/** The stream of requests that is open now. */
interface Session {
  readonly stream: BatchStream;
  readonly client: Client;
  /** False while the transport wants no more. */
  writable: boolean;
  answeredAt: number;
}

export interface AppenderOptions {
  /** The most appends that wait for their answer at once; further ones queue. */
  readonly maxInFlightCount: number;
  readonly maxInFlightBytes: number;
  /** After this long without an answer the outcome of an append is unknown. */
  readonly deadlineMs: number;
}

/**
 * Appends over one BatchAppend call: all of them in the order in which they were called, none waits for another's
 * answer. Where the call breaks, what was under way has an unknown outcome, and the next append opens a new one.
 */
export class BatchAppender {
  private readonly queue: Pending[] = [];
  private queued = 0;
  private readonly inFlight = new Map<string, Pending>();
  private inFlightBytes = 0;
  private session: Session | null = null;
  private opening = false;
  private sweeper: NodeJS.Timeout | undefined;
  /** Correlation ids are this and a counter: they must differ within a call only, and randomness costs time. */
  private readonly idPrefix = randomUUID().slice(0, 24);
  private nextId = 0;
  /** So many appends go alone, to find out which of them the server refuses by breaking the call. */
  private alone = 0;
  private closing = false;
  private drained: (() => void) | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly options: AppenderOptions,
  ) {}

  /** `settle` is called exactly once. */
  append(append: StreamAppend, settle: (result: AppendResult) => void): void {
    if (this.closing) {
      settle({ kind: 'failed', error: closedError() });
      return;
    }
    let bytes = 0;
    for (const { data, metadata } of append.events) bytes += data.length + metadata.length;
    this.queue.push({ append, bytes, settle, giveUpAt: performance.now() + this.options.deadlineMs });
    this.sweeper ??= setInterval(() => this.sweep(), SWEEP_MS);
    this.pump();
  }

  /** Lets everything that was called be answered, or be given up; takes nothing more. */
  async close(): Promise<void> {
    this.closing = true;
    if (!this.isIdle()) await new Promise<void>((resolve) => (this.drained = resolve));
    this.session?.stream.end();
    this.session = null;
    clearInterval(this.sweeper);
  }

  private isIdle(): boolean {
    return this.inFlight.size === 0 && this.queued === this.queue.length;
  }

  /** Sends as much of the queue as the window and the transport take. */
  private pump(): void {
    const { maxInFlightCount, maxInFlightBytes, deadlineMs } = this.options;
    const { session } = this;
    if (session === null) {
      if (!this.opening && this.queued < this.queue.length) void this.openSession();
      return;
    }
    while (session.writable && this.inFlight.size < (this.alone > 0 ? 1 : maxInFlightCount)) {
      const pending = this.queue[this.queued];
      if (pending === undefined) break;
      // One that is larger than the window by itself must not wait for ever.
      if (this.inFlight.size > 0 && this.inFlightBytes + pending.bytes > maxInFlightBytes) break;
      this.queued++;
      const id = this.idPrefix + (this.nextId++).toString(16).padStart(12, '0');
      pending.giveUpAt = performance.now() + deadlineMs;
      this.inFlight.set(id, pending);
      this.inFlightBytes += pending.bytes;
      for (const message of encodeBatch(id, pending.append, deadlineMs)) {
        if (!session.stream.write(message)) session.writable = false;
      }
    }
    this.trimQueue();
  }

  private trimQueue(): void {
    if (this.queued === this.queue.length) {
      this.queue.length = this.queued = 0;
    } else if (this.queued > 1024) {
      this.queue.splice(0, this.queued);
      this.queued = 0;
    }
  }

  private async openSession(): Promise<void> {
    this.opening = true;
    try {
      const { call, client } = await this.connection.open((grpc, metadata, options) =>
        grpc.makeBidiStreamRequest<Buffer, BatchAnswer>(
          BATCH_APPEND,
          (message) => message,
          decodeAnswer,
          metadata,
          options,
        ),
      );
      const session: Session = { stream: call, client, writable: true, answeredAt: performance.now() };
      this.session = session;
      call.on('data', (answer: BatchAnswer) => this.take(session, answer));
      call.on('drain', () => {
        session.writable = true;
        if (this.session === session) this.pump();
      });
      call.once('error', (error) => void this.lose(session, error));
      call.once('end', () => void this.lose(session, new Error('the server ended the connection')));
    } catch (error) {
      await this.connection.failed(error);
      this.failAll(error);
    } finally {
      this.opening = false;
    }
    this.pump();
  }

  private take(session: Session, answer: BatchAnswer): void {
    session.answeredAt = performance.now();
    this.connection.answered();
    const id = correlationOf(answer);
    const pending = this.inFlight.get(id);
    // Given up before, and answered as unknown.
    if (pending === undefined) return;
    this.forget(id, pending);
    pending.settle(resultOf(answer, pending.append, this.connection.place));
    this.afterSettling();
  }

  private forget(id: string, pending: Pending): void {
    this.inFlight.delete(id);
    if (this.alone > 0) this.alone--;
    this.inFlightBytes -= pending.bytes;
  }

  private afterSettling(): void {
    this.pump();
    if (this.closing && this.isIdle()) this.drained?.();
  }

  /** The call broke: all that was under way is answered, and the next append opens another. */
  private async lose(session: Session, error: unknown): Promise<void> {
    if (this.session !== session) return;
    this.session = null;
    session.stream.cancel();
    // Until the broken channel is given up, a new call would only break, too.
    this.opening = true;
    this.failAll(error);
    await this.connection.failed(error, session.client);
    this.opening = false;
    this.pump();
  }

  private failAll(error: unknown): void {
    const underWay = [...this.inFlight];
    const waiting = this.queue.slice(this.queued);
    this.queue.length = this.queued = 0;
    const mapped = toAppendError(error, this.connection.place);
    const { message } = mapped;
    // What the server refuses for good is one append; which one is not said, and the others must not go with it.
    const isBlurred = !mapped.canRetry && underWay.length > 1;
    const failure = isBlurred ? new EventStoreError('outcome-unknown', message, { cause: error }) : mapped;
    for (const [id, pending] of underWay) {
      this.forget(id, pending);
      pending.settle({ kind: 'failed', error: failure });
    }
    if (isBlurred) this.alone = underWay.length;
    const unsent = new EventStoreError('unavailable', message, { cause: error });
    for (const { settle } of waiting) settle({ kind: 'failed', error: unsent });
    if (this.closing && this.isIdle()) this.drained?.();
  }

  /** Gives up what has waited too long; a session that has not answered at all meanwhile is lost. */
  private sweep(): void {
    const now = performance.now();
    const { deadlineMs } = this.options;
    const { session } = this;
    for (const [id, pending] of this.inFlight) {
      // In the order of sending, so the rest is younger.
      if (pending.giveUpAt > now) break;
      this.forget(id, pending);
      const why = `no answer to an append within ${deadlineMs} ms`;
      pending.settle({ kind: 'failed', error: storeError('outcome-unknown', this.connection.place, why) });
      if (session !== null && now - session.answeredAt >= deadlineMs) {
        void this.lose(session, new Error(why));
        break;
      }
    }
    const isStuck = session === null || now - session.answeredAt >= deadlineMs;
    while (isStuck && this.queued < this.queue.length) {
      const pending = this.queue[this.queued];
      if (pending === undefined || pending.giveUpAt > now) break;
      this.queued++;
      const why = `an append could not be sent within ${deadlineMs} ms`;
      pending.settle({ kind: 'failed', error: storeError('unavailable', this.connection.place, why) });
    }
    this.trimQueue();
    if (this.isIdle()) {
      clearInterval(this.sweeper);
      this.sweeper = undefined;
    }
    this.afterSettling();
  }
}
