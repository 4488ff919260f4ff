import pg from 'pg';
import { ReadModelError } from '../../../application/ports/read-model.js';

/** Classes and codes of PostgreSQL's errors that say: not now, or not by this user. */
const EXPLAINED: Readonly<Record<string, string>> = {
  '3D000': 'there is no such database',
  '25006': 'it takes no writes: it is a standby, or read-only',
  '42501': 'the user lacks rights',
  '53300': 'it has too many connections',
};

/** By `statement_timeout`, or by hand. */
const CANCELED = '57014';

/** Tables or columns that were there at the start are gone. */
const LOST = new Set(['42P01', '42703', '3F000']);

/** Closed list of the port; the message is one line that names the variable, and never holds the password. */
export function toReadModelError(error: unknown, place: string): ReadModelError {
  if (error instanceof ReadModelError) return error;
  const code = isLost(error) ? 'lost' : codeOf(error) === CANCELED ? 'too-slow' : 'unavailable';
  return new ReadModelError(code, `DATABASE_URL: ${place}: ${inOneLine(reasonOf(error))}`, { cause: error });
}

export function isLost(error: unknown): boolean {
  return LOST.has(codeOf(error));
}

export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

function reasonOf(error: unknown): string {
  const code = codeOf(error);
  const message = messageOf(error);
  if (error instanceof pg.DatabaseError) {
    const explained = EXPLAINED[code];
    return explained === undefined ? message : `${explained} (${message})`;
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code)) {
    return `its certificate is not trusted (${code}); give its authority by sslrootcert=`;
  }
  // The codes of the system say more than what there is of a message.
  return code === '' || message.includes(code) ? message : `${code} ${message}`.trim();
}

/** Several addresses were tried in vain: the first one's reason stands for all. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}

function inOneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
