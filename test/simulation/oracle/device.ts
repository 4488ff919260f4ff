import { type RecordedEvent } from '../../../src/application/ports/event-store.js';
import {
  acceptedOf,
  apply,
  deltaAfter,
  documentsOf,
  gotten,
  isMap,
  type Json,
  type JsonMap,
  mergePatch,
  NOTHING,
  remove,
  type Shadow,
} from '../../unit/support/oracle.js';
import { equal } from './equal.js';
import { type Command, type Commit, type Sent } from './sent.js';

/** What a device's row must show after one of its events. */
export interface Moment {
  readonly version: number;
  readonly exists: boolean;
  readonly timestamp: number;
  readonly reported: JsonMap;
  readonly desired: JsonMap;
}

export interface Rules {
  /** Two groups, each with an instance, on one event store. */
  readonly hasRivals: boolean;
  readonly instanceCount: number;
  readonly maxStateBytes: number;
  readonly maxAppendBytes: number | undefined;
  readonly unchangedUpdates: 'record' | 'skip';
  readonly publishDocuments: boolean;
}

/** What an answer says: that of a command which is recorded, or that it is refused, or changes nothing. */
export type Verdict = number | 'recorded' | 'unchanged';

const FIRST: Moment = { version: 0, exists: false, timestamp: 0, reported: {}, desired: {} };

/** One device as the log has it, by the contract and the second implementation of it. */
export class DeviceOracle {
  /** After so many commands. */
  readonly shadows: Shadow[] = [NOTHING];
  readonly commits: Commit[] = [];
  /** After each event. */
  readonly moments: Moment[] = [];
  private readonly byMessageId = new Map<string, Commit>();
  /** By topic, of which all of a device's commands are in one partition: the recorded command with the greatest first offset. */
  private readonly furthest = new Map<string, Sent>();
  /** What a get shows after so many commands, as far as somebody asked. */
  private readonly shown: (Json | undefined)[] = [];
  /** By topic: how many of its commits have had all their outputs for the first time. */
  readonly told = new Map<string, number>();

  constructor(
    readonly id: string,
    private readonly rules: Rules,
  ) {}

  get last(): Moment {
    return this.moments.at(-1) ?? FIRST;
  }

  get shadow(): Shadow {
    return this.shadows.at(-1) ?? NOTHING;
  }

  /** The command that was recorded with this message id. */
  repeated({ messageId }: Command): Commit | undefined {
    return messageId === undefined ? undefined : this.byMessageId.get(messageId);
  }

  /** What the command must be answered where it is decided after `index` commands of the device. */
  verdictAfter(index: number, command: Command): Verdict {
    if (typeof command.verdict === 'number') return command.verdict;
    const shadow = this.shadows[index] ?? NOTHING;
    const known = this.repeated(command);
    if (known !== undefined && known.index < index) {
      return sameBody(known.sent.command, command) ? 'recorded' : 409;
    }
    const { request, condition } = command;
    if (
      typeof condition === 'number' &&
      (condition !== shadow.version || (request.version ?? condition) !== condition)
    ) {
      return 409;
    }
    if (request.version !== undefined && request.version !== shadow.version) return 409;
    if (condition === true && !shadow.exists) return 409;
    if (command.channel === 'delete') return shadow.exists ? 'recorded' : 404;
    const after = apply(shadow, request, shadow.timestamp, this.rules.maxStateBytes);
    if ('code' in after) return after.code;
    if (this.isTooLarge(command)) return 413;
    const isUnchanged =
      this.rules.unchangedUpdates === 'skip' &&
      shadow.exists &&
      command.messageId === undefined &&
      equal(after.reported, shadow.reported) &&
      equal(after.desired, shadow.desired);
    return isUnchanged ? 'unchanged' : 'recorded';
  }

  /** Beyond the store's limit: commands are drawn so that none comes near it. */
  isTooLarge(command: Command): boolean {
    return (command.value?.length ?? 0) > (this.rules.maxAppendBytes ?? Infinity);
  }

  /**
   * Takes the events of one command, in the order of the log.
   *
   * @returns what is wrong with them, in one line; null: nothing
   */
  record(sent: Sent, events: readonly RecordedEvent[]): string | null {
    const { command } = sent;
    const before = this.shadow;
    if (sent.commit !== null) return `${sent.id} is recorded twice`;
    if (this.repeated(command) !== undefined) return `${sent.id} is recorded, and its message id was already`;
    const furthest = this.furthest.get(sent.topic);
    if (furthest !== undefined && (furthest.offsets[0] ?? -1) > (sent.offsets.at(-1) ?? Infinity))
      return `${sent.id} is recorded after ${furthest.id}, which came after it`;
    const verdict = this.verdictAfter(this.commits.length, command);
    if (verdict !== 'recorded')
      return `${sent.id} is recorded at version ${before.version}, and must be ${verdict}`;
    const read = events.map(({ type, data, revision }) => ({
      type,
      revision,
      data: JSON.parse(data.toString()) as {
        version: number;
        timestamp: number;
        state?: Json;
        scope?: string;
      },
    }));
    const [first] = read;
    if (first === undefined) return `${sent.id} has no event`;
    const { version, timestamp } = first.data;
    const isDelete = command.channel === 'delete';
    if (version !== before.version + (isDelete ? 0 : 1)) {
      return `${this.id} goes from version ${before.version} to ${version}`;
    }
    if (timestamp < before.timestamp)
      return `${this.id} goes back in time from ${before.timestamp} to ${timestamp}`;
    const types = read
      .map(({ type, data }) => `${type}${data.scope === undefined ? '' : ` ${data.scope}`}`)
      .join();
    if (types !== this.typesOf(command)) return `${sent.id} is recorded as ${types}`;
    for (const { type, data, revision } of read) {
      if (revision !== this.moments.length) return `${this.id} goes on with revision ${revision}`;
      if (data.version !== version || data.timestamp !== timestamp)
        return `${sent.id} has events of two versions`;
      this.moments.push(this.momentAfter(type, data));
    }
    return isDelete ? this.takeDelete(sent, timestamp) : this.takeUpdate(sent, timestamp);
  }

  private typesOf({ channel, request: { state } }: Command): string {
    if (channel === 'delete') return 'ReplicaDeleted';
    if (state === null) return 'ReportedStateChanged all,DesiredStateChanged all';
    const types = [
      ...(state.reported === undefined ? [] : ['ReportedStateChanged']),
      ...(state.desired === undefined ? [] : ['DesiredStateChanged']),
    ];
    return types.length === 0 ? 'ReportedStateChanged none' : types.join();
  }

  private momentAfter(type: string, data: { version: number; timestamp: number; state?: Json }): Moment {
    const { version, timestamp, state } = data;
    const before = this.last;
    if (type === 'ReplicaDeleted') return { ...FIRST, version, timestamp };
    const name = type === 'ReportedStateChanged' ? 'reported' : 'desired';
    const section = isMap(state) ? (mergePatch(before[name], state) as JsonMap) : {};
    return { ...before, version, timestamp, exists: true, [name]: section };
  }

  private takeUpdate(sent: Sent, timestamp: number): string | null {
    const { request } = sent.command;
    const before = this.shadow;
    const after = apply(before, request, timestamp, Infinity);
    if ('code' in after) return `${sent.id} must be ${after.code}`;
    const { last, rules } = this;
    if (!equal(after.reported, last.reported) || !equal(after.desired, last.desired)) {
      return `${sent.id} asks for another state than its events have`;
    }
    this.keep(after, {
      sent,
      index: this.commits.length,
      version: after.version,
      accepted: acceptedOf(request, after),
      delta: deltaAfter(before, after, request),
      documents: rules.publishDocuments ? documentsOf(before, after, request) : undefined,
    });
    return null;
  }

  private takeDelete(sent: Sent, timestamp: number): null {
    const { clientToken } = sent.command.request;
    const { version } = this.shadow;
    this.keep(remove(this.shadow, timestamp), {
      sent,
      index: this.commits.length,
      version,
      accepted: { version, timestamp, ...(clientToken === undefined ? {} : { clientToken }) },
      delta: undefined,
      documents: this.rules.publishDocuments ? null : undefined,
    });
    return null;
  }

  private keep(shadow: Shadow, commit: Commit): void {
    this.shadows.push(shadow);
    this.commits.push(commit);
    const { sent } = commit;
    sent.commit = commit;
    const { topic, command, offsets } = sent;
    const before = this.furthest.get(topic)?.offsets[0] ?? -1;
    if ((offsets[0] ?? -1) >= before) this.furthest.set(topic, sent);
    if (command.messageId !== undefined) this.byMessageId.set(command.messageId, commit);
  }

  /** The answer to a get after `index` commands, but for its time; undefined: there is nothing to show. */
  shownAfter(index: number): Json | undefined {
    const shadow = this.shadows[index] ?? NOTHING;
    if (!shadow.exists) return undefined;
    return (this.shown[index] ??= gotten(shadow, 0));
  }
}

export function sameBody(a: Command, b: Command): boolean {
  if (a.channel !== b.channel || a.value === null || b.value === null)
    return a.channel === b.channel && a.value === b.value;
  return a.value.equals(b.value);
}
