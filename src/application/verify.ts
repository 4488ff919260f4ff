import { deviceOf, streamOf } from '../replica/stored.js';
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
  | { readonly kind: 'no-row'; readonly deviceId: string };

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

/**
 * Replays the stream of each row up to the row's own revision and compares all of the row with what comes out; and
 * looks for streams that have no row. It is right beside a projector that goes on meanwhile, or that swaps in a
 * rebuilt generation. In memory there is a page of rows and a few devices.
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

  constructor(
    private readonly log: EventLog,
    private readonly model: ReadModel,
    private readonly options: VerifyOptions,
  ) {}

  async run(): Promise<Verified> {
    const active = (await this.model.generations()).find(({ isActive }) => isActive);
    const position = active?.checkpoint?.position ?? null;
    await this.checkStreams(position);
    await this.checkRows();
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
    const expected = await this.replayed(row);
    if (this.isInterrupted) return;
    if (expected === null) return this.found({ kind: 'no-stream', deviceId });
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

  /** The row that the stream folds to at the revision of this one; null: there is no stream. */
  private async replayed({ deviceId, revision, broken }: DeviceRow): Promise<DeviceRow | null> {
    const view = emptyView(deviceId);
    // Of a device that is broken, the next event must be the one that cannot be folded.
    const maxCount = revision + 1 + (broken === null ? 0 : 1);
    try {
      let next = 0;
      for await (const event of this.log.readStream(streamOf(deviceId), { maxCount })) {
        if (this.isInterrupted) return null;
        if (event.revision !== next) {
          view.broken = `event ${next} is missing`;
          break;
        }
        this.events++;
        const decoded = decodeEvent(event);
        if (next > revision) break;
        evolveView(view, decoded, next);
        next++;
        if (this.pacer.isDue) await this.pacer.pause();
      }
      if (next === 0 && view.broken === null && (revision >= 0 || !(await this.hasLaterEvents(deviceId)))) {
        return null;
      }
    } catch (error) {
      if (!(error instanceof EventStoreError) || error.code !== 'corrupt') throw error;
      view.broken = error.message;
    }
    return rowOfView(view);
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

async function positionOf(event: Promise<RecordedEvent | null>): Promise<bigint | null> {
  try {
    return (await event)?.position ?? null;
  } catch (error) {
    if (error instanceof EventStoreError && error.damaged !== undefined) return error.damaged.position;
    throw error;
  }
}
