import { EventStoreError, type EventStoreErrorCode } from '../../../application/ports/event-store.js';

/**
 * Maps what SQLite throws to the port's closed list. `place` is the path the message names.
 *
 * `unavailable` is also the answer to what is not known here: the transaction was rolled back, so nothing was
 * recorded and the same append may be sent again.
 */
export function toEventStoreError(error: unknown, place: string): EventStoreError {
  if (error instanceof EventStoreError) return error;
  const [code, what] = classify(error);
  return new EventStoreError(code, `DATA_DIR: ${place} ${what}`, { cause: error });
}

/**
 * The code of an error of SQLite (`SQLITE_…`) or of the system (`ENOENT`), or an empty text. By its shape and not by
 * its class: the native module keeps the class of whichever copy of better-sqlite3 was loaded first.
 */
export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

function classify(error: unknown): [EventStoreErrorCode, string] {
  const code = codeOf(error);
  const message =
    typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);
  if (!code.startsWith('SQLITE_')) return ['unavailable', `failed: ${message}`];
  if (code.startsWith('SQLITE_FULL')) return ['unavailable', 'cannot grow: the disk is full'];
  if (code.startsWith('SQLITE_READONLY')) return ['unavailable', `is not writable (${code})`];
  if (code.startsWith('SQLITE_CANTOPEN')) return ['unavailable', `cannot be opened (${code})`];
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return ['unavailable', `is locked by another program (${code})`];
  }
  if (code.startsWith('SQLITE_NOTADB')) return ['corrupt', 'is not an event store: the file is no database'];
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_IOERR_CORRUPTFS') {
    return ['corrupt', `is damaged (${code}: ${message})`];
  }
  if (code.startsWith('SQLITE_IOERR')) return ['unavailable', `cannot be read or written (${code})`];
  return ['unavailable', `failed (${code}: ${message})`];
}

/**
 * The same for an error of COMMIT. Where writing or syncing the log failed half way, the commit may still be found
 * whole at the next start, so its outcome is unknown. A full disk is no such case: the last frame, which makes a
 * commit one, was not written.
 */
export function toCommitError(error: unknown, place: string): EventStoreError {
  const mapped = toEventStoreError(error, place);
  const isHalfWay = codeOf(error).startsWith('SQLITE_IOERR');
  if (!isHalfWay || mapped.code !== 'unavailable') return mapped;
  return new EventStoreError('outcome-unknown', mapped.message, { cause: error });
}
