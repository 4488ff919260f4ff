import { type Command, type Refusal, refusals, type UpdateCommand } from './commands.js';
import { type Origin, type ReplicaEvent, type SectionChanged, type SectionName } from './events.js';
import { isEmpty, jsonBytes, type JsonObject } from './json.js';
import { type Limits } from './limits.js';
import { growth, wouldChange } from './merge.js';
import { type Replica } from './replica.js';
import { sourceKey } from './evolve.js';

export interface DecideOptions {
  readonly limits: Limits;
  /** Record an update that changes no value (the default), or accept it and record nothing. */
  readonly unchangedUpdates: 'record' | 'skip';
}

export type Decision =
  /** To be recorded, all in one append. Empty: accepted with nothing to record (`unchangedUpdates: 'skip'`). */
  | { readonly kind: 'accepted'; readonly events: readonly ReplicaEvent[] }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/**
 * What is known of a command's past:
 * - `new`: it was never recorded;
 * - `repeat`: it was recorded;
 * - `past`: its partition has already been read beyond it. It may have been recorded, or been refused or skipped
 *   then; only the history tells;
 * - `reused`: its message id belongs to another command.
 */
export type Recognition =
  | { readonly kind: 'new' }
  | { readonly kind: 'repeat' }
  | { readonly kind: 'past' }
  | { readonly kind: 'reused'; readonly refusal: Refusal };

const NEW = { kind: 'new' } as const;
const REPEAT = { kind: 'repeat' } as const;
const PAST = { kind: 'past' } as const;

/** Recognises a command that arrives again, by its place and bytes or by its message id. */
export function recognise(replica: Replica, origin: Origin): Recognition {
  const { source, fingerprint } = origin;
  const mark = replica.sources.get(sourceKey(source.topic, source.partition));
  if (mark !== undefined && source.offset <= mark.maxOffset) {
    if (isRecordedAs(mark, source, fingerprint)) return REPEAT;
    // Within one life of a topic offsets only grow. In another life the offset proves nothing; but a repeat bears
    // the record timestamp that was recorded, which cannot be later than the latest of them. And what an earlier log
    // had may come again under the latest log's name: the two may be one life.
    const readBeyond =
      source.log === mark.log
        ? source.offset <= mark.offset ||
          (source.offset <= mark.priorOffset && source.timestamp <= mark.priorTimestamp)
        : source.timestamp <= mark.maxTimestamp;
    if (readBeyond) return PAST;
  }
  return recogniseById(replica, origin);
}

/** Recognises a command by its message id alone: for one whose place the history does not know. */
export function recogniseById(
  replica: Replica,
  { messageId, fingerprint }: Origin,
): Exclude<Recognition, { kind: 'past' }> {
  if (messageId === undefined) return NEW;
  const known = replica.commands?.get(messageId);
  if (known === undefined) return NEW;
  return known === fingerprint ? REPEAT : { kind: 'reused', refusal: refusals.messageIdReused(messageId) };
}

/** True where a recorded place and fingerprint are those of this command: the same record, read again. */
export function isRecordedAs(
  recorded: { readonly offset: number; readonly timestamp: number; readonly fingerprint: string },
  source: { readonly offset: number; readonly timestamp: number },
  fingerprint: string,
): boolean {
  return (
    recorded.offset === source.offset &&
    recorded.timestamp === source.timestamp &&
    recorded.fingerprint === fingerprint
  );
}

/**
 * Decides a command that `recognise` calls new. Changes nothing.
 *
 * @param now milliseconds since the epoch; an event never bears an earlier time than the one before it
 */
export function decide(replica: Replica, command: Command, now: number, options: DecideOptions): Decision {
  if (command.version !== undefined && command.version !== replica.version) {
    return refused(refusals.versionConflict);
  }
  if (command.mustExist === true && !replica.exists) return refused(refusals.versionConflict);
  const timestamp = Math.max(now, replica.timestamp);
  switch (command.kind) {
    case 'update':
      return decideUpdate(replica, command, timestamp, options);
    case 'delete': {
      if (!replica.exists) return refused(refusals.notFound(replica.deviceId));
      const { version } = replica;
      return {
        kind: 'accepted',
        events: [{ type: 'ReplicaDeleted', version, timestamp, ...token(command) }],
      };
    }
  }
}

function decideUpdate(
  replica: Replica,
  command: UpdateCommand,
  timestamp: number,
  options: DecideOptions,
): Decision {
  const { state } = command;
  const reported = state === null ? null : state.reported;
  const desired = state === null ? null : state.desired;
  const texts = {
    reported: command.texts?.reported ?? textOf(reported),
    desired: command.texts?.desired ?? textOf(desired),
  };
  const bytesAtMost =
    replica.bytesAtMost +
    mostBytes(texts.reported, command.texts?.reported) +
    mostBytes(texts.desired, command.texts?.desired);
  let sizes: Sizes = { bytesAtMost };
  // Far from the limit a bound on the size will do; near it, it is counted and kept exactly.
  if (bytesAtMost > options.limits.maxStateBytes / 2) {
    const reportedBytes = bytesAfter(replica, 'reported', reported);
    const desiredBytes = bytesAfter(replica, 'desired', desired);
    const total = reportedBytes + desiredBytes;
    // A state that is over the limit already (the limit was lowered) may still shrink.
    if (total > options.limits.maxStateBytes && total >= currentBytes(replica)) {
      return refused(refusals.stateTooLarge(total, options.limits.maxStateBytes));
    }
    sizes = { bytesAtMost: total, reported: reportedBytes, desired: desiredBytes };
  }
  if (
    options.unchangedUpdates === 'skip' &&
    // What a client may send again must be remembered, or its repeat would undo what came between.
    command.origin.messageId === undefined &&
    replica.exists &&
    !sectionWouldChange(replica, 'reported', reported) &&
    !sectionWouldChange(replica, 'desired', desired)
  ) {
    return { kind: 'accepted', events: [] };
  }
  return { kind: 'accepted', events: eventsOf(command, replica.version + 1, timestamp, texts, sizes) };
}

/** What is known of the sizes after an update: see {@link SectionChanged}. */
interface Sizes extends Partial<Record<SectionName, number>> {
  readonly bytesAtMost?: number;
}

function textOf(section: JsonObject | null | undefined): string | undefined {
  return section === undefined ? undefined : JSON.stringify(section);
}

/**
 * A merge adds no more than the patch has. No character of JSON takes more than three bytes for each of its units; in a
 * text that was taken from the request each is one byte.
 */
function mostBytes(text: string | undefined, taken: string | undefined): number {
  if (text === undefined) return 0;
  return taken === undefined ? 3 * text.length : text.length;
}

/**
 * The events of an accepted update: one for each section that it names, reported first, and one that changes nothing
 * where it names none.
 *
 * @param texts the sections as JSON, where they have been made
 */
export function eventsOf(
  command: UpdateCommand,
  version: number,
  timestamp: number,
  texts: Partial<Record<SectionName, string | undefined>> = {},
  sizes: Sizes = {},
): SectionChanged[] {
  const { state } = command;
  const { bytesAtMost } = sizes;
  const common = { version, timestamp, ...token(command) };
  if (state !== null && state.reported === undefined && state.desired === undefined) {
    return [{ type: 'ReportedStateChanged', ...common, state: {}, scope: 'none', bytesAtMost }];
  }
  const events: SectionChanged[] = [];
  for (const name of ['reported', 'desired'] as const) {
    const section = state === null ? null : state[name];
    if (section === undefined) continue;
    events.push({
      type: name === 'reported' ? 'ReportedStateChanged' : 'DesiredStateChanged',
      ...common,
      state: section,
      ...(state === null ? { scope: 'all' as const } : {}),
      stateJson: texts[name],
      bytesAfter: sizes[name],
      bytesAtMost,
    });
  }
  return events;
}

function refused(refusal: Refusal): Decision {
  return { kind: 'refused', refusal };
}

function token(command: Command): { clientToken?: string } {
  return command.clientToken === undefined ? {} : { clientToken: command.clientToken };
}

type Patch = NonNullable<UpdateCommand['state']>[SectionName];

/** The section's size now, counted only where the replica does not know it. */
function sectionBytes(replica: Replica, name: SectionName): number {
  const known = name === 'reported' ? replica.reportedBytes : replica.desiredBytes;
  if (known >= 0) return known;
  return isEmpty(replica[name]) ? 0 : jsonBytes(replica[name]);
}

function currentBytes(replica: Replica): number {
  return sectionBytes(replica, 'reported') + sectionBytes(replica, 'desired');
}

function bytesAfter(replica: Replica, name: SectionName, patch: Patch): number {
  if (patch === null) return 0;
  const bytes = sectionBytes(replica, name);
  if (patch === undefined) return bytes;
  // An absent section counts nothing, an empty object two bytes.
  const after = (bytes === 0 ? 2 : bytes) + growth(replica[name], patch);
  return after === 2 ? 0 : after;
}

function sectionWouldChange(replica: Replica, name: SectionName, patch: Patch): boolean {
  if (patch === undefined) return false;
  return patch === null ? !isEmpty(replica[name]) : wouldChange(replica[name], patch);
}
