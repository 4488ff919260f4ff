import { type UpdateCommand } from './commands.js';
import { eventsOf } from './decide.js';
import {
  acceptedDocument,
  deletedDocument,
  deltaDocument,
  documentsDocument,
  sendsDelta,
  snapshotDocument,
  type Stamp,
} from './documents.js';
import { type Origin, type ReplicaEvent, type SectionChanged } from './events.js';
import { type Changed, evolve } from './evolve.js';
import { type Replica } from './replica.js';

/** What one accepted command sends out. */
export interface Response {
  readonly version: number;
  readonly timestamp: number;
  readonly accepted: string;
  /** Absent: no delta message. */
  readonly delta?: string;
  /** Null: the replica was deleted. Absent: not wanted. */
  readonly documents?: string | null;
}

/**
 * Folds the events of one command into the replica, in place, and renders what they send out. It serves the first
 * time and every repeat alike: the same state and events give the same texts.
 *
 * @param events of one command, at least one
 * @param firstRevision the revision of the first of them
 */
export function applyAndRespond(
  replica: Replica,
  events: readonly ReplicaEvent[],
  origin: Origin,
  firstRevision: number,
  withDocuments: boolean,
): Response {
  const first = events[0];
  if (first === undefined) throw new Error('A recorded command has at least one event');
  const { version, timestamp } = first;
  if (first.type === 'ReplicaDeleted') {
    evolve(replica, first, origin, firstRevision);
    return {
      version,
      timestamp,
      accepted: deletedDocument(first),
      ...(withDocuments ? { documents: null } : {}),
    };
  }
  const previous = withDocuments ? snapshotDocument(replica) : null;
  const changed: Changed = {};
  events.forEach((event, index) => evolve(replica, event, origin, firstRevision + index, changed));
  const stamp: Stamp = { version, timestamp, clientToken: first.clientToken };
  return {
    version,
    timestamp,
    accepted: acceptedDocument(events as readonly SectionChanged[]),
    ...(sendsDelta(replica, changed) ? { delta: deltaDocument(replica, changed, stamp) } : {}),
    ...(previous === null
      ? {}
      : { documents: documentsDocument(previous, snapshotDocument(replica), stamp) }),
  };
}

/**
 * The response to an update that is accepted and recorded nowhere, since it changes nothing. Its time is that of the
 * last event, so that it is the same whenever it is sent.
 */
export function respondUnchanged(replica: Replica, command: UpdateCommand): Response {
  const { version, timestamp } = replica;
  const stamp: Stamp = { version, timestamp, clientToken: command.clientToken };
  const events = eventsOf(command, version, timestamp);
  return {
    version,
    timestamp,
    accepted: acceptedDocument(events),
    ...(sendsDelta(replica, {}) ? { delta: deltaDocument(replica, {}, stamp) } : {}),
  };
}
