import { type Settled } from '../../replica/convergence.js';

/** Which of the two may run at a time: the projection that readers see, or one that is built beside it. */
export type ProjectionKind = 'live' | 'rebuild';

/** What the projection tells of its work, for metrics and logs. No call throws or waits. */
export interface ProjectionObserver {
  /** Rows and checkpoint were written. */
  projected(kind: ProjectionKind, events: number, position: bigint): void;
  /** What was written last says that these desired changes are settled. Of the live projection alone: a rebuild only tells again. */
  settled(changes: readonly Settled[]): void;
  /** A device's events cannot be folded further. @param deviceId null: it is not known whose event it is */
  deviceBroken(kind: ProjectionKind, deviceId: string | null, reason: string): void;
  /** The projection failed as a whole and begins again at its checkpoint. */
  projectionFailed(kind: ProjectionKind, error: unknown, delayMs: number): void;
  /** A generation is begun, gone on with, or is now the one that readers see. */
  generation(step: 'begun' | 'resumed' | 'activated', id: number, reason: string): void;
}
