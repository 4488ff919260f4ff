import { getDocument } from '../replica/documents.js';
import { type AsOfRequest, type StatesThen, statesAt } from './as-of.js';
import { changesPage, type ChangesPage } from './desired-changes.js';
import { explain, type Explanation } from './explain.js';
import { type HistoryOptions, type HistoryPage, historyPage } from './history.js';
import { type ValuePath } from '../replica/path.js';
import { type Replica } from '../replica/replica.js';
import { answer, type Answer, type Moment, refuse } from './moments.js';
import { Gate } from './pacing.js';
import { Past } from './past.js';
import { type EventStore } from './ports/event-store.js';
import { type Reading } from './read-replica.js';
import { type Replicas } from './replicas.js';
import { type RevertRequest, type RevertUpdate, revertUpdate } from './revert.js';
import { diffStates, sectionsOf, type StateDiff } from './state-diff.js';

/** Which state it is. */
interface Stamp {
  readonly version: number;
  readonly timestamp: number;
}

export interface Diff extends StateDiff {
  readonly from: Stamp;
  readonly to: Stamp;
}

/** So many questions are worked on at once; each may be a long fold. */
const MAX_RUNNING = 4;
const MAX_WAITING = 200;

/**
 * Answers questions about the past of devices, from the event store alone. No question takes a device's lock, so none
 * holds up a writer. Of many at once, some wait; too many are refused with 503.
 *
 * Every method takes the signal of whoever asks: where they go, the question leaves its place to the next one.
 * Every method throws `EventStoreError`, and the signal's reason once that has aborted.
 */
export class TimeTravel {
  private readonly gate = new Gate(MAX_RUNNING, MAX_WAITING);

  constructor(
    private readonly store: EventStore,
    private readonly replicas: Pick<Replicas, 'start' | 'passed'>,
  ) {}

  /** The replica as a get showed it at the moment, with the time of its last event. Refuses with 404 where there was none. */
  state(deviceId: string, moment: Moment, signal?: AbortSignal): Promise<Answer<Reading>> {
    return this.ask(signal, async (past) => {
      const then = await past.replicaOf(deviceId, moment);
      if (!then.ok) return then;
      const { version, timestamp } = then.value;
      return answer({ version, document: getDocument(then.value, timestamp) });
    });
  }

  /** As {@link state}, of many devices; null for one that had no state then. They take one place, not one each. */
  asOf({ deviceIds, at }: AsOfRequest, signal?: AbortSignal): Promise<Answer<StatesThen>> {
    return this.ask(signal, async (past) => answer({ at, devices: await statesAt(past, deviceIds, at) }));
  }

  /** A page of the device's events. Refuses with 404 where it never had one, and with 400 a cursor that is none. */
  history(deviceId: string, options: HistoryOptions, signal?: AbortSignal): Promise<Answer<HistoryPage>> {
    return this.ask(signal, (past) => historyPage(this.store, past, deviceId, options));
  }

  /** A page of the device's desired changes, and what became of each. Refuses as {@link history}. */
  convergence(deviceId: string, options: HistoryOptions, signal?: AbortSignal): Promise<Answer<ChangesPage>> {
    return this.ask(signal, (past) => changesPage(this.store, past, deviceId, options));
  }

  /** What changed from one moment to the other, which may be the earlier. Refuses with 404 where there was no state at either. */
  diff(deviceId: string, from: Moment, to: Moment, signal?: AbortSignal): Promise<Answer<Diff>> {
    return this.ask(signal, async (past) => {
      const before = await past.replicaOf(deviceId, from);
      if (!before.ok) return before;
      const after = await past.replicaOf(deviceId, to);
      if (!after.ok) return after;
      const states = diffStates(sectionsOf(before.value), sectionsOf(after.value));
      return answer({ from: stampOf(before.value), to: stampOf(after.value), ...states });
    });
  }

  /** Which event made a value what it is, or was at the moment. Refuses with 404 a value that was never there. */
  explain(
    deviceId: string,
    path: ValuePath,
    moment: Moment | null,
    signal?: AbortSignal,
  ): Promise<Answer<Explanation>> {
    return this.ask(signal, (past) => explain(this.store, past, deviceId, path, moment));
  }

  /** The update that puts a device's desired section back: see {@link revertUpdate}. */
  revert(
    deviceId: string,
    request: RevertRequest,
    messageId?: string,
    signal?: AbortSignal,
  ): Promise<Answer<RevertUpdate>> {
    return this.ask(signal, (past) => revertUpdate(this.store, past, deviceId, request, messageId));
  }

  private async ask<T>(
    signal: AbortSignal | undefined,
    work: (past: Past) => Promise<Answer<T>>,
  ): Promise<Answer<T>> {
    if (this.gate.isFull) return refuse(503, 'Too many questions about the past at once');
    return this.gate.run(() => work(new Past(this.store, this.replicas, signal)), signal);
  }
}

function stampOf({ version, timestamp }: Replica): Stamp {
  return { version, timestamp };
}
