import { type JsonObject } from './json.js';

/** Where a command came from and what identifies it. Stored with each event that it caused. */
export interface Origin {
  /** UUIDv5 of the command's identity; the ids of its events derive from it. */
  readonly commandId: string;
  /** Kind and hash of the command's bytes: two commands with equal identity and unequal fingerprint are not the same. */
  readonly fingerprint: string;
  readonly messageId?: string;
  readonly source: Source;
  readonly correlationId?: string;
  readonly traceparent?: string;
}

/** A command's place on the bus: see the bus port's `SourcePosition`. */
export interface Source {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly log: string;
}

export type SectionName = 'reported' | 'desired';

/**
 * One section's part of an accepted update. Stored name: `ReportedStateChanged` or `DesiredStateChanged`.
 *
 * An update that names both sections is two events of one version, reported first.
 */
export interface SectionChanged {
  readonly type: 'ReportedStateChanged' | 'DesiredStateChanged';
  readonly version: number;
  /** Milliseconds since the epoch; never less than the event's before it. */
  readonly timestamp: number;
  /** The request's section: a merge patch, or null, which removes the section. */
  readonly state: JsonObject | null;
  /**
   * How the request named its sections, where not one by one: `all`: `"state": null`, which removes both (two events);
   * `none`: `"state": {}`, which names neither (one ReportedStateChanged whose `state` is {} and changes nothing).
   */
  readonly scope?: 'all' | 'none';
  readonly clientToken?: string;
  /** Not stored: the section's size after this event, where the decision has counted it. */
  readonly bytesAfter?: number | undefined;
  /** Not stored: what both sections together take at the most after this event's command. */
  readonly bytesAtMost?: number | undefined;
  /** Not stored: `state` as JSON text, where it has already been made; both the store and the topics need it. */
  readonly stateJson?: string | undefined;
}

/** Stored name: `ReplicaDeleted`. Bears the version of the replica that it deletes. */
export interface ReplicaDeleted {
  readonly type: 'ReplicaDeleted';
  readonly version: number;
  readonly timestamp: number;
  readonly clientToken?: string;
}

export type ReplicaEvent = SectionChanged | ReplicaDeleted;

export function sectionOf(event: SectionChanged): SectionName {
  return event.type === 'ReportedStateChanged' ? 'reported' : 'desired';
}
