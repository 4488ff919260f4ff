import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type ServerResponse } from 'node:http';
import { Places } from '../../application/access/places.js';
import { nameOf } from '../../application/access/rules.js';
import { EventStoreError } from '../../application/ports/event-store.js';
import {
  type FollowerEnd,
  type FollowerObserver,
  type StreamKind,
} from '../../application/ports/follower-observer.js';
import { type LimitObserver } from '../../application/ports/limit-observer.js';
import { type Observer } from '../../application/ports/observer.js';
import { type Refusal } from '../../replica/commands.js';
import { callerOf, knownOf } from './gate.js';
import { onClose, sendRefusal, sendStopping } from './replies.js';
import { leaveFlight } from './request-limits.js';
import { FOLLOWER_OBSERVER, FOLLOWER_OPTIONS, LIMIT_OBSERVER, OBSERVER } from './tokens.js';

export interface EventStreamOptions {
  /** The most that may wait for one reader, beside one event. */
  readonly waitingBytes: number;
  /** A reader that takes not a byte of what waits for so long is ended. */
  readonly stallMs: number;
}

const EVENT_STREAM = 'text/event-stream; charset=utf-8';
/** Keeps idle connections open through proxies. */
const HEARTBEAT_MS = 15_000;
/** When a reader is to come back, in milliseconds. */
const RETRY_MS = 2000;

/** What a reader is told at the end, where it is told: it can resume, or not, and why it ended. */
const ENDS: Readonly<Record<Exclude<FollowerEnd, 'left'>, { message: string; canResume: boolean }>> = {
  slow: { message: 'The events were not read fast enough; go on with Last-Event-ID', canResume: true },
  stopping: { message: 'The service is stopping; go on with Last-Event-ID', canResume: true },
  unauthorized: {
    message: 'The credentials do not do any more; go on with Last-Event-ID and others',
    canResume: true,
  },
  failed: { message: 'The history cannot be read', canResume: false },
};

/** An event as it is sent; without an id: it does not move the reader's place. */
export function encodeEvent(id: string | null, name: string, json: string): string {
  return `${id === null ? '' : `id: ${id}\n`}event: ${name}\ndata: ${json}\n\n`;
}

/** The `Last-Event-ID` of a request, or what stands for it; undefined: none. */
export function lastEventIdOf(request: FastifyRequest, parameter?: string): string | undefined {
  const header = request.headers['last-event-id'];
  // A browser sends the address it was given again, with the header of where it has come to since.
  const id = typeof header === 'string' && header !== '' ? header : parameter;
  return id === '' ? undefined : id;
}

/** Answers a HEAD as the GET's stream begins. */
export function sendStreamHead(reply: FastifyReply): void {
  void reply.header('content-type', EVENT_STREAM).send();
}

/**
 * One reader's stream of server-sent events. What it does not take waits, up to a bound; where it takes nothing for
 * too long, or more is pushed than may wait, it is ended with an event that says so.
 */
export class EventStream {
  private readonly abort = new AbortController();
  private readonly response: ServerResponse;
  private heartbeat: NodeJS.Timeout | undefined;
  private unwatch: (() => void) | undefined;
  private placed = '';
  private end: FollowerEnd | null = null;
  private watching: Promise<void> | null = null;

  constructor(
    private readonly reply: FastifyReply,
    private readonly options: EventStreamOptions,
  ) {
    this.response = reply.raw;
    const leave = (): void => this.stop('left');
    this.response.on('error', leave);
    this.response.on('timeout', () => {
      if (this.end === null) this.stop('slow');
      else this.response.destroy();
    });
    onClose(this.response, leave);
  }

  /** Aborts when nothing more is to be sent. */
  get signal(): AbortSignal {
    return this.abort.signal;
  }

  /** Why it was stopped; null: it was not. */
  get endReason(): FollowerEnd | null {
    return this.end;
  }

  /** What has not been taken yet. */
  get waitingBytes(): number {
    return this.response.writableLength;
  }

  /**
   * Begins the answer.
   *
   * @param place gives the id of where the reader is now. It is sent at once, so that a reader that goes before its
   * first event can come back to it, and with heartbeats where it has moved without an event
   */
  begin(place: () => string): void {
    if (this.end !== null) return;
    this.reply.hijack();
    const { response } = this;
    response.writeHead(200, {
      'content-type': EVENT_STREAM,
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    this.placed = place();
    response.write(`retry: ${RETRY_MS}\nid: ${this.placed}\n\n`);
    this.heartbeat = setInterval(() => {
      if (response.writableLength > 0) return;
      const id = place();
      response.write(id === this.placed ? ':\n\n' : `id: ${id}\n\n`);
      this.placed = id;
    }, HEARTBEAT_MS);
    this.unwatch = knownOf(this.reply.request.raw)?.watch(() => this.stop('unauthorized'));
  }

  /** Sends, and resolves when there is room for more, or there never will be. */
  async send(bytes: string | Buffer): Promise<void> {
    if (this.end !== null || this.response.write(bytes)) return;
    await this.taken();
  }

  /** Sends without waiting. What comes is not to be had again, so a reader that is too far behind is ended. */
  push(text: string): void {
    if (this.end !== null) return;
    if (this.waitingBytes > this.options.waitingBytes) this.stop('slow');
    else if (!this.response.write(text)) void this.taken();
  }

  /** Ends the stream. The first reason counts. */
  stop(reason: FollowerEnd): void {
    if (this.end !== null) return;
    this.end = reason;
    clearInterval(this.heartbeat);
    this.unwatch?.();
    this.abort.abort();
    const { response } = this;
    if (reason === 'left' || response.destroyed) return;
    if (!response.headersSent) {
      // What fails before the answer begins is answered by whoever asked for the stream.
      if (reason === 'stopping') sendStopping(this.reply);
      return;
    }
    const { message, canResume } = ENDS[reason];
    response.end(encodeEvent(null, 'end', JSON.stringify({ reason, message, canResume })));
    // Whoever comes back to its connection in a while still reads it; then the connection goes.
    response.setTimeout(this.options.stallMs);
  }

  /** Resolves when what waits was taken, or the stream has ended. Not a byte taken for too long ends it. */
  private taken(): Promise<void> {
    this.watching ??= new Promise<void>((resolve) => {
      const { response, signal } = this;
      const done = (): void => {
        response.off('drain', done);
        signal.removeEventListener('abort', done);
        if (!signal.aborted) response.setTimeout(0);
        this.watching = null;
        resolve();
      };
      response.once('drain', done);
      signal.addEventListener('abort', done);
      // Counted from the last byte that the connection took, not from the last event that it took whole.
      response.setTimeout(this.options.stallMs);
    });
    return this.watching;
  }
}

/** The end that an error of following is. */
function endOf(error: unknown): FollowerEnd {
  return error instanceof EventStoreError && error.code === 'closed' ? 'stopping' : 'failed';
}

const TOO_MANY: Refusal = {
  code: 503,
  message: 'Too many open event streams (MAX_FOLLOWER_COUNT)',
};
const TOO_MANY_OF_CALLER: Refusal = {
  code: 429,
  message: 'Too many open event streams of this caller (MAX_FOLLOWERS_PER_CALLER_COUNT)',
};

export interface FollowerOptions extends EventStreamOptions {
  /** The most event streams that are open at once, of devices and of the fleet together. */
  readonly maxCount: number;
  /** The most of one caller that is known; 0: without bounds. */
  readonly maxCallerCount: number;
}

/** All open event streams: they are counted, bounded, and ended when the service stops. */
@Injectable()
export class EventStreams implements BeforeApplicationShutdown {
  private readonly open = { device: new Set<EventStream>(), fleet: new Set<EventStream>() };
  private readonly callers: Places;
  private isStopping = false;

  constructor(
    @Inject(FOLLOWER_OPTIONS) private readonly options: FollowerOptions,
    @Inject(OBSERVER) private readonly observer: Observer,
    @Inject(FOLLOWER_OBSERVER) private readonly followers: FollowerObserver,
    @Inject(LIMIT_OBSERVER) private readonly limits: LimitObserver,
  ) {
    this.callers = new Places(options.maxCallerCount);
  }

  countOf(kind: StreamKind): number {
    return this.open[kind].size;
  }

  beforeApplicationShutdown(): void {
    this.isStopping = true;
    for (const stream of [...this.open.device, ...this.open.fleet]) stream.stop('stopping');
  }

  /**
   * Runs one reader's stream to its end, whatever that is. Throws what `serve` throws before the answer has begun; what
   * it throws later ends the stream.
   */
  async run(
    kind: StreamKind,
    reply: FastifyReply,
    serve: (stream: EventStream) => Promise<void>,
  ): Promise<void> {
    if (this.isStopping) return sendStopping(reply);
    const { device, fleet } = this.open;
    const { raw } = reply.request;
    const caller = callerOf(raw);
    const who = caller === undefined ? null : nameOf(caller);
    if (device.size + fleet.size >= this.options.maxCount) {
      this.limits.limited('http', 'streams', who ?? '');
      return sendRefusal(reply, TOO_MANY);
    }
    if (who !== null && !this.callers.take(who)) {
      this.limits.limited('http', 'caller-streams', who);
      return sendRefusal(reply, TOO_MANY_OF_CALLER);
    }
    // It has bounds of its own, and no answer to wait for.
    leaveFlight(raw);
    const stream = new EventStream(reply, this.options);
    this.open[kind].add(stream);
    try {
      await serve(stream);
      stream.stop('stopping');
    } catch (error) {
      if (!reply.sent && !stream.signal.aborted) {
        stream.stop('failed');
        throw error;
      }
      if (!stream.signal.aborted) this.fail(stream, error);
    } finally {
      this.open[kind].delete(stream);
      if (who !== null) this.callers.give(who);
      this.followers.followerEnded(kind, stream.endReason ?? 'left');
    }
  }

  private fail(stream: EventStream, error: unknown): void {
    const end = endOf(error);
    if (end === 'failed') this.observer.failed('follow', error);
    stream.stop(end);
  }
}
