/** Whose events a stream has. */
export type StreamKind = 'device' | 'fleet';

/**
 * Why an event stream ended. `left`: the reader went · `slow`: it took nothing for too long, or too much waited for it ·
 * `stopping`: the service stops · `unauthorized`: its credentials do not let it in any more · `failed`: the history
 * cannot be read. While the event store is away, streams wait.
 */
export type FollowerEnd = 'left' | 'slow' | 'stopping' | 'unauthorized' | 'failed';

/** What the streams of events tell of themselves, for metrics. No call throws or waits. */
export interface FollowerObserver {
  followerEnded(stream: StreamKind, reason: FollowerEnd): void;
}
