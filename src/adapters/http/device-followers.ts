import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { once } from 'node:events';
import { type ServerResponse } from 'node:http';
import {
  DeviceSignals,
  followDevice,
  type FollowPosition,
  parseFollowId,
  placeNow,
} from '../../application/follow-device.js';
import { type Bus, type OutputMessage } from '../../application/ports/bus.js';
import { type EventStore } from '../../application/ports/event-store.js';
import { type Observer } from '../../application/ports/observer.js';
import { Replicas } from '../../application/replicas.js';
import { sendRefusal } from './replies.js';
import { BUS, OBSERVER, STORE } from './tokens.js';

export interface FollowerOptions {
  /** The most event streams that are open at once. */
  readonly maxCount: number;
}
export const FOLLOWER_OPTIONS = Symbol('follower options');

const EVENT_STREAM = 'text/event-stream; charset=utf-8';
/** A comment line keeps idle connections open through proxies. */
const HEARTBEAT_MS = 15_000;
/** A reader that takes nothing for so long is cut; it can resume. */
const STALLED_MS = 30_000;
const LISTEN_LIMIT_MS = 2000;
/** What may wait for one slow reader of rejections, which no log holds. */
const MAX_WAITING_REJECTIONS = 256;

interface Follower {
  readonly rejections: string[];
  readonly abort: AbortController;
  flush: () => void;
}

/**
 * Server-sent events: a device's accepted, delta and documents come from the event store, so that a reader can resume
 * without a gap; its rejections, which are not recorded, come live from the bus and have no id.
 */
@Injectable()
export class DeviceFollowers implements BeforeApplicationShutdown {
  private readonly followers = new Map<string, Set<Follower>>();
  private open = 0;
  private stopListening: Promise<() => Promise<void>> | undefined;
  private readonly signals: DeviceSignals;

  constructor(
    @Inject(BUS) private readonly bus: Bus,
    @Inject(STORE) private readonly store: EventStore,
    @Inject(OBSERVER) private readonly observer: Observer,
    @Inject(FOLLOWER_OPTIONS) private readonly options: FollowerOptions,
    @Inject(Replicas) private readonly replicas: Replicas,
  ) {
    this.signals = new DeviceSignals(store, (error) => observer.retrying('follow', error, 1000));
  }

  get count(): number {
    return this.open;
  }

  async beforeApplicationShutdown(): Promise<void> {
    for (const group of this.followers.values()) {
      for (const follower of group) follower.abort.abort();
    }
    await this.signals.stop();
  }

  /** Answers with the stream and resolves when it has ended. Throws `EventStoreError` before the answer begins. */
  async follow(deviceId: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const lastId = request.headers['last-event-id'];
    const from = typeof lastId === 'string' && lastId !== '' ? parseFollowId(lastId) : undefined;
    if (from === null) {
      return sendRefusal(reply, { code: 400, message: 'Last-Event-ID is not an id of this stream' });
    }
    if (request.method === 'HEAD') {
      void reply.header('content-type', EVENT_STREAM).send();
      return;
    }
    if (this.open >= this.options.maxCount) {
      return sendRefusal(reply, { code: 503, message: 'Too many open event streams (MAX_FOLLOWER_COUNT)' });
    }
    const follower: Follower = { rejections: [], abort: new AbortController(), flush: () => undefined };
    const response = reply.raw;
    response.on('close', () => follower.abort.abort());
    response.on('error', () => follower.abort.abort());
    this.add(deviceId, follower);
    try {
      // Before the answer begins: whoever has it sees all that comes after.
      await this.listening();
      const place = from ?? (await placeNow(this.store, deviceId));
      reply.hijack();
      await this.run(deviceId, place, follower, response);
    } finally {
      this.remove(deviceId, follower);
    }
  }

  /** Waits until rejections are heard; not for long, since the log alone is worth following too. */
  private async listening(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise((resolve) => (timer = setTimeout(resolve, LISTEN_LIMIT_MS)));
    await Promise.race([this.stopListening?.catch(() => undefined), timeout]);
    clearTimeout(timer);
  }

  private async run(
    deviceId: string,
    place: FollowPosition,
    follower: Follower,
    response: ServerResponse,
  ): Promise<void> {
    const { signal } = follower.abort;
    response.writeHead(200, {
      'content-type': EVENT_STREAM,
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    // An id at once, so that a reader that goes before its first event can come back to this place.
    response.write(`retry: 2000\nid: ${place.revision}.${place.part}\n\n`);
    const heartbeat = setInterval(() => {
      if (response.writableLength === 0) response.write(':\n\n');
    }, HEARTBEAT_MS);
    follower.flush = () => {
      while (follower.rejections.length > 0 && !response.writableNeedDrain)
        response.write(follower.rejections.shift());
    };
    response.on('drain', () => follower.flush());
    follower.flush();
    try {
      const { store, replicas, signals } = this;
      for await (const output of followDevice(store, replicas, signals, deviceId, place, signal)) {
        if (signal.aborted) return;
        const name =
          output.channel === 'delete.accepted' ? 'delete-accepted' : output.channel.replace('update.', '');
        if (!response.write(`id: ${output.id}\nevent: ${name}\ndata: ${output.document}\n\n`)) {
          await drained(response, signal);
        }
      }
    } catch (error) {
      this.observer.failed('follow', error);
    } finally {
      clearInterval(heartbeat);
      response.end();
    }
  }

  private add(deviceId: string, follower: Follower): void {
    this.open++;
    const group = this.followers.get(deviceId) ?? new Set();
    this.followers.set(deviceId, group.add(follower));
    if (this.stopListening !== undefined) return;
    const listening = this.bus.listen('update.rejected', (message) => this.reject(message));
    this.stopListening = listening;
    listening.catch((error: unknown) => {
      if (this.stopListening === listening) this.stopListening = undefined;
      this.observer.retrying('listen', error, 0);
    });
  }

  private remove(deviceId: string, follower: Follower): void {
    this.open--;
    const group = this.followers.get(deviceId);
    group?.delete(follower);
    if (group?.size === 0) this.followers.delete(deviceId);
    if (this.open > 0) return;
    const listening = this.stopListening;
    this.stopListening = undefined;
    listening?.then((stop) => stop()).catch((error: unknown) => this.observer.retrying('listen', error, 0));
  }

  private reject(message: OutputMessage): void {
    const group = this.followers.get(String(message.key));
    if (group === undefined || message.value === null) return;
    const text = `event: rejected\ndata: ${message.value.toString('utf8')}\n\n`;
    for (const follower of group) {
      if (follower.rejections.length < MAX_WAITING_REJECTIONS) follower.rejections.push(text);
      follower.flush();
    }
  }
}

/** Resolves when the reader has taken what was written; ends the response where it takes nothing for too long. */
async function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  const stalled = AbortSignal.timeout(STALLED_MS);
  try {
    await once(response, 'drain', { signal: AbortSignal.any([signal, stalled]) });
  } catch {
    if (stalled.aborted) response.destroy();
  }
}
