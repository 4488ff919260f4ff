import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { DeviceSignals, followDevice, parseFollowId, placeNow } from '../../application/follow-device.js';
import { type Bus, type OutputMessage } from '../../application/ports/bus.js';
import { type EventStore } from '../../application/ports/event-store.js';
import { type Observer } from '../../application/ports/observer.js';
import { Replicas } from '../../application/replicas.js';
import { settlesWithin } from '../../application/timing.js';
import {
  encodeEvent,
  type EventStream,
  EventStreams,
  lastEventIdOf,
  sendStreamHead,
} from './event-stream.js';
import { sendRefusal } from './replies.js';
import { BUS, OBSERVER, STORE } from './tokens.js';

const LISTEN_LIMIT_MS = 2000;
/** Of the rejections that come before the answer begins. */
const MAX_EARLY_COUNT = 256;

/** A reader, and the rejections that came before its answer began. */
interface Follower {
  readonly stream: EventStream;
  early: string[] | null;
}

/**
 * Server-sent events: a device's accepted, delta and documents come from the event store, so that a reader can resume
 * without a gap; its rejections, which are not recorded, come live from the bus and have no id.
 */
@Injectable()
export class DeviceFollowers implements BeforeApplicationShutdown {
  private readonly followers = new Map<string, Set<Follower>>();
  private stopListening: Promise<() => Promise<void>> | undefined;
  private readonly signals: DeviceSignals;

  constructor(
    @Inject(BUS) private readonly bus: Bus,
    @Inject(STORE) private readonly store: EventStore,
    @Inject(OBSERVER) private readonly observer: Observer,
    @Inject(Replicas) private readonly replicas: Replicas,
    private readonly streams: EventStreams,
  ) {
    this.signals = new DeviceSignals(store, (error, delayMs) => observer.retrying('follow', error, delayMs));
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.signals.stop();
  }

  /** Answers with the stream and resolves when it has ended. Throws `EventStoreError` before the answer begins. */
  async follow(deviceId: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const lastId = lastEventIdOf(request);
    const from = lastId === undefined ? undefined : parseFollowId(lastId);
    if (from === null) {
      return sendRefusal(reply, { code: 400, message: 'Last-Event-ID is not an id of this stream' });
    }
    if (request.method === 'HEAD') return sendStreamHead(reply);
    await this.streams.run('device', reply, async (stream) => {
      const follower: Follower = { stream, early: [] };
      this.add(deviceId, follower);
      try {
        // Before the answer begins: whoever has it sees all that comes after. Not for long, since the log alone is
        // worth following too.
        if (this.stopListening !== undefined) await settlesWithin(this.stopListening, LISTEN_LIMIT_MS);
        const place = from ?? (await placeNow(this.store, deviceId));
        let id = `${place.revision}.${place.part}`;
        stream.begin(() => id);
        for (const text of follower.early ?? []) stream.push(text);
        follower.early = null;
        const { store, replicas, signals } = this;
        for await (const output of followDevice(store, replicas, signals, deviceId, place, stream.signal)) {
          const { channel, document } = output;
          const name = channel === 'delete.accepted' ? 'delete-accepted' : channel.replace('update.', '');
          await stream.send(encodeEvent(output.id, name, document));
          id = output.id;
        }
      } finally {
        this.remove(deviceId, follower);
      }
    });
  }

  private add(deviceId: string, follower: Follower): void {
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
    const group = this.followers.get(deviceId);
    group?.delete(follower);
    if (group?.size === 0) this.followers.delete(deviceId);
    if (this.followers.size > 0) return;
    const listening = this.stopListening;
    this.stopListening = undefined;
    listening?.then((stop) => stop()).catch((error: unknown) => this.observer.retrying('listen', error, 0));
  }

  private reject(message: OutputMessage): void {
    const group = this.followers.get(String(message.key));
    if (group === undefined || message.value === null) return;
    const text = encodeEvent(null, 'rejected', message.value.toString('utf8'));
    for (const { stream, early } of group) {
      if (early === null) stream.push(text);
      else if (early.length < MAX_EARLY_COUNT) early.push(text);
    }
  }
}
