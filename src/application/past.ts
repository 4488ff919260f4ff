import { refusals } from '../replica/commands.js';
import { evolve } from '../replica/evolve.js';
import { type ReplicaEvent } from '../replica/events.js';
import { type Replica } from '../replica/replica.js';
import { streamOf } from '../replica/stored.js';
import { answer, type Answer, atMoment, type Moment, refuse } from './moments.js';
import { Pacer } from './pacing.js';
import { type EventLog } from './ports/event-store.js';
import { decode, type Replicas } from './replicas.js';

/** Where an event stands, and what it is. */
export interface Placed {
  readonly revision: number;
  readonly event: ReplicaEvent;
}

/**
 * Devices as they were. Versions and times never go back within a stream, so a moment's event is found by halving the
 * stream, some twenty reads of one event in a million; the replica of then is folded from the latest snapshot before
 * it. Nothing here takes a device's lock or waits for a writer, and long folds let others work in between.
 *
 * Every method throws `EventStoreError`, and the signal's reason where there is one and it aborts.
 */
export class Past {
  constructor(
    private readonly store: EventLog,
    private readonly replicas: Pick<Replicas, 'start' | 'passed'>,
    /** Whoever asks is gone: what is under way ends, and throws the signal's reason. */
    private readonly signal?: AbortSignal,
  ) {}

  /** To be called amid long work. */
  throwIfAborted(): void {
    this.signal?.throwIfAborted();
  }

  /** The device's last event; null: it never had one. */
  async last(deviceId: string): Promise<Placed | null> {
    const events = this.store.readStream(streamOf(deviceId), { direction: 'backwards', maxCount: 1 });
    for await (const recorded of events) return { revision: recorded.revision, ...decode(recorded) };
    return null;
  }

  /**
   * The last event for which this holds; null: for none. It must hold for all events before one for which it does.
   *
   * @param last the device's last event: what is recorded later is not looked at
   */
  async lastWhere(
    deviceId: string,
    last: Placed,
    holds: (event: ReplicaEvent) => boolean,
  ): Promise<Placed | null> {
    if (holds(last.event)) return last;
    let found: Placed | null = null;
    let low = 0;
    let high = last.revision - 1;
    while (low <= high) {
      const middle = Math.floor((low + high) / 2);
      const placed = await this.eventAt(deviceId, middle);
      if (holds(placed.event)) {
        found = placed;
        low = middle + 1;
      } else {
        high = middle - 1;
      }
    }
    return found;
  }

  /** The last event that had happened at the moment. Refuses with 404 where none had, or the version does not exist. */
  async eventOf(deviceId: string, moment: Moment): Promise<Answer<Placed>> {
    const last = await this.last(deviceId);
    if (last === null) return { ok: false, refusal: refusals.notFound(deviceId) };
    if (moment.kind === 'time') {
      const found = await this.lastWhere(deviceId, last, ({ timestamp }) => timestamp <= moment.time);
      return found === null ? notYet(deviceId, moment) : answer(found);
    }
    const { version } = moment;
    if (version > last.event.version || version < 1) {
      const latest = `the latest is ${last.event.version}`;
      return refuse(404, `Device '${deviceId}' has no version ${version}: ${latest}`);
    }
    const found = await this.lastWhere(deviceId, last, (event) => event.version <= version);
    if (found === null) return notYet(deviceId, moment);
    if (found.event.type !== 'ReplicaDeleted') return answer(found);
    // A delete bears the version of what it deletes; the version is what stood there before.
    return answer(await this.eventAt(deviceId, found.revision - 1));
  }

  /** The replica as it was at the moment; it is the caller's. Refuses with 404 where there was none, as after a delete. */
  async replicaOf(deviceId: string, moment: Moment): Promise<Answer<Replica>> {
    const found = await this.eventOf(deviceId, moment);
    if (!found.ok) return found;
    if (found.value.event.type === 'ReplicaDeleted') return notYet(deviceId, moment);
    return answer(await this.replicaAt(deviceId, found.value.revision));
  }

  /** The replica after the event of this revision; −1: before the first. It is the caller's. */
  async replicaAt(deviceId: string, revision: number): Promise<Replica> {
    const replica = await this.replicas.start(deviceId, { atMost: revision });
    const maxCount = revision - replica.revision;
    if (maxCount <= 0) return replica;
    const pacer = new Pacer();
    let before = replica.revision;
    let command: string | undefined;
    let lastId = '';
    const events = this.store.readStream(streamOf(deviceId), { from: before + 1, maxCount });
    for await (const recorded of events) {
      const { event, origin } = decode(recorded);
      if (command !== undefined && command !== origin.commandId) {
        this.replicas.passed(replica, before, lastId);
        before = replica.revision;
      }
      evolve(replica, event, origin, recorded.revision);
      command = origin.commandId;
      lastId = recorded.id;
      this.throwIfAborted();
      if (pacer.isDue) await pacer.pause();
    }
    return replica;
  }

  private async eventAt(deviceId: string, revision: number): Promise<Placed> {
    this.throwIfAborted();
    const events = this.store.readStream(streamOf(deviceId), { from: revision, maxCount: 1 });
    for await (const recorded of events) return { revision: recorded.revision, ...decode(recorded) };
    throw new Error(`The stream of ${deviceId} has lost its revision ${revision}`);
  }
}

function notYet(deviceId: string, moment: Moment): Answer<never> {
  return refuse(404, `No state existed for device '${deviceId}' ${atMoment(moment)}`);
}
