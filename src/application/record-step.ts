import { type Refusal } from '../replica/commands.js';
import { decide, type DecideOptions, recognise, recogniseById } from '../replica/decide.js';
import { encodeData, encodeMetadata, streamOf } from '../replica/stored.js';
import { type Replica } from '../replica/replica.js';
import { applyAndRespond, respondUnchanged } from '../replica/respond.js';
import { Backoff } from './backoff.js';
import { BatchAbandoned, confirmBatch, keepBatchAlive, pauseBatch } from './batch.js';
import { clearPending, type DeviceWork, type Item } from './device-work.js';
import { commandIdOf, eventIdOf } from './identity.js';
import { type Outputs, refusalTime } from './outputs.js';
import { type CommandBatch } from './ports/bus.js';
import { type Clock } from './ports/clock.js';
import { type AppendResult, EventStoreError, type EventStore } from './ports/event-store.js';
import { type Observer } from './ports/observer.js';
import { recall, type Recalled, TOO_LARGE } from './recall.js';
import { type Replicas } from './replicas.js';

export interface RecordOptions extends DecideOptions {
  /** Publish `update.documents`. Default off: it costs the size of the document. */
  readonly publishDocuments: boolean;
}

export interface RecordDependencies {
  readonly store: EventStore;
  readonly replicas: Replicas;
  readonly outputs: Outputs;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly options: RecordOptions;
}

/** After so many conflicts in a row on one device there is a pause between the tries, which grows. */
const CONFLICTS_WITHOUT_PAUSE = 5;

/** How far the decisions of one device came: to the end or the next append, or to where the store must be asked. */
type Progress = 'decided' | 'recall' | 'prove';

/**
 * Decides the commands of a step, device by device, and appends the events of all devices together, until each
 * command is recorded or refused. The caller holds the devices' locks.
 */
export class RecordStep {
  constructor(private readonly deps: RecordDependencies) {}

  /** What is recorded stays so, also where this rejects later, with `BatchAbandoned`. */
  async record(batch: CommandBatch, works: readonly DeviceWork[]): Promise<void> {
    const backoff = new Backoff();
    let open = works;
    while (open.length > 0) {
      const waiting: Promise<void>[] = [];
      for (const work of open) {
        // What waits for the answer of an append that may have taken place must not be decided anew.
        if (work.pending.length > 0) continue;
        const advancing = this.tryAdvance(batch, work);
        if (advancing !== null) waiting.push(this.guarded(batch, work, advancing));
      }
      if (waiting.length > 0) await allEnded(waiting);
      const failed = await this.append(open.filter((work) => work.pending.length > 0));
      const before = open.length;
      open = open.filter((work) => work.settled < work.items.length);
      // What stands in the way of some is not in the way of all: the next trouble is a new one.
      if (open.length < before) backoff.reset();
      if (failed === null) {
        if (open.length > 0) await keepBatchAlive(batch);
        continue;
      }
      await pauseBatch(batch, this.deps.observer, 'append', failed, backoff);
    }
  }

  /** As {@link advance}; a device whose commands cannot even be decided must not hold up the others. */
  private tryAdvance(batch: CommandBatch, work: DeviceWork): Promise<void> | null {
    try {
      return this.advance(batch, work);
    } catch (error) {
      this.giveUp(work, error);
      return null;
    }
  }

  /** Takes the device's replica and decides as far as it goes; null: done without waiting for anything. */
  private advance(batch: CommandBatch, work: DeviceWork): Promise<void> | null {
    work.replica ??= this.deps.replicas.takeCached(work.deviceId);
    if (work.replica === undefined) return this.loadAndAdvance(batch, work);
    // After the state was read, and before it is decided on.
    if (!batch.isConfirmed()) return this.confirmAndAdvance(batch, work);
    switch (this.decideAll(work, work.replica)) {
      case 'decided':
        return null;
      case 'recall':
        return this.recallAndAdvance(batch, work);
      case 'prove':
        return this.proveAndAdvance(batch, work, work.replica);
    }
  }

  private async confirmAndAdvance(batch: CommandBatch, work: DeviceWork): Promise<void> {
    await confirmBatch(batch);
    await this.advance(batch, work);
  }

  private async loadAndAdvance(batch: CommandBatch, work: DeviceWork): Promise<void> {
    work.replica = await this.deps.replicas.load(work.deviceId);
    work.isProven = true;
    await this.advance(batch, work);
  }

  /**
   * Makes sure that what was decided without an append was decided on what the store has: another process may have
   * recorded something since this one kept the replica.
   */
  private async proveAndAdvance(batch: CommandBatch, work: DeviceWork, replica: Replica): Promise<void> {
    const { revision } = replica;
    try {
      await this.deps.replicas.catchUp(replica);
    } catch (error) {
      this.startOver(work);
      throw error;
    }
    if (replica.revision !== revision) this.startOver(work);
    work.replica = replica;
    work.isProven = true;
    await this.advance(batch, work);
  }

  /** Decides the device's next commands, as far as the replica and one append go. */
  private decideAll(work: DeviceWork, replica: Replica): Progress {
    const { options, clock } = this.deps;
    work.expectedRevision = replica.revision;
    for (; work.decided < work.items.length; work.decided++) {
      if (work.oneByOne && work.pending.length > 0) return 'decided';
      const item = work.items[work.decided] as Item;
      const { command } = item;
      const { content, origin } = command;
      if (item.recalled !== undefined && item.recalled.kind !== 'unknown') {
        this.answerRecalled(item, item.recalled);
        continue;
      }
      const recognition =
        item.recalled === undefined ? recognise(replica, origin) : recogniseById(replica, origin);
      if (recognition.kind === 'reused') {
        work.needsProof = true;
        this.refuse(item, replica.timestamp, recognition.refusal);
        continue;
      }
      if (recognition.kind !== 'new') {
        // The history must be asked, and has it only once what is pending here is recorded.
        item.recalled = undefined;
        if (work.pending.length > 0) return 'decided';
        if (work.needsProof && !work.isProven) return 'prove';
        work.settled = work.decided;
        return 'recall';
      }
      // Whatever a refusal says, its time is never before the device's last event.
      if (content.kind === 'malformed') {
        work.needsProof = true;
        this.refuse(item, replica.timestamp, content.refusal);
        continue;
      }
      if (item.isTooLarge) {
        work.needsProof = true;
        this.refuse(item, replica.timestamp, TOO_LARGE);
        continue;
      }
      const decision = decide(replica, content, clock(), options);
      if (decision.kind === 'refused') {
        work.needsProof = true;
        this.refuse(item, replica.timestamp, decision.refusal);
        continue;
      }
      const { outputs } = this.deps;
      item.outcome = 'accepted';
      if (decision.events.length === 0) {
        if (content.kind !== 'update') continue;
        work.needsProof = true;
        const response = respondUnchanged(replica, content);
        outputs.accepted(item.messages, command.message, work.deviceId, origin.commandId, response);
        continue;
      }
      work.pendingItems.push(item);
      const metadata = encodeMetadata(origin);
      decision.events.forEach((event, index) => {
        const data = encodeData(work.deviceId, event);
        const { type, version, timestamp } = event;
        work.pending.push({
          id: eventIdOf(origin.commandId, version, timestamp, index),
          type,
          data,
          metadata,
        });
      });
      const response = applyAndRespond(
        replica,
        decision.events,
        origin,
        replica.revision + 1,
        options.publishDocuments,
      );
      outputs.accepted(item.messages, command.message, work.deviceId, origin.commandId, response);
    }
    if (work.pending.length > 0) return 'decided';
    if (work.needsProof && !work.isProven) return 'prove';
    this.settle(work, replica);
    return 'decided';
  }

  /** Looks up, in one pass, all of the device's commands from here on that are known or may be. */
  private async recallAndAdvance(batch: CommandBatch, work: DeviceWork): Promise<void> {
    const { store, replicas, options, observer } = this.deps;
    const replica = work.replica as Replica;
    const asked: Item[] = [];
    for (const item of work.items.slice(work.decided)) {
      if (item.recalled !== undefined) continue;
      const { kind } = recognise(replica, item.command.origin);
      if (kind === 'repeat' || kind === 'past') asked.push(item);
    }
    const commands = asked.map((item) => item.command);
    const recalled = await recall(store, replicas, work.deviceId, commands, options);
    asked.forEach((item, index) => (item.recalled = recalled.answers[index]));
    // As new as the answers are: another writer may have been there since the replica was kept.
    work.replica = recalled.replica;
    work.isProven = true;
    observer.repeated(work.deviceId);
    await this.advance(batch, work);
  }

  private answerRecalled(item: Item, recalled: Exclude<Recalled, { kind: 'unknown' }>): void {
    const { message, deviceId, origin } = item.command;
    if (recalled.kind === 'refused') {
      this.refuse(item, recalled.lastEvent, recalled.refusal);
      return;
    }
    item.outcome = 'accepted';
    this.deps.outputs.accepted(item.messages, message, deviceId, origin.commandId, recalled.response);
  }

  private refuse(item: Item, lastEvent: number, refusal: Refusal): void {
    const { message, deviceId, origin, content } = item.command;
    const { outputs, observer } = this.deps;
    const { topic, partition, offset } = message.position;
    item.outcome = String(refusal.code);
    item.messages.length = 0;
    const timestamp = refusalTime(message.position, lastEvent);
    // A refusal is remembered by nobody: each send of a message id has its own, and so must its id be.
    const id =
      origin.messageId === undefined
        ? origin.commandId
        : commandIdOf(deviceId, message.position, origin.fingerprint, undefined);
    outputs.rejected(item.messages, message, deviceId, id, refusal, timestamp, content.clientToken);
    observer.refused({ deviceId, code: refusal.code, reason: refusal.message, topic, partition, offset });
  }

  /** Everything decided is recorded: the replica shows no more than the store has, and may be seen. */
  private settle(work: DeviceWork, replica: Replica): void {
    work.settled = work.decided;
    work.needsProof = false;
    clearPending(work);
    if (work.settled < work.items.length) return;
    this.deps.replicas.putBack(replica);
    work.replica = undefined;
  }

  private recorded(work: DeviceWork, replica: Replica): void {
    const lastId = work.pending.at(-1)?.id;
    if (lastId !== undefined) this.deps.replicas.recorded(replica, work.expectedRevision, lastId);
    this.settle(work, replica);
  }

  /** @returns the error that stands in the way of some of them, to be tried again; null: none */
  private async append(works: readonly DeviceWork[]): Promise<EventStoreError | null> {
    if (works.length === 0) return null;
    const { store, observer } = this.deps;
    const start = performance.now();
    const results = await store.append(
      works.map((work) => ({
        stream: streamOf(work.deviceId),
        expectedRevision: work.expectedRevision,
        events: work.pending,
      })),
    );
    observer.timed('append', performance.now() - start);
    let failed: EventStoreError | null = null;
    works.forEach((work, index) => {
      failed = this.takeResult(work, results[index] as AppendResult) ?? failed;
    });
    return failed;
  }

  private takeResult(work: DeviceWork, result: AppendResult): EventStoreError | null {
    const { observer } = this.deps;
    switch (result.kind) {
      case 'appended':
        work.conflicts = 0;
        // It was so when this was recorded first, which may have been a moment ago.
        work.isProven = false;
        this.recorded(work, work.replica as Replica);
        return null;
      case 'conflict': {
        observer.conflict(work.deviceId);
        this.startOver(work);
        if (++work.conflicts <= CONFLICTS_WITHOUT_PAUSE) return null;
        return new EventStoreError('unavailable', `Another writer kept changing ${streamOf(work.deviceId)}`);
      }
      case 'failed': {
        if (result.error.canRetry) return result.error;
        if (result.error.code === 'closed') throw new BatchAbandoned({ cause: result.error });
        if (result.error.code === 'too-large') this.takeTooLarge(work, result.error);
        else this.giveUp(work, result.error);
        return null;
      }
    }
  }

  /** Forgets what was decided and not recorded; it will be decided on what the store has by then. */
  private startOver(work: DeviceWork): void {
    for (const item of work.items.slice(work.settled)) {
      item.messages.length = 0;
      item.recalled = undefined;
    }
    work.decided = work.settled;
    clearPending(work);
    work.replica = undefined;
    work.isProven = false;
    work.needsProof = false;
  }

  /** Refuses the command whose events are too large; where several are pending, finds out which. */
  private takeTooLarge(work: DeviceWork, error: EventStoreError): void {
    const [item, ...others] = work.pendingItems;
    this.startOver(work);
    work.oneByOne = true;
    if (item === undefined || others.length > 0) return;
    this.deps.observer.failed('append', error);
    item.isTooLarge = true;
  }

  /** Refuses the device's commands that cannot be recorded: tried again they would fail again. */
  private giveUp(work: DeviceWork, error: unknown): void {
    this.deps.observer.failed('record', error);
    this.startOver(work);
    const reason = error instanceof EventStoreError ? error.code : 'internal error';
    const refusal = { code: 500, message: `The state of this device cannot be read or recorded: ${reason}` };
    for (const item of work.items.slice(work.settled)) this.refuse(item, 0, refusal);
    work.decided = work.settled = work.items.length;
  }

  /** Waits for work that reads the store; tries again while it is away. */
  private async guarded(batch: CommandBatch, work: DeviceWork, first: Promise<void>): Promise<void> {
    const backoff = new Backoff();
    for (let advancing: Promise<void> | undefined = first; ;) {
      try {
        await (advancing ?? this.advance(batch, work));
        return;
      } catch (error) {
        if (error instanceof BatchAbandoned) throw error;
        const isOfStore = error instanceof EventStoreError;
        if (isOfStore && error.code === 'closed') throw new BatchAbandoned({ cause: error });
        if (!isOfStore || !error.canRetry) {
          this.giveUp(work, error);
          return;
        }
        await pauseBatch(batch, this.deps.observer, 'load', error, backoff);
        advancing = undefined;
      }
    }
  }
}

/** Waits for all, so that no work goes on when the device locks are released; then fails as the first that failed. */
async function allEnded(works: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) {
    if (result.status === 'rejected') throw result.reason;
  }
}
