import { type JsonObject } from './json.js';

/**
 * When each leaf of a section was last set, in the section's own shape: a number (milliseconds since the epoch) for
 * a scalar and for a whole array, since an array is replaced whole; an object for an object.
 */
export type MetaNode = number | MetaObject;
export interface MetaObject {
  [key: string]: MetaNode;
}

/** The furthest command that was recorded from one partition of a bus, and what is known of the others. */
export interface SourceMark {
  /** Offset, record timestamp and fingerprint of the recorded command that is furthest in the latest log. */
  offset: number;
  timestamp: number;
  fingerprint: string;
  /** The life of the topic in which that offset counts. */
  log: string;
  /** The highest offset and record timestamp recorded from this partition, over all logs. */
  maxOffset: number;
  maxTimestamp: number;
  /** The same, but over the logs before the latest one alone: it may be the same life by another name. −1: none. */
  priorOffset: number;
  priorTimestamp: number;
}

/**
 * The current state of one device, folded from its events. It is owned by one holder and changed in place by
 * `evolve`, so that an update costs what the update holds, not what the document holds.
 */
export interface Replica {
  readonly deviceId: string;
  /** +1 for every recorded update; 0: there has never been one. It survives a delete. */
  version: number;
  /** False before the first update and after a delete. */
  exists: boolean;
  /** Time of the last event, milliseconds since the epoch; 0: none. */
  timestamp: number;
  /** Revision of the last event folded; −1: none. */
  revision: number;
  /** An empty section and an absent one are the same thing. */
  reported: JsonObject;
  desired: JsonObject;
  reportedMeta: MetaObject;
  desiredMeta: MetaObject;
  /**
   * Desired values that are missing or different in reported. Kept up to date by each event. A node is an object of
   * its own where both sides are objects, and the desired value itself elsewhere.
   */
  delta: JsonObject;
  /** Size of each section as UTF-8 JSON, 0 where empty; −1: not known, to be counted when next needed. */
  reportedBytes: number;
  desiredBytes: number;
  /** What both take together at the most; Infinity: not known. */
  bytesAtMost: number;
  /** What both took together when they were last counted: the order of magnitude, for a cache. */
  bytesCounted: number;
  /** Per `topic/partition`. */
  sources: Map<string, SourceMark>;
  /** Message id → fingerprint of the last commands that had one, oldest first. Absent: none yet. */
  commands: Map<string, string> | undefined;
}

/** How many commands with a message id are remembered for each device. */
export const REMEMBERED_COMMANDS = 256;

export function emptyReplica(deviceId: string): Replica {
  return {
    deviceId,
    version: 0,
    exists: false,
    timestamp: 0,
    revision: -1,
    reported: {},
    desired: {},
    reportedMeta: {},
    desiredMeta: {},
    delta: {},
    reportedBytes: 0,
    desiredBytes: 0,
    bytesAtMost: 0,
    bytesCounted: 0,
    sources: new Map(),
    commands: undefined,
  };
}
