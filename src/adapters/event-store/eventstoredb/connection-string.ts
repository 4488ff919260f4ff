import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { invalid } from '../errors.js';

/** The variable that every message names, since it is what its reader can change. */
export const VARIABLE = 'EVENTSTORE_CONNECTION_STRING';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** A connection string, read and checked, its files loaded. */
export interface ConnectionSettings {
  readonly endpoints: readonly Endpoint[];
  /** The node is found by asking the cluster: several hosts, or one name in the DNS that stands for all. */
  readonly discover: boolean;
  readonly tls: boolean;
  readonly credentials?: { readonly username: string; readonly password: string };
  readonly rootCertificate?: Buffer;
  readonly userCertificate?: { readonly certificate: Buffer; readonly key: Buffer };
  readonly connectionName?: string;
  /** How long an append waits for its answer. */
  readonly deadlineMs: number;
  readonly keepAliveIntervalMs?: number;
  readonly keepAliveTimeoutMs?: number;
  readonly discoveryIntervalMs?: number;
  readonly maxDiscoverAttempts?: number;
  /** Seconds, as the client has it. */
  readonly gossipTimeoutSeconds?: number;
}

const DEFAULT_PORT = 2113;
const DEFAULT_DEADLINE_MS = 10_000;
const SCHEME = /^(?:esdb|kurrentdb|kurrent|kdb)(\+discover)?:\/\//i;
const HOST = /^(\[[0-9a-f:.]+\]|[^\s:/?#@[\]]+)(?::(\d{1,5}))?$/i;

/** What may follow the question mark, in the client's own spelling, and how it is read. */
const OPTIONS = {
  tls: flag,
  tlsVerifyCert: flag,
  tlsCAFile: text,
  userCertFile: text,
  userKeyFile: text,
  connectionName: text,
  defaultDeadline: whole(1, 600_000),
  discoveryInterval: whole(1, 600_000),
  gossipTimeout: whole(1, 600),
  maxDiscoverAttempts: whole(1, 1000),
  // Below ten seconds a server takes the pings for an attack.
  keepAliveInterval: whole(10_000, 3_600_000, -1),
  keepAliveTimeout: whole(1, 3_600_000, -1),
  nodePreference: text,
  throwOnAppendFailure: flag,
} as const;

type Given = { -readonly [Name in keyof typeof OPTIONS]?: ReturnType<(typeof OPTIONS)[Name]> };

/**
 * Reads a connection string strictly. The client's own reader writes the whole string, password included, to the
 * console where it meets an option that it does not know, and cuts a password at a colon.
 *
 * Throws {@link EventStoreError} `invalid`, one line that names {@link VARIABLE} and never shows the string.
 */
export function readConnectionString(connectionString: string): ConnectionSettings {
  const trimmed = connectionString.trim();
  const scheme = SCHEME.exec(trimmed);
  if (scheme === null) throw problem('must begin with esdb:// or esdb+discover://');
  const [beforeOptions = '', optionText, ...rest] = trimmed.slice(scheme[0].length).split('?');
  if (rest.length > 0) throw problem('has more than one question mark');
  const at = beforeOptions.lastIndexOf('@');
  const endpoints = endpointsOf(beforeOptions.slice(at + 1).replace(/\/+$/, ''));
  const given = optionsOf(optionText ?? '');
  const tls = given.tls ?? true;
  checkMeaning(given, tls);
  const credentials = at === -1 ? undefined : credentialsOf(beforeOptions.slice(0, at));
  return {
    endpoints,
    discover: scheme[1] !== undefined || endpoints.length > 1,
    tls,
    deadlineMs: given.defaultDeadline ?? DEFAULT_DEADLINE_MS,
    ...(credentials && { credentials }),
    ...(given.tlsCAFile && { rootCertificate: fileOf('tlsCAFile', given.tlsCAFile) }),
    ...(given.userCertFile &&
      given.userKeyFile && {
        userCertificate: {
          certificate: fileOf('userCertFile', given.userCertFile),
          key: fileOf('userKeyFile', given.userKeyFile),
        },
      }),
    ...(given.connectionName && { connectionName: given.connectionName }),
    ...(given.keepAliveInterval !== undefined && { keepAliveIntervalMs: given.keepAliveInterval }),
    ...(given.keepAliveTimeout !== undefined && { keepAliveTimeoutMs: given.keepAliveTimeout }),
    ...(given.discoveryInterval !== undefined && { discoveryIntervalMs: given.discoveryInterval }),
    ...(given.maxDiscoverAttempts !== undefined && { maxDiscoverAttempts: given.maxDiscoverAttempts }),
    ...(given.gossipTimeout !== undefined && { gossipTimeoutSeconds: given.gossipTimeout }),
  };
}

/** Where the store is, fit for a log: no credentials, no options. */
export function placeOf({ endpoints }: ConnectionSettings): string {
  return endpoints.map(({ address, port }) => `${address}:${port}`).join(',');
}

function endpointsOf(hosts: string): Endpoint[] {
  return hosts.split(',').map((host) => {
    const [, address, port = String(DEFAULT_PORT)] = HOST.exec(host.trim()) ?? [];
    const number = Number(port);
    if (address === undefined || number < 1 || number > 65535) {
      throw problem('must name its hosts as host or host:port, several separated by commas');
    }
    return { address, port: number };
  });
}

function credentialsOf(part: string): { username: string; password: string } {
  const [username, password, ...rest] = part.split(':');
  if (!username || !password || rest.length > 0) {
    throw problem('must give its credentials as user:password@; write : and @ in them as %3A and %40');
  }
  return { username: decoded('the user name', username), password: decoded('the password', password) };
}

function optionsOf(optionText: string): Given {
  const given: Record<string, unknown> = {};
  for (const pair of optionText.split('&').filter((part) => part !== '')) {
    const [rawName = '', rawValue = '', ...rest] = pair.split('=');
    const name = (Object.keys(OPTIONS) as (keyof Given)[]).find(
      (known) => known.toLowerCase() === rawName.toLowerCase(),
    );
    if (name === undefined) throw problem(`has the option '${visible(rawName)}', which is not known`);
    if (rest.length > 0 || rawValue === '') throw problem(`must give ${name} as ${name}=value`);
    given[name] = OPTIONS[name](name, decoded(name, rawValue.trim()));
  }
  return given;
}

function checkMeaning(given: Given, tls: boolean): void {
  if (given.tlsVerifyCert === false) {
    throw problem('has tlsVerifyCert=false, which this client cannot do; give the certificate by tlsCAFile');
  }
  // The service reads what it has just written: a follower may not have it yet.
  if (given.nodePreference !== undefined && given.nodePreference.toLowerCase() !== 'leader') {
    throw problem('must have nodePreference=leader, or none');
  }
  if ((given.userCertFile === undefined) !== (given.userKeyFile === undefined)) {
    throw problem('must give userCertFile and userKeyFile together');
  }
  for (const name of ['tlsCAFile', 'userCertFile'] as const) {
    if (!tls && given[name] !== undefined) throw problem(`has ${name} and tls=false`);
  }
}

function fileOf(name: string, path: string): Buffer {
  try {
    return readFileSync(resolve(path));
  } catch (error) {
    const { code = 'failed' } = error as NodeJS.ErrnoException;
    throw problem(`names a ${name} that cannot be read: '${visible(path)}' (${code})`);
  }
}

function flag(name: string, value: string): boolean {
  if (value !== 'true' && value !== 'false') throw problem(`must have true or false for ${name}`);
  return value === 'true';
}

function text(_name: string, value: string): string {
  return value;
}

function whole(min: number, max: number, or?: number): (name: string, value: string) => number {
  return (name, value) => {
    const number = /^-?\d+$/.test(value) ? Number(value) : NaN;
    if (number === or || (number >= min && number <= max)) return number;
    const also = or === undefined ? '' : `, or ${or}`;
    throw problem(`must have a whole number from ${min} to ${max}${also} for ${name}`);
  };
}

function decoded(name: string, value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw problem(`has a % in ${name} that is no escape; write it as %25`);
  }
}

function visible(value: string): string {
  return value.replace(/[\p{Cc}\u2028\u2029]/gu, '�').slice(0, 100);
}

function problem(what: string): Error {
  return invalid(`${VARIABLE} ${what}`);
}
