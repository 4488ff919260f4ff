import { type RecordedEvent } from '../../../src/application/ports/event-store.js';
import { type DeviceRow } from '../../../src/application/ports/read-model.js';
import { type Json, type JsonMap } from '../../unit/support/oracle.js';
import { DeviceOracle, type Moment, type Rules, sameBody } from './device.js';
import { equal } from './equal.js';
import { differenceFromFold, type Rows } from './fold.js';
import { type Command, type Commit, Sent } from './sent.js';

/** A promise was broken: the run ends here. */
export class BrokenPromise extends Error {
  constructor(
    readonly invariant: string,
    message: string,
  ) {
    super(`${invariant}: ${message}`);
    this.name = 'BrokenPromise';
  }
}

const STREAM_PREFIX = 'deviceState-';

/** What of an output identifies it, and what is in it. */
export interface SeenOutput {
  readonly channel: string;
  readonly key: Buffer | string | null;
  readonly value: Buffer | string | null;
  readonly headers: Readonly<Record<string, unknown>>;
}

/**
 * Is told of everything that becomes durable or visible, in the order in which it does, and holds it against the
 * contract at once. It knows the commands that were sent, and nothing of how they are worked on.
 */
export class Oracle {
  readonly sent = new Map<string, Sent>();
  readonly devices = new Map<string, DeviceOracle>();
  /** The records of each partition of a command topic. */
  private readonly records = new Map<string, Sent[]>();
  /** By command and CloudEvents id: what came with it first, and its headers. */
  private readonly exact = new Map<string, string>();
  /** By CloudEvents id: what came with it first. */
  private readonly texts = new Map<string, string>();
  private eventCount = 0;
  checks = 0;

  constructor(private readonly rules: Rules) {}

  device(id: string): DeviceOracle {
    let device = this.devices.get(id);
    if (device === undefined) this.devices.set(id, (device = new DeviceOracle(id, this.rules)));
    return device;
  }

  /** To be called before anybody else can see the command. */
  sending(id: string, command: Command, topic: string, partition: number): Sent {
    const commits = command.key === null ? 0 : this.device(command.key).commits.length;
    const sent = new Sent(id, command, topic, partition, commits);
    this.sent.set(id, sent);
    return sent;
  }

  /** A record stands in a command topic. */
  arrived(id: string, topic: string, partition: number, offset: number): void {
    const sent = this.find(id);
    sent.offsets.push(offset);
    const key = `${topic}/${partition}`;
    const records = this.records.get(key);
    if (records === undefined) this.records.set(key, [sent]);
    else records.push(sent);
  }

  /** What was not answered by now was in memory only, and that is gone. */
  forgetUnanswered(): void {
    for (const sent of this.sent.values()) if (!this.hasEnded(sent)) sent.mayBeLost = true;
  }

  /** Events are durable. */
  recorded(events: readonly RecordedEvent[]): void {
    this.eventCount += events.length;
    for (let from = 0; from < events.length;) {
      const metadata = metadataOf(events[from] as RecordedEvent);
      let to = from + 1;
      while (
        to < events.length &&
        events[to]?.stream === events[from]?.stream &&
        metadataOf(events[to] as RecordedEvent).$causationId === metadata.$causationId
      ) {
        to++;
      }
      this.recordedOf(metadata.$correlationId, events.slice(from, to));
      from = to;
    }
  }

  private recordedOf(id: string, events: readonly RecordedEvent[]): void {
    this.checks++;
    const sent = this.find(id);
    const deviceId = events[0]?.stream.slice(STREAM_PREFIX.length) ?? '';
    if (sent.command.key !== deviceId)
      throw new BrokenPromise('recording', `${id} is recorded for ${deviceId}`);
    const device = this.device(deviceId);
    const wrong = device.record(sent, events);
    if (wrong !== null) throw new BrokenPromise('recording', wrong);
  }

  /** An output stands in its topic, or was told to listeners. */
  told(output: SeenOutput): void {
    this.checks++;
    const { channel, value } = output;
    const sent = this.find(textOf(output.headers['correlation-id']) ?? '');
    const { command } = sent;
    if (channel !== 'dead-letter' && String(output.key) !== command.key) {
      throw new BrokenPromise('outputs', `${channel} of ${sent.id} goes to ${String(output.key)}`);
    }
    const text = value === null ? 'null' : value.toString();
    const exact = `${text}\n${headersOf(output)}`;
    const id = textOf(output.headers['ce_id']) ?? `${sent.id}:${channel}`;
    const before = this.exact.get(`${sent.id} ${id}`);
    if (before === exact) return;
    if (channel.startsWith('get.')) {
      this.checkGet(sent, channel, text);
    } else if (channel === 'dead-letter') {
      if (command.verdict !== 'dead-letter')
        throw new BrokenPromise('outputs', `${sent.id} is a dead letter`);
    } else if (channel.endsWith('.rejected')) {
      this.checkRefusal(sent, text);
      if (before !== undefined) this.checkSameRefusal(sent, exact, before);
    } else {
      this.checkOutput(sent, channel, text, before !== undefined);
      this.checkSameText(id, sent, channel, exact, before);
    }
    this.exact.set(`${sent.id} ${id}`, exact);
    sent.outputs.add(channel);
  }

  /** Whoever asked by request has the answer. */
  replied(sent: Sent, accepted: boolean, value: Buffer): void {
    this.checks++;
    const { channel } = sent.command;
    const text = value.toString();
    if (channel === 'get') this.checkGet(sent, accepted ? 'get.accepted' : 'get.rejected', text);
    else if (accepted) this.checkOutput(sent, `${channel}.accepted`, text, true);
    else this.checkRefusal(sent, text);
  }

  /** Whoever is told twice of one thing is told the same, and whoever sent it twice, too. */
  private checkSameText(
    id: string,
    sent: Sent,
    channel: string,
    exact: string,
    before: string | undefined,
  ): void {
    const isRecordedByRival = this.rules.hasRivals && this.commitOf(sent) !== undefined;
    const mayBeAnother = isRecordedByRival || this.mayDiffer(sent, this.device(sent.command.key ?? ''));
    if (sent.wasUnchanged && mayBeAnother) return;
    if (before !== undefined && before !== exact) {
      throw new BrokenPromise(
        'same text',
        `${channel} of ${sent.id} came again as ${exact}, and was ${before}`,
      );
    }
    const text = exact.slice(0, exact.indexOf('\n'));
    const first = this.texts.get(id);
    if (first !== undefined && first !== text) {
      throw new BrokenPromise(
        'same text',
        `${channel} of ${sent.id} came again as ${text}, and was ${first}`,
      );
    }
    this.texts.set(id, text);
  }

  private checkOutput(sent: Sent, channel: string, text: string, isRepeat: boolean): void {
    const { command } = sent;
    const device = this.device(command.key ?? '');
    const commit = this.commitOf(sent);
    if (commit === undefined) return this.checkUnchanged(sent, device, channel, text);
    const expected = channel.endsWith('.accepted')
      ? commit.accepted
      : channel === 'update.delta'
        ? commit.delta
        : commit.documents;
    const isExpected = expected !== undefined && equal(JSON.parse(text) as Json, expected);
    const mayBeOfRival = this.rules.hasRivals && channel !== 'update.documents';
    if (!isExpected && mayBeOfRival && this.isUnchanged(sent, device, text, commit.index)) {
      // The other group has recorded it, on a later state: as with refusals, both are told.
      sent.wasUnchanged = true;
      return;
    }
    if (expected === undefined) throw new BrokenPromise('outputs', `${channel} of ${sent.id} is not due`);
    if (!isExpected) {
      throw new BrokenPromise(
        'outputs',
        `${channel} of ${sent.id} is ${text}, not ${JSON.stringify(expected)}`,
      );
    }
    if (commit.sent === sent && !isRepeat) this.checkOrder(device, commit, channel);
  }

  /** That which comes for the first time comes in the order of versions, and none is left out. */
  private checkOrder(device: DeviceOracle, commit: Commit, channel: string): void {
    const { topic } = commit.sent;
    const key = `${channel}/${topic}`;
    const from = device.told.get(key) ?? 0;
    for (let index = from; index < commit.index; index++) {
      const earlier = device.commits[index] as Commit;
      if (earlier.sent.topic !== topic || !isDue(earlier, channel)) continue;
      if (!earlier.sent.outputs.has(channel) && !earlier.sent.mayBeLost && !this.isOfRivals(earlier.sent)) {
        throw new BrokenPromise(
          'order',
          `${channel} of ${device.id} comes for version ${commit.version} before that for ${earlier.version}`,
        );
      }
    }
    device.told.set(key, Math.max(from, commit.index));
  }

  /**
   * Two groups on one store are not kept from it: what one has refused, or found to change nothing, the other records on
   * another state, and tells.
   */
  private isOfRivals({ command, outputs, wasUnchanged }: Sent): boolean {
    return this.rules.hasRivals && (wasUnchanged || outputs.has(`${command.channel}.rejected`));
  }

  /** Accepted, and recorded nowhere: there was nothing to record. */
  private checkUnchanged(sent: Sent, device: DeviceOracle, channel: string, text: string): void {
    if (!this.isUnchanged(sent, device, text)) {
      throw new BrokenPromise(
        'accepted means durable',
        `${channel} of ${sent.id} is told, and nothing is recorded`,
      );
    }
    sent.wasUnchanged = true;
  }

  /**
   * Whether it changed nothing at a time at which it may have been decided, and the answer is of then.
   *
   * @param last after how many commands of its device it may have been decided at the latest
   */
  private isUnchanged(sent: Sent, device: DeviceOracle, text: string, last = Infinity): boolean {
    const document = JSON.parse(text) as { version: number } | null;
    return this.window(sent, device).some(
      (index) =>
        index <= last &&
        device.verdictAfter(index, sent.command) === 'unchanged' &&
        device.shadows[index]?.version === document?.version,
    );
  }

  private checkRefusal(sent: Sent, text: string): void {
    const { command } = sent;
    const device = this.device(command.key ?? '');
    const { code } = JSON.parse(text) as { code: number };
    // One that is recorded may be refused as well: by a zombie that had decided before, or as one of two records of a request.
    const isAlone = this.rules.instanceCount === 1 && sent.offsets.length < 2;
    if (isAlone && this.commitOf(sent)?.sent === sent)
      throw new BrokenPromise('outputs', `${sent.id} is refused, and was recorded`);
    const window = this.window(sent, device);
    const isRight = window.some((index) => device.verdictAfter(index, command) === code);
    sent.wasRefused = true;
    if (!isRight) {
      const due = [...new Set(window.map((index) => device.verdictAfter(index, command)))].join(' or ');
      throw new BrokenPromise('decision', `${sent.id} is refused with ${code}, and must be ${due}`);
    }
  }

  private checkSameRefusal(sent: Sent, exact: string, before: string): void {
    const device = this.device(sent.command.key ?? '');
    if (this.mayDiffer(sent, device)) return;
    throw new BrokenPromise(
      'same text',
      `the refusal of ${sent.id} came again as ${exact}, and was ${before}`,
    );
  }

  /**
   * What is decided anew, since nobody remembers it, may be another where the device's commands come by several topics;
   * and where that has made one accepted that was refused before.
   */
  private mayDiffer(sent: Sent, device: DeviceOracle): boolean {
    return device.commits
      .slice(sent.commitsBefore)
      .some(({ sent: other }) => other.topic !== sent.topic || other.wasRefused);
  }

  private checkGet(sent: Sent, channel: string, text: string): void {
    const { command } = sent;
    const document = JSON.parse(text) as JsonMap & { code?: number; version?: number };
    if (typeof command.verdict === 'number') {
      if (document.code === command.verdict) return;
      throw new BrokenPromise('get', `${sent.id} is answered ${text}`);
    }
    const device = this.device(command.key ?? '');
    const { clientToken, ...rest } = document;
    const shown = channel === 'get.accepted' ? { ...rest, timestamp: 0 } : undefined;
    const isRight = clientToken === command.request.clientToken || (clientToken ?? null) === null;
    for (let index = sent.commitsBefore; index <= device.commits.length; index++) {
      if (isRight && equal(device.shownAfter(index), shown)) return;
    }
    throw new BrokenPromise(
      'get',
      `${sent.id} is shown ${text}, which ${device.id} never was since it asked`,
    );
  }

  /** After how many commands of its device a command may have been decided. */
  private window(sent: Sent, device: DeviceOracle): number[] {
    let first = sent.commitsBefore;
    let last = device.commits.length;
    const [firstOffset = -1] = sent.offsets;
    const lastOffset = sent.offsets.at(-1) ?? Infinity;
    for (const { sent: other, index } of device.commits) {
      if (other.topic !== sent.topic || other.partition !== sent.partition) continue;
      if (this.isOfRivals(other)) continue;
      if ((other.offsets.at(-1) ?? Infinity) < firstOffset) first = Math.max(first, index + 1);
      // Of two groups on one store one may have recorded later commands before the other comes to this one.
      else if (!this.rules.hasRivals && (other.offsets[0] ?? -1) > lastOffset) last = Math.min(last, index);
    }
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, step) => first + step);
  }

  /** What a command is answered by: its own record, or that of the first with its message id. */
  private commitOf(sent: Sent): Commit | undefined {
    if (sent.commit !== null) return sent.commit;
    const { command } = sent;
    if (command.key === null || command.verdict !== null) return undefined;
    const known = this.device(command.key).repeated(command);
    return known !== undefined && sameBody(known.sent.command, command) ? known : undefined;
  }

  /** True once all that it causes is there. */
  hasEnded(sent: Sent): boolean {
    const { command, outputs } = sent;
    const { channel } = command;
    if (command.verdict === 'dead-letter') return outputs.has('dead-letter');
    if (outputs.has(`${channel}.rejected`) && sent.commit === null) return true;
    if (!outputs.has(`${channel}.accepted`)) return false;
    const commit = this.commitOf(sent);
    if (commit === undefined) return true;
    return (
      (commit.delta === undefined || outputs.has('update.delta')) &&
      (commit.documents === undefined || outputs.has('update.documents'))
    );
  }

  /**
   * An offset is committed: all before it must have ended. Back it may go only by the member that committed the last one,
   * and did not have the answer: what it delivers again is recognised.
   */
  committed(topic: string, partition: number, offset: number, before: number, isOfSameMember: boolean): void {
    const records = this.records.get(`${topic}/${partition}`) ?? [];
    this.checks++;
    if ((offset < before && !isOfSameMember) || offset > records.length) {
      throw new BrokenPromise(
        'offsets',
        `${topic}[${partition}] goes from ${before} to ${offset} of ${records.length}`,
      );
    }
    for (const sent of records.slice(before, offset)) {
      if (this.hasEnded(sent) || this.isOfRivals(sent)) continue;
      throw new BrokenPromise(
        'offsets',
        `${topic}[${partition}] is committed to ${offset}, and ${sent.id} has no answer`,
      );
    }
  }

  /** Rows are what readers see. */
  projected(rows: Iterable<DeviceRow>): void {
    this.checks++;
    for (const row of rows) {
      const wrong = this.wrongWith(row);
      if (wrong !== null) throw new BrokenPromise('read model', wrong);
    }
  }

  private wrongWith(row: DeviceRow): string | null {
    const moment = this.device(row.deviceId).moments[row.revision];
    if (moment === undefined) return `${row.deviceId} is at revision ${row.revision}, which it never had`;
    if (row.broken !== null) return `${row.deviceId} is broken: ${row.broken}`;
    const text = JSON.parse(row.text) as JsonMap & { revision: number };
    const isRight =
      row.version === moment.version &&
      text.revision === row.revision &&
      Object.keys(moment).every((name) => equal(text[name], moment[name as keyof Moment]));
    if (isRight) return null;
    return `${row.deviceId} is shown as ${row.text} at revision ${row.revision}, not ${JSON.stringify(moment)}`;
  }

  /** When all is quiet: everything has ended, and the rows are those of the whole log. */
  finish(log: readonly RecordedEvent[], shown: Rows): void {
    for (const sent of this.sent.values()) {
      if (sent.offsets.length > 0 && !this.hasEnded(sent)) {
        throw new BrokenPromise('every command ends', `${sent.id} has no answer`);
      }
    }
    this.projected(shown.rows.values());
    const difference = differenceFromFold(log, shown);
    if (difference !== null) throw new BrokenPromise('read model', difference);
  }

  private find(id: string): Sent {
    const sent = this.sent.get(id);
    if (sent === undefined) throw new BrokenPromise('origin', `something is of nobody: ${id}`);
    return sent;
  }
}

function isDue({ delta, documents }: Commit, channel: string): boolean {
  if (channel === 'update.delta') return delta !== undefined;
  return channel === 'update.documents' ? documents !== undefined : true;
}

function metadataOf(event: RecordedEvent): { $correlationId: string; $causationId: string } {
  return JSON.parse(event.metadata.toString()) as { $correlationId: string; $causationId: string };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || Buffer.isBuffer(value) ? value.toString() : undefined;
}

function headersOf({ headers }: SeenOutput): string {
  let text = '';
  for (const name in headers) text += `${name}=${textOf(headers[name])}\n`;
  return text;
}
