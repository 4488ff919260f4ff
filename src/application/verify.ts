import { deviceOf, streamOf } from '../replica/stored.js';
import { compareSettled, type SettledDifference, SettledTally } from './convergence-counts.js';
import { firstOf, lastOf, shareOf } from './copy-events.js';
import { emptyView, evolveView, rowOfView } from './device-view.js';
import { Pacer } from './pacing.js';
import { EventStoreError, type EventLog, type RecordedEvent } from './ports/event-store.js';
import { type DeviceRow, type ReadModel } from './ports/read-model.js';
import { decodeEvent } from './replicas.js';

/** What is not as the events say. */
export type Finding =
  /** A field of a row; both as they are, `expected` by the events up to the row's revision. */
  | {
      readonly kind: 'differs';
      readonly deviceId: string;
      readonly field: keyof DeviceRow;
      readonly revision: number;
      readonly expected: DeviceRow[keyof DeviceRow];
      readonly actual: DeviceRow[keyof DeviceRow];
    }
  /** The read model has a row, and the store has no event of the device. */
  | { readonly kind: 'no-stream'; readonly deviceId: string }
  /** The read model is past the device's first event, and has no row of it. */
  | { readonly kind: 'no-row'; readonly deviceId: string }
  /** The read model is past the event that follows on the row's revision, and the row is not broken. */
  | { readonly kind: 'left-behind'; readonly deviceId: string; readonly revision: number }
  /** A count of settled desired changes, as it stood when it began. */
  | ({ readonly kind: 'settled' } & SettledDifference);

export interface VerifyOptions {
  readonly signal: AbortSignal;
  readonly onFinding: (finding: Finding) => void;
  /** @param events those that were read; share: from 0 to 1, an estimate */
  readonly onProgress?: (events: number, share: number) => void;
}

export interface Verified {
  readonly rows: number;
  readonly streams: number;
  readonly findings: number;
  /** Where the rows stood when it began, and how many events stood behind that in the log. */
  readonly position: bigint | null;
  readonly eventsBehind: number;
  readonly isInterrupted: boolean;
}

const PAGE_COUNT = 100;
/** So many streams are read at once: a server answers each only after a while. */
const STREAMS_AT_ONCE = 8;
const LOOK_UP_COUNT = 500;
/** No stream has as many events. */
const ALL = Number.MAX_SAFE_INTEGER - 2;

/**
 * Replays the stream of each row up to the row's own revision and compares all of the row with what comes out; looks
 * for streams that have no row, and for rows that were left behind; and compares the counts of settled desired changes
 * with what the streams settle up to where the counts stood. It is right beside a projector that goes on meanwhile, or
 * that swaps in a rebuilt generation. In memory there are a page of rows, a few devices, and the counts.
 *
 * That a device is broken is compared, and not the wording of why. Throws `EventStoreError`, `ReadModelError`.
 */
export async function verify(log: EventLog, model: ReadModel, options: VerifyOptions): Promise<Verified> {
  return new Verification(log, model, options).run();
}

class Verification {
  private events = 0;
  private rows = 0;
  private streams = 0;
  private findings = 0;
  private eventsBehind = 0;
  private readonly pacer = new Pacer();
  /** Where the counts stood when it began. */
  private position: bigint | null = null;
  private readonly tally = new SettledTally();

  constructor(
    private readonly log: EventLog,
    private readonly model: ReadModel,
    private readonly options: VerifyOptions,
  ) {}

  async run(): Promise<Verified> {
    const { counts, position } = await this.model.settledByHour();
    this.position = position;
    await this.checkStreams(position);
    await this.checkRows();
    if (!this.isInterrupted) {
      for (const each of compareSettled(this.tally.counts, counts)) this.found({ kind: 'settled', ...each });
    }
    const { rows, streams, findings, eventsBehind } = this;
    return { rows, streams, findings, position, eventsBehind, isInterrupted: this.isInterrupted };
  }

  private get isInterrupted(): boolean {
    return this.options.signal.aborted;
  }

  private found(finding: Finding): void {
    this.findings++;
    this.options.onFinding(finding);
  }

  /** A stream begins with its event 0, so the log tells all streams one by one without any of them being kept. */
  private async checkStreams(position: bigint | null): Promise<void> {
    let begun: string[] = [];
    for await (const [event, share] of this.wholeLog()) {
      if (this.isInterrupted) return;
      this.tell(share / 2);
      if (this.pacer.isDue) await this.pacer.pause();
      if (position === null || event.position > position) this.eventsBehind++;
      const deviceId = event.revision === 0 ? deviceOf(event.stream) : null;
      if (deviceId === null) continue;
      this.streams++;
      if (position === null || event.position > position) continue;
      begun.push(deviceId);
      if (begun.length < LOOK_UP_COUNT) continue;
      await this.lookUp(begun);
      begun = [];
    }
    await this.lookUp(begun);
  }

  private async lookUp(deviceIds: readonly string[]): Promise<void> {
    if (deviceIds.length === 0) return;
    const active = (await this.model.generations()).find(({ isActive }) => isActive);
    const rows = active === undefined ? [] : await this.model.load(active.id, deviceIds);
    const known = new Set(rows.map(({ deviceId }) => deviceId));
    for (const deviceId of deviceIds) {
      // Asked again: the generation may have been swapped between the two questions.
      if (known.has(deviceId) || (await this.model.find(deviceId)) !== null) continue;
      this.found({ kind: 'no-row', deviceId });
      await this.replayed({ deviceId, revision: ALL, broken: null });
    }
  }

  /** The log as it stands now, over damaged events: those are found with their device. */
  private async *wholeLog(): AsyncGenerator<[RecordedEvent, share: number]> {
    const first = await positionOf(firstOf(this.log));
    const last = await positionOf(lastOf(this.log));
    let after: bigint | undefined;
    for (;;) {
      try {
        for await (const event of this.log.readAll(after === undefined ? {} : { after })) {
          after = event.position;
          this.events++;
          yield [
            event,
            first === null || last === null ? 0 : Math.min(1, shareOf(first, event.position, last)),
          ];
        }
        return;
      } catch (error) {
        const damaged = error instanceof EventStoreError ? error.damaged : undefined;
        if (damaged === undefined || (after !== undefined && damaged.position <= after)) throw error;
        after = damaged.position;
      }
    }
  }

  private async checkRows(): Promise<void> {
    let after = '';
    for (;;) {
      const page = await this.model.scan(after, PAGE_COUNT);
      const last = page.at(-1);
      if (last === undefined) return;
      for (let at = 0; at < page.length; at += STREAMS_AT_ONCE) {
        if (this.isInterrupted) return;
        await Promise.all(page.slice(at, at + STREAMS_AT_ONCE).map((row) => this.checkRow(row)));
        this.tell(0.5 + Math.min(1, this.rows / Math.max(1, this.streams)) / 2);
      }
      after = last.deviceId;
    }
  }

  private tell(share: number): void {
    this.options.onProgress?.(this.events, share);
  }

  private async checkRow(row: DeviceRow): Promise<void> {
    this.rows++;
    const { deviceId, revision } = row;
    const { expected, next } = await this.replayed(row);
    if (this.isInterrupted) return;
    if (expected === null) return this.found({ kind: 'no-stream', deviceId });
    if (next !== null && (await this.isLeftBehind(row, next))) {
      this.found({ kind: 'left-behind', deviceId, revision });
    }
    for (const field of Object.keys(expected) as (keyof DeviceRow)[]) {
      if (field === 'broken' && row.broken !== null && expected.broken !== null) continue;
      if (expected[field] === row[field]) continue;
      this.found({
        kind: 'differs',
        deviceId,
        field,
        revision,
        expected: expected[field],
        actual: row[field],
      });
    }
  }

  /** Asked again: another generation may have been swapped in since the row was read. */
  private async isLeftBehind({ deviceId, revision }: DeviceRow, next: bigint): Promise<boolean> {
    const active = (await this.model.generations()).find(({ isActive }) => isActive);
    const position = active?.checkpoint?.position ?? null;
    if (position === null || position < next) return false;
    const row = await this.model.find(deviceId);
    return row !== null && row.revision === revision && row.broken === null;
  }

  /**
   * The row that the stream folds to at the revision of this one; null: there is no stream. What its events settle is
   * counted.
   *
   * @returns next: the position of the event after that, where the row should have it
   */
  private async replayed({
    deviceId,
    revision,
    broken,
  }: Pick<DeviceRow, 'deviceId' | 'revision' | 'broken'>): Promise<{
    expected: DeviceRow | null;
    next: bigint | null;
  }> {
    const view = emptyView(deviceId);
    let revisionOfNext = 0;
    try {
      // With the event after it: a row that is not broken must not be past it, and a broken one must be for it.
      for await (const event of this.log.readStream(streamOf(deviceId), { maxCount: revision + 2 })) {
        if (this.isInterrupted) return NOTHING;
        if (revisionOfNext > revision && broken === null) {
          return { expected: rowOfView(view), next: this.isCounted(event.position) ? event.position : null };
        }
        if (event.revision !== revisionOfNext) {
          view.broken = `event ${revisionOfNext} is missing`;
          break;
        }
        this.events++;
        const decoded = decodeEvent(event);
        if (revisionOfNext > revision) break;
        const settled = evolveView(view, decoded, event.revision);
        if (this.isCounted(event.position)) for (const each of settled) this.tally.add(each);
        revisionOfNext++;
        if (this.pacer.isDue) await this.pacer.pause();
      }
      const isEmpty = revisionOfNext === 0 && view.broken === null;
      if (isEmpty && (revision >= 0 || !(await this.hasLaterEvents(deviceId)))) return NOTHING;
    } catch (error) {
      if (!(error instanceof EventStoreError) || error.code !== 'corrupt') throw error;
      if (revisionOfNext > revision && broken === null) {
        const position = error.damaged?.position;
        const next = position !== undefined && this.isCounted(position) ? position : null;
        return { expected: rowOfView(view), next };
      }
      view.broken = error.message;
    }
    return { expected: rowOfView(view), next: null };
  }

  /** True where the rows and counts have the event of this position. */
  private isCounted(position: bigint): boolean {
    return this.position !== null && position <= this.position;
  }

  /** The first event may be the one that is lost. */
  private async hasLaterEvents(deviceId: string): Promise<boolean> {
    for await (const event of this.log.readStream(streamOf(deviceId), {
      direction: 'backwards',
      maxCount: 1,
    })) {
      return event.revision >= 0;
    }
    return false;
  }
}

const NOTHING = { expected: null, next: null };

async function positionOf(event: Promise<RecordedEvent | null>): Promise<bigint | null> {
  try {
    return (await event)?.position ?? null;
  } catch (error) {
    if (error instanceof EventStoreError && error.damaged !== undefined) return error.damaged.position;
    throw error;
  }
}
