import type Database from 'better-sqlite3';
import { ReadModelError } from '../../../application/ports/read-model.js';

/** True; or the end of the statement. Asked for each row, since nothing else ends a statement that is under way. */
export const IN_TIME = 'in_time()';
const CHECK_EVERY_COUNT = 16;

/** Ends the statements of a connection that take too long. */
export class Deadline {
  private at = Infinity;
  private calls = 0;

  /** @param limitMs from {@link begin} on; Infinity: no limit */
  constructor(
    db: Database.Database,
    private readonly limitMs: number,
  ) {
    // Not deterministic: else it would be asked once.
    db.function('in_time', { deterministic: false }, () => {
      if (this.calls++ % CHECK_EVERY_COUNT === 0 && performance.now() > this.at) {
        throw new ReadModelError('too-slow', `DATABASE_READ_TIMEOUT_MS: more than ${this.limitMs} ms`);
      }
      return 1;
    });
  }

  begin(): void {
    this.calls = 0;
    this.at = performance.now() + this.limitMs;
  }
}
