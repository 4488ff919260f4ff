import { type Refusal } from '../replica/commands.js';
import { decide, type DecideOptions, isRecordedAs, recogniseById } from '../replica/decide.js';
import { evolve, sourceKey } from '../replica/evolve.js';
import { type Replica } from '../replica/replica.js';
import { applyAndRespond, respondUnchanged, type Response } from '../replica/respond.js';
import { type Source } from '../replica/events.js';
import { type Incoming } from './incoming.js';
import { type EventStore } from './ports/event-store.js';
import { readCommands, type Replicas, type StoredCommand } from './replicas.js';

export type IncomingCommand = Extract<Incoming, { kind: 'command' }>;

/** What a command was answered the first time; `unknown`: it was not decided before, as far as the history tells. */
export type Recalled =
  | { readonly kind: 'accepted'; readonly response: Response }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly lastEvent: number }
  | { readonly kind: 'unknown' };

/** It would be recorded on the state of then, and was not. */
interface Contradicted {
  readonly kind: 'contradicted';
  /** The time of the device's last event then. */
  readonly lastEvent: number;
}

const UNKNOWN: Recalled = { kind: 'unknown' };

export const TOO_LARGE: Refusal = { code: 413, message: 'The event is too large for the event store' };

/** One command that is looked for, and what the history has told of it so far. */
interface Search {
  readonly command: IncomingCommand;
  answer: Recalled | Contradicted;
  /** Its very record was met. */
  isFound: boolean;
  /** The answer to the latest command that has its message id. */
  byId: Recalled | undefined;
}

/**
 * Finds, in one pass over a device's history, what commands that come again were answered the first time, and folds
 * that history. The pass begins at the latest snapshot that is earlier than all of them.
 *
 * A recorded command is known by its place and bytes. One that was refused, or accepted with nothing to record, left
 * no trace; but where the history has a later command of the same life of the same partition, it was decided before
 * that one, on the state of then: so it is decided on that state again. Message ids count as they were known then.
 */
export async function recall(
  store: EventStore,
  replicas: Pick<Replicas, 'start'>,
  deviceId: string,
  commands: readonly IncomingCommand[],
  options: DecideOptions & { readonly publishDocuments: boolean },
): Promise<{ answers: Recalled[]; replica: Replica }> {
  const searches = commands.map((command): Search => ({
    command,
    answer: UNKNOWN,
    isFound: false,
    byId: undefined,
  }));
  const index = new SearchIndex(searches);
  const fits = (candidate: Replica): boolean => commands.every((command) => isUnknownTo(candidate, command));
  const replica = await replicas.start(deviceId, { fits });
  for await (const stored of readCommands(store, deviceId, replica.revision + 1)) {
    for (const search of index.decidedBefore(stored)) {
      if (!search.isFound) search.answer = decideAgain(replica, search, options);
    }
    const found = index.thatMayBe(stored);
    if (found.length === 0) {
      stored.events.forEach((event, index) =>
        evolve(replica, event, stored.origin, stored.firstRevision + index),
      );
      continue;
    }
    const { events, origin, firstRevision } = stored;
    const response = applyAndRespond(replica, events, origin, firstRevision, options.publishDocuments);
    const answer: Recalled = { kind: 'accepted', response };
    for (const search of found) {
      // The latest of equal message ids counts: an id may come back once it is forgotten.
      if (hasSameId(search.command, stored)) search.byId = answer;
      if (!isSame(search.command, stored)) continue;
      search.isFound = true;
      search.answer = answer;
    }
  }
  const isEarly = (candidate: Replica, command: IncomingCommand): boolean =>
    isUnknownTo(candidate, command) && candidate.timestamp <= command.origin.source.timestamp;
  // By clocks that differ, a state may seem to be earlier than a record that was decided before it: then, from the first.
  for (const fits of [isEarly, () => false]) {
    const open = searches.filter(({ answer }) => answer.kind === 'contradicted');
    if (open.length > 0) await findRefusals(store, replicas, deviceId, open, fits, options);
  }
  const answers = searches.map(({ command, answer, byId }): Recalled => {
    if (answer.kind === 'contradicted') {
      // On no state would it be refused, so it was the store that did not take it.
      return { kind: 'refused', refusal: TOO_LARGE, lastEvent: answer.lastEvent };
    }
    const isRepeat = answer.kind === 'unknown' && recogniseById(replica, command.origin).kind === 'repeat';
    return isRepeat ? (byId ?? UNKNOWN) : answer;
  });
  return { answers, replica };
}

/**
 * Commands that were decided and left no trace were refused, or changed nothing. Where they would be recorded on the
 * state just before the next command of their partition, others had changed it meanwhile: an earlier state is looked
 * for on which they would not, the latest that was there when the record was sent, else the first one after that. To
 * decide them on the state of now would let them overtake what came after them.
 *
 * @param isEarly whether the search for a command may begin at a state
 */
async function findRefusals(
  store: EventStore,
  replicas: Pick<Replicas, 'start'>,
  deviceId: string,
  searches: readonly Search[],
  isEarly: (candidate: Replica, command: IncomingCommand) => boolean,
  options: DecideOptions,
): Promise<void> {
  const replica = await replicas.start(deviceId, {
    fits: (candidate) => searches.every(({ command }) => isEarly(candidate, command)),
  });
  let open = searches;
  const found = new Map<Search, Recalled>();
  const look = (): void => {
    for (const search of open) {
      const wasThere = replica.timestamp <= search.command.origin.source.timestamp;
      if (found.has(search) && !wasThere) continue;
      const answer = decideAgain(replica, search, options);
      if (answer.kind === 'accepted' || answer.kind === 'refused') found.set(search, answer);
    }
  };
  look();
  for await (const stored of readCommands(store, deviceId, replica.revision + 1)) {
    const { source } = stored.origin;
    const ofLog = open.filter(({ command }) => logOf(command.origin.source) === logOf(source));
    const decided = new Set(ofLog.filter((search) => offsetOf(search) < source.offset));
    open = open.filter((search) => !decided.has(search));
    if (open.length === 0) break;
    // What came before it in its partition was decided before it.
    for (const search of ofLog) if (!decided.has(search)) found.delete(search);
    stored.events.forEach((event, index) =>
      evolve(replica, event, stored.origin, stored.firstRevision + index),
    );
    look();
  }
  for (const [search, answer] of found) search.answer = answer;
}

/**
 * True where nothing that `recall` looks for is in the replica's past: neither the command's own record, nor a later
 * one of its partition, which would tell that it was decided before that, nor the latest command of its message id.
 */
function isUnknownTo(replica: Replica, { origin }: IncomingCommand): boolean {
  const { source, fingerprint, messageId } = origin;
  const mark = replica.sources.get(sourceKey(source.topic, source.partition));
  if (mark !== undefined && mark.maxOffset >= source.offset) return false;
  // With another body, or forgotten, an earlier one is not what the id stands for when it is asked.
  return messageId === undefined || replica.commands?.get(messageId) !== fingerprint;
}

/** True where the stored command is this one: the same record, read again. */
function isSame({ origin }: IncomingCommand, { origin: { source, fingerprint } }: StoredCommand): boolean {
  return (
    source.topic === origin.source.topic &&
    source.partition === origin.source.partition &&
    isRecordedAs({ ...source, fingerprint }, origin.source, origin.fingerprint)
  );
}

function hasSameId({ origin }: IncomingCommand, stored: StoredCommand): boolean {
  const { messageId, fingerprint } = stored.origin;
  return messageId !== undefined && messageId === origin.messageId && fingerprint === origin.fingerprint;
}

/** Finds what a stored command says of the searches without looking at each: a pass costs events plus searches. */
class SearchIndex {
  private readonly byPlace = new Map<string, Search[]>();
  private readonly byMessageId = new Map<string, Search[]>();
  /** By life of a partition, in the order of their offsets; those before `next` are decided. */
  private readonly byLog = new Map<string, { readonly inOrder: Search[]; next: number }>();

  constructor(searches: readonly Search[]) {
    for (const search of searches) {
      const { source, messageId } = search.command.origin;
      listIn(this.byPlace, placeOf(source)).push(search);
      if (messageId !== undefined) listIn(this.byMessageId, messageId).push(search);
      const key = logOf(source);
      const log = this.byLog.get(key);
      if (log === undefined) this.byLog.set(key, { inOrder: [search], next: 0 });
      else log.inOrder.push(search);
    }
    for (const { inOrder } of this.byLog.values()) inOrder.sort((a, b) => offsetOf(a) - offsetOf(b));
  }

  /** Those that were decided before this one, being earlier in the same life of its partition; each is told once. */
  decidedBefore({ origin: { source } }: StoredCommand): Search[] {
    const log = this.byLog.get(logOf(source));
    if (log === undefined) return [];
    const from = log.next;
    while (log.next < log.inOrder.length && offsetOf(log.inOrder[log.next] as Search) < source.offset)
      log.next++;
    return log.inOrder.slice(from, log.next);
  }

  thatMayBe(stored: StoredCommand): Search[] {
    const { source, messageId } = stored.origin;
    const samePlace = this.byPlace.get(placeOf(source)) ?? [];
    const sameId = (messageId === undefined ? undefined : this.byMessageId.get(messageId)) ?? [];
    return [
      ...samePlace.filter(({ command }) => isSame(command, stored)),
      ...sameId.filter(({ command }) => hasSameId(command, stored) && !isSame(command, stored)),
    ];
  }
}

function offsetOf(search: Search): number {
  return search.command.origin.source.offset;
}

function placeOf({ topic, partition, offset }: Source): string {
  return `${topic}/${partition}/${offset}`;
}

function logOf({ topic, partition, log }: Source): string {
  return `${topic}/${partition}/${log}`;
}

function listIn(map: Map<string, Search[]>, key: string): Search[] {
  let list = map.get(key);
  if (list === undefined) map.set(key, (list = []));
  return list;
}

function decideAgain(
  replica: Replica,
  { command, byId }: Search,
  options: DecideOptions,
): Recalled | Contradicted {
  const { content, origin } = command;
  const lastEvent = replica.timestamp;
  const recognition = recogniseById(replica, origin);
  if (recognition.kind === 'reused') return { kind: 'refused', refusal: recognition.refusal, lastEvent };
  if (recognition.kind === 'repeat') return byId ?? UNKNOWN;
  if (content.kind === 'malformed') return { kind: 'refused', refusal: content.refusal, lastEvent };
  const decision = decide(replica, content, lastEvent, options);
  if (decision.kind === 'refused') return { kind: 'refused', refusal: decision.refusal, lastEvent };
  if (decision.events.length === 0 && content.kind === 'update') {
    return { kind: 'accepted', response: respondUnchanged(replica, content) };
  }
  return { kind: 'contradicted', lastEvent };
}
