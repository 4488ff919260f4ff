import { type Outcome } from '../../replica/convergence.js';
import { type FleetField, type FleetFilter } from '../fleet-filter.js';
import { type Presence, type PresenceStore } from './presence.js';

/**
 * The read model port: what the devices' events fold to, one row a device, kept for questions over many devices. All of
 * it can be made anew from the events, but for presence, which is in none. A generation is one whole set of rows with
 * its own checkpoint: the active one is what readers see, and another one may be built beside it.
 */
/** One event that is in the rows, by which it is seen whether they are of this log. */
export interface Proof {
  readonly stream: string;
  readonly revision: number;
  readonly id: string;
  readonly position: bigint;
}

/** How far the rows are. Null where nothing was readable yet. */
export interface Checkpoint {
  readonly position: bigint;
  readonly proof: Proof | null;
}

export interface Generation {
  readonly id: number;
  readonly isActive: boolean;
  /** The version of what the rows mean: see `VIEW_SCHEMA_VERSION`. */
  readonly schema: number;
  /** Null: no event yet. */
  readonly checkpoint: Checkpoint | null;
}

export type DeviceStatus =
  | 'in-sync'
  /** Something is outstanding. */
  | 'not-in-sync'
  /** Its events cannot be folded beyond `revision`: see `broken`. */
  | 'broken'
  /** Kept, since its version goes on; not listed. */
  | 'deleted';

/** A device in the fleet index. */
export interface FleetRow {
  readonly deviceId: string;
  readonly version: number;
  readonly status: DeviceStatus;
  /** Time of the last update that named the section, milliseconds since the epoch; null: none. */
  readonly lastReported: number | null;
  readonly lastDesired: number | null;
  /** Since when it has been in sync, or not. */
  readonly since: number;
  /** How many leaves of desired are missing or different in reported. */
  readonly outstanding: number;
  /** Why it is broken; null: it is not. */
  readonly broken: string | null;
}

/** A device in a list. */
export interface ListedRow extends FleetRow {
  /** Since when the device is connected, or is not any more; one of them at the most. Both null: it never was. */
  readonly connectedSince: number | null;
  readonly disconnectedSince: number | null;
  /** The replica: see `encodeSnapshot`. Only where it was asked for. */
  readonly text?: string;
}

/** All that is kept of a device: enough to fold its next event. */
export interface DeviceRow extends FleetRow {
  /** Of the last event folded. −1: none. */
  readonly revision: number;
  /** The version that set `since`, and what `since` was before: an update may be two events. */
  readonly sinceVersion: number;
  readonly priorSince: number;
  /** How many desired changes are open, and what is known of them (see `encodeOpenChanges`); 0 and null: none. */
  readonly openCount: number;
  readonly open: string | null;
  /** The replica, with metadata and delta: see `encodeSnapshot`. */
  readonly text: string;
}

/** How many desired changes were settled alike. */
export interface SettledCount {
  /** The hour in which they were settled: its beginning, milliseconds since the epoch. */
  readonly hour: number;
  readonly outcome: Outcome;
  /** By how long they were open: an index of `CONVERGENCE_BOUNDS_MS`, or their count for what took longer. */
  readonly bucket: number;
  /** 1 at least. */
  readonly count: number;
  /** How long they were open, together. */
  readonly sumMs: number;
}

export interface RowsWritten {
  /** No two of one device. */
  readonly rows: readonly DeviceRow[];
  /** Added to what the generation has counted. No two of one hour, outcome and bucket. Default: none. */
  readonly settled?: readonly SettledCount[];
  /** The position that the checkpoint must have now; null: none. */
  readonly expected: bigint | null;
  readonly checkpoint: Checkpoint;
}

/** Which devices are meant: those of which all of this holds. A deleted one never is; a broken one may be. */
export interface FleetSelection {
  /** True: those in sync; false: those with something outstanding. Default: those of any status but `deleted`. */
  readonly inSync?: boolean;
  /** True: those whose device is connected; false: those whose device was. Default: all. */
  readonly connected?: boolean;
  /** What the id begins with. */
  readonly prefix?: string;
  /** Inclusive, milliseconds since the epoch; `updatedSince` is of the later of the two. */
  readonly reportedSince?: number;
  readonly desiredSince?: number;
  readonly updatedSince?: number;
  /** Of a broken device the state is that up to the damage. */
  readonly filter?: FleetFilter;
}

/** Ties are in the order of the ids, ascending whatever the direction; null comes last in both directions. */
export interface FleetSort {
  readonly by: 'deviceId' | FleetField;
  readonly descending: boolean;
}

/** A device's place in the order: what it is sorted by (null also where that is the id), and its id. */
export interface FleetPlace {
  readonly value: number | null;
  readonly deviceId: string;
}

/** Plain data: it can be cloned into another thread. */
export interface FleetQuery extends FleetSelection {
  /** Default: by the id as bytes, ascending. */
  readonly sort?: FleetSort;
  /** The devices strictly after this place in the order. Default: from the first. */
  readonly after?: FleetPlace;
  readonly limit: number;
  /** Whether rows bear the replica's text. Default: no. */
  readonly withText?: boolean;
}

export interface FleetPage {
  readonly rows: readonly ListedRow[];
  /** Where the rows stand, read together with them; null: no event yet. */
  readonly position: bigint | null;
}

export interface FleetCount {
  readonly inSync: number;
  readonly notInSync: number;
  readonly broken: number;
  readonly position: bigint | null;
}

export interface SettledQuery {
  /** Beginnings of hours, milliseconds since the epoch; `to` is not included. */
  readonly from: number;
  readonly to: number;
}

export interface SettledSum {
  /** Over all hours: one for each outcome and bucket of which there are any, in any order. */
  readonly counts: readonly Omit<SettledCount, 'hour'>[];
  readonly position: bigint | null;
}

export interface SettledByHour {
  /** No two of one hour, outcome and bucket; in any order. */
  readonly counts: readonly SettledCount[];
  /** Where they stand, read together with them; null: no event yet. */
  readonly position: bigint | null;
}

export interface OutOfSyncQuery {
  /** Moments, milliseconds since the epoch, ascending, no two alike. May be empty. */
  readonly bounds: readonly number[];
  /** How many devices are named at the most; may be 0. */
  readonly oldestCount: number;
}

export interface OutOfSync {
  /**
   * How many devices are `not-in-sync` since: one count for each bound, of those that are later than the bound before
   * and not later than this one; and one for those that are later than the last.
   */
  readonly counts: readonly number[];
  /** Their desired changes that are open. */
  readonly openCount: number;
  /** Those that have been so for the longest, the longest first; equal ones by id. */
  readonly oldest: readonly Pick<FleetRow, 'deviceId' | 'since' | 'outstanding'>[];
  readonly position: bigint | null;
}

/** The closed list of what can go wrong in a read model. */
export type ReadModelErrorCode =
  /** It cannot be reached or written. Can be retried. */
  | 'unavailable'
  /** The question took longer than it may, and was ended. Not retried as it is. */
  | 'too-slow'
  /** The generation is gone, or its checkpoint is another than expected: somebody else works on it. */
  | 'superseded'
  /** What it held is lost, and it was made anew: empty. */
  | 'lost'
  | 'closed'
  /** It is of a newer version, or of another program. Never retried. */
  | 'invalid';

export class ReadModelError extends Error {
  constructor(
    readonly code: ReadModelErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'ReadModelError';
  }
}

/** What readers ask of the active generation. Every call rejects with {@link ReadModelError}. */
export interface ReadModelQueries {
  /** A device's row in the active generation, also of a deleted one; null: none. */
  find(deviceId: string): Promise<DeviceRow | null>;

  /**
   * The whole rows of the active generation after a device, of any status, also deleted ones: at most so many, in the
   * order of the ids as bytes. Empty: there are no more.
   *
   * @param after a device id; '' begins with the first
   */
  scan(after: string, limit: number): Promise<DeviceRow[]>;

  /** A page of the active generation. */
  list(query: FleetQuery): Promise<FleetPage>;

  /** How many of these devices there are, by status. Default: of all. */
  count(selection?: FleetSelection): Promise<FleetCount>;

  /** What the active generation has counted of desired changes that are settled. */
  settled(query: SettledQuery): Promise<SettledSum>;

  /** The devices of the active generation that are not in sync. It costs what they are, not the fleet. */
  outOfSync(query: OutOfSyncQuery): Promise<OutOfSync>;

  /** Of the device, whether it has a replica or not; null: it was never connected. Of a named replica: its device's. */
  presence(replicaId: string): Promise<Presence | null>;

  /** How many devices are connected, whether they have replicas or not. */
  connectedCount(): Promise<number>;
}

/** Every call rejects with {@link ReadModelError}. Presence is of no generation. */
export interface ReadModel extends ReadModelQueries, PresenceStore {
  /** The active generation and the one that is built, where there are such. */
  generations(): Promise<Generation[]>;

  /** Begins a generation, empty and not active. One that was being built is given up. */
  begin(schema: number): Promise<Generation>;

  /**
   * Makes the generation the one that readers see, and gives the other one up, in one step. False, and nothing is done:
   * the active one is further, and readers would see an earlier time again.
   *
   * @param options.instead also where it is not as far, if the active one has this id (null: there is none). False, and
   *   nothing is done: another one is active by now
   */
  activate(id: number, options?: { readonly instead?: number | null }): Promise<boolean>;

  /** The rows of these devices, in any order; none for a device that has none. */
  load(id: number, deviceIds: readonly string[]): Promise<DeviceRow[]>;

  /**
   * Rows, counts and checkpoint together or not at all. A row takes the place of one with a lower revision, or with an equal
   * one where it is broken; else it changes nothing. Rejects with `superseded` where the checkpoint is not as expected.
   */
  write(id: number, written: RowsWritten): Promise<void>;

  /** All that the active generation has counted of desired changes that are settled. */
  settledByHour(): Promise<SettledByHour>;

  /** Removes some of what generations hold that were given up, `maxCount` rows at the most. False: there is no more. */
  sweep(maxCount: number): Promise<boolean>;

  /** Later calls reject with `closed`. Idempotent. */
  close(): Promise<void>;
}
