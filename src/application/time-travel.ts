import { getDocument } from '../replica/documents.js';
import { type HistoryOptions, type HistoryPage, historyPage } from './history.js';
import { answer, type Answer, type Moment, refuse } from './moments.js';
import { Gate } from './pacing.js';
import { Past } from './past.js';
import { type EventStore } from './ports/event-store.js';
import { type Reading } from './read-replica.js';
import { type Replicas } from './replicas.js';

/** So many questions are worked on at once; each may be a long fold. */
const MAX_RUNNING = 4;
const MAX_WAITING = 200;

/**
 * Answers questions about the past of devices, from the event store alone. No question takes a device's lock, so none
 * holds up a writer. Of many at once, some wait; too many are refused with 503.
 *
 * Every method throws `EventStoreError`.
 */
export class TimeTravel {
  private readonly past: Past;
  private readonly gate = new Gate(MAX_RUNNING, MAX_WAITING);

  constructor(
    private readonly store: EventStore,
    replicas: Pick<Replicas, 'start' | 'passed'>,
  ) {
    this.past = new Past(store, replicas);
  }

  /** The replica as a get showed it at the moment, with the time of its last event. Refuses with 404 where there was none. */
  state(deviceId: string, moment: Moment): Promise<Answer<Reading>> {
    return this.ask(async () => {
      const then = await this.past.replicaOf(deviceId, moment);
      if (!then.ok) return then;
      const { version, timestamp } = then.value;
      return answer({ version, document: getDocument(then.value, timestamp) });
    });
  }

  /** A page of the device's events. Refuses with 404 where it never had one, and with 400 a cursor that is none. */
  history(deviceId: string, options: HistoryOptions): Promise<Answer<HistoryPage>> {
    return this.ask(() => historyPage(this.store, this.past, deviceId, options));
  }

  private async ask<T>(work: () => Promise<Answer<T>>): Promise<Answer<T>> {
    if (this.gate.isFull) return refuse(503, 'Too many questions about the past at once');
    return this.gate.run(work);
  }
}
