import { readFileSync } from 'node:fs';
import { type ClientConfig } from 'pg';
import { ReadModelError } from '../../../application/ports/read-model.js';

/** What `DATABASE_URL` says. */
export interface DatabaseAddress {
  readonly config: ClientConfig;
  /** `host:port/database`, for people; without user and password. */
  readonly place: string;
}

/** Those that never go without TLS are one and the same here: certificate and host name are always checked. */
const TLS_MODES = ['require', 'verify-ca', 'verify-full'];
const OPTIONS = ['application_name', 'host', 'options', 'sslcert', 'sslkey', 'sslmode', 'sslrootcert'];

/** Durable enough: after a crash the last rows and their checkpoint are missing together, and are made again. */
const SESSION = '-c synchronous_commit=off';

/**
 * Reads `postgresql://user:password@host:port/database?options`. The files that it names are read at once.
 *
 * Throws {@link ReadModelError} `invalid`, in one line that begins with `DATABASE_URL` and holds no password.
 */
export function parseDatabaseUrl(text: string): DatabaseAddress {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : null;
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw invalid('must be postgresql://user:password@host:port/database');
  }
  if (url.hash !== '') throw invalid("holds a '#', which must be written as %23");
  // What comes after it would be shown, and may be the rest of a password.
  if (`${url.pathname}${url.search}`.includes('@')) {
    throw invalid("holds an '@' after a '/' or '?': in a password write them as %40, %2F and %3F");
  }
  const given = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(url.search.replaceAll('+', '%2B'))) {
    if (!OPTIONS.includes(name))
      throw invalid(`the option '${name}' is not known; known: ${OPTIONS.join(', ')}`);
    if (given.has(name)) throw invalid(`the option '${name}' is given twice`);
    given.set(name, value);
  }
  const database = decoded(url.pathname.slice(1));
  if (database === '' || database.includes('/')) throw invalid('names no database: …host:port/database');
  const host = given.get('host') ?? decoded(url.hostname.replace(/^\[(.*)\]$/, '$1'));
  if (host === '') throw invalid('names no host');
  const port = url.port === '' ? 5432 : Number(url.port);
  const applicationName = given.get('application_name') ?? 'device-state-replica';
  return {
    config: {
      host,
      port,
      database,
      user: decoded(url.username) || undefined,
      password: decoded(url.password),
      ssl: tlsOf(given),
      options: [given.get('options'), SESSION].filter((each) => each !== undefined).join(' '),
      application_name: applicationName,
    },
    place: `${host.includes(':') ? `[${host}]` : host}:${port}/${database}`,
  };
}

function tlsOf(given: ReadonlyMap<string, string>): ClientConfig['ssl'] {
  const mode = given.get('sslmode') ?? 'disable';
  const files = ['sslrootcert', 'sslcert', 'sslkey'].filter((name) => given.has(name));
  if (mode === 'disable') {
    if (files.length > 0) throw invalid(`${files.join(', ')} without sslmode=verify-full`);
    return false;
  }
  if (!TLS_MODES.includes(mode)) throw invalid(`sslmode must be disable or verify-full; it is '${mode}'`);
  if (given.has('sslcert') !== given.has('sslkey')) throw invalid('sslcert and sslkey go together');
  const read = (name: string): string | undefined => {
    const path = given.get(name);
    if (path === undefined) return undefined;
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      throw invalid(
        `${name}: cannot read '${path}': ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  };
  const [ca, cert, key] = [read('sslrootcert'), read('sslcert'), read('sslkey')];
  return { rejectUnauthorized: true, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid("holds a '%' that is no code; write it as %25");
  }
}

function invalid(why: string): ReadModelError {
  return new ReadModelError('invalid', `DATABASE_URL: ${why}`);
}
