import { type PresenceWritten } from '../application/ports/presence.js';
import { type ProjectionObserver } from '../application/ports/projection-observer.js';
import { type ReadModelErrorCode, type ReadModelQueries } from '../application/ports/read-model.js';
import { type ProjectionsStatus } from '../application/projections.js';
import { type ProjectOptions } from '../application/project.js';
import { type ReadModelAddress } from '../open-read-model.js';
import { type StoreAddress } from '../open-event-store.js';

/** What a thread of the read side is started with. */
export type ThreadData = ProjectorData | ReaderData;

export interface ProjectorData {
  readonly role: 'projector';
  readonly store: StoreAddress;
  readonly model: ReadModelAddress;
  readonly options: ProjectOptions;
  /** Whether `grown` is sent when the log has grown. */
  readonly isToldOfGrowth: boolean;
}

export interface ReaderData {
  readonly role: 'reader';
  readonly dataDir: string;
  /** How long a question may take. Default: for ever. */
  readonly readTimeoutMs?: number;
}

/** `ask` numbers the rebuilds that were asked for, so that it is known which of them a status knows of. */
export type ToProjector =
  | { readonly kind: 'rebuild'; readonly ask: number }
  | { readonly kind: 'grown' }
  /** Answered once the read model is open; in the order in which they come. */
  | { readonly kind: 'presence'; readonly id: number; readonly written: PresenceWritten }
  | Stop;

/** One call of an interface whose calls answer nothing, or of one whose calls are answered by a message. */
type CallOf<T extends { [M in keyof T]: (...args: never[]) => unknown }> = {
  [M in keyof T]: { readonly method: M; readonly args: Parameters<T[M]> };
}[keyof T];

export type FromProjector =
  /**
   * Sent after each batch, within {@link STATUS_MS} of a change, and at least every {@link QUIET_MS}.
   *
   * @see ProjectionsStatus
   */
  | {
      readonly kind: 'status';
      readonly status: ProjectionsStatus;
      /** When it was so, milliseconds since the epoch. */
      readonly at: number;
      /** The last `ask` that it knows of; 0: none. */
      readonly asked: number;
    }
  | { readonly kind: 'observed'; readonly call: CallOf<ProjectionObserver> }
  | ({ readonly kind: 'presence' } & Answer<boolean>)
  | { readonly kind: 'log'; readonly level: 'info' | 'warn'; readonly fields: object; readonly text: string };

/** How often the projector says how far it is, in milliseconds: where that changes, and where it stays as it was. */
export const STATUS_MS = 100;
export const QUIET_MS = 500;

export type Query = CallOf<ReadModelQueries>;

export type ToReader = { readonly kind: 'query'; readonly id: number; readonly query: Query } | Stop;

interface Stop {
  readonly kind: 'stop';
}

/** To the call of this `id`. */
export type Answer<T> =
  | { readonly id: number; readonly ok: true; readonly value: T }
  | { readonly id: number; readonly ok: false; readonly code: ReadModelErrorCode; readonly message: string };

export type FromReader = Answer<unknown>;

/** An error as a message can carry it: what is logged of it, whatever its class. */
export function portable(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, stack } = error;
  const code = 'code' in error ? String(error.code) : undefined;
  return { type: name, message, stack, ...(code === undefined ? {} : { code }) };
}
