import { type Refusal } from '../replica/commands.js';
import { decide, type DecideOptions, isRecordedAs, recogniseById } from '../replica/decide.js';
import { evolve } from '../replica/evolve.js';
import { emptyReplica, type Replica } from '../replica/replica.js';
import { applyAndRespond, respondUnchanged, type Response } from '../replica/respond.js';
import { type Incoming } from './incoming.js';
import { type EventStore } from './ports/event-store.js';
import { readCommands, type StoredCommand } from './replicas.js';

export type IncomingCommand = Extract<Incoming, { kind: 'command' }>;

/** What a command was answered the first time; `unknown`: it was not decided before, as far as the history tells. */
export type Recalled =
  | { readonly kind: 'accepted'; readonly response: Response }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly lastEvent: number }
  | { readonly kind: 'unknown' };

const UNKNOWN: Recalled = { kind: 'unknown' };

/**
 * Finds, in one pass over a device's history, what commands that come again were answered the first time.
 *
 * A recorded command is known by its place and bytes, or by its message id. One that was refused, or accepted with
 * nothing to record, left no trace; but where the history has a later command of the same life of the same partition,
 * it was decided before that one, on the state of then: so it is decided on that state again.
 */
export async function recall(
  store: EventStore,
  deviceId: string,
  commands: readonly IncomingCommand[],
  options: DecideOptions,
  withDocuments: boolean,
): Promise<Recalled[]> {
  const answers: Recalled[] = commands.map(() => UNKNOWN);
  const replica = emptyReplica(deviceId);
  for await (const stored of readCommands(store, deviceId)) {
    commands.forEach((command, index) => {
      if (answers[index] === UNKNOWN && wasDecidedBefore(command, stored)) {
        answers[index] = decideAgain(replica, command, options);
      }
    });
    if (commands.some((command) => isSame(command, stored))) {
      const response = applyAndRespond(
        replica,
        stored.events,
        stored.origin,
        stored.firstRevision,
        withDocuments,
      );
      commands.forEach((command, index) => {
        // The latest of equal message ids counts: an id may come back once it is forgotten.
        if (isSame(command, stored)) answers[index] = { kind: 'accepted', response };
      });
    } else {
      stored.events.forEach((event, index) =>
        evolve(replica, event, stored.origin, stored.firstRevision + index),
      );
    }
  }
  return answers;
}

function isSame({ origin }: IncomingCommand, stored: StoredCommand): boolean {
  const { source, fingerprint, messageId } = stored.origin;
  if (messageId !== undefined && messageId === origin.messageId) return fingerprint === origin.fingerprint;
  return (
    source.topic === origin.source.topic &&
    source.partition === origin.source.partition &&
    isRecordedAs({ ...source, fingerprint }, origin.source, origin.fingerprint)
  );
}

/** True where the stored command came after this one in the same life of the same partition. */
function wasDecidedBefore({ origin }: IncomingCommand, stored: StoredCommand): boolean {
  const { topic, partition, log, offset } = stored.origin.source;
  return (
    log === origin.source.log &&
    topic === origin.source.topic &&
    partition === origin.source.partition &&
    offset > origin.source.offset
  );
}

function decideAgain(
  replica: Replica,
  { content, origin }: IncomingCommand,
  options: DecideOptions,
): Recalled {
  const lastEvent = replica.timestamp;
  const recognition = recogniseById(replica, origin);
  if (recognition.kind === 'reused') return { kind: 'refused', refusal: recognition.refusal, lastEvent };
  if (recognition.kind === 'repeat') return UNKNOWN;
  if (content.kind === 'malformed') return { kind: 'refused', refusal: content.refusal, lastEvent };
  const decision = decide(replica, content, lastEvent, options);
  if (decision.kind === 'refused') return { kind: 'refused', refusal: decision.refusal, lastEvent };
  if (decision.events.length === 0 && content.kind === 'update') {
    return { kind: 'accepted', response: respondUnchanged(replica, content) };
  }
  // It would be recorded, and was not: the limits were others then. Nothing was answered that could be repeated.
  return UNKNOWN;
}
