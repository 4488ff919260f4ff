import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { type GuardedProcess, startGuarded } from './guarded-process.js';
import { freePorts } from './ports.js';

const run = promisify(execFile);
const DEBIAN = '/usr/lib/postgresql';
const PASSWORD = 'test secret';
/** PostgreSQL refuses to run as root; one of these runs it then. */
const USERS = ['postgres', 'nobody'];
/** A bound for what hangs. */
const START_LIMIT_MS = 90_000;

/** A PostgreSQL server of this process, on a free loopback port, its files in a temporary folder. */
export interface PostgresServer {
  /** Of a superuser; the password has to be encoded in it. */
  readonly url: string;
  readonly port: number;
  /** Ends it as `signal` says (SIGINT: in an orderly way, its clients cut off), and keeps its files. */
  halt(signal: 'SIGINT' | 'SIGKILL'): Promise<void>;
  /** Starts it again on its port and its files. */
  resume(): Promise<void>;
  /** One statement, on a connection of its own. */
  query(sql: string): Promise<void>;
  /** Ends it, where it runs, and removes its files. */
  stop(): Promise<void>;
}

/** Where `initdb` and `postgres` are: on the path, or where Debian's package puts them; the newest. */
function programs(): string | undefined {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN) : [];
  versions.sort((one, other) => Number(other) - Number(one));
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...versions.map((version) => join(DEBIAN, version, 'bin')),
  ];
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

/** The first of {@link USERS} that there is; null: this process is not root and runs it itself. */
function otherUser(): { uid: number; gid: number } | null | undefined {
  if (process.getuid?.() !== 0) return null;
  const known = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const found = USERS.map((name) => known.find(([user]) => user === name)).find((line) => line !== undefined);
  return found === undefined ? undefined : { uid: Number(found[2]), gid: Number(found[3]) };
}

/** Why {@link startPostgresServer} cannot start one here; undefined: it can. */
export function whyNoPostgres(): string | undefined {
  if (programs() === undefined) return `no initdb on the path nor below ${DEBIAN} (Debian: postgresql)`;
  if (otherUser() === undefined) return `as root, PostgreSQL needs one of these users: ${USERS.join(', ')}`;
  return undefined;
}

/**
 * Throws with the server's own words where it does not start.
 *
 * @param tls PEM files, for clients that want TLS. Default: it speaks without alone
 */
export async function startPostgresServer(tls?: {
  readonly cert: string;
  readonly key: string;
}): Promise<PostgresServer> {
  const bin = programs();
  const user = otherUser();
  if (bin === undefined || user === undefined) throw new Error(whyNoPostgres());
  const folder = mkdtempSync(join(tmpdir(), 'postgres-'));
  const own = (path: string): void => {
    if (user !== null) chownSync(path, user.uid, user.gid);
  };
  own(folder);
  const as = (program: string, args: string[]): [string, string[]] => {
    const path = join(bin, program);
    if (user === null) return [path, args];
    const who = [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'];
    return ['setpriv', [...who, path, ...args]];
  };
  // The server reads no key that others could read, or that is not its own.
  const ownTls = ({ cert, key }: { cert: string; key: string }): Record<string, string> => {
    const files = { ssl_cert_file: join(folder, 'cert.pem'), ssl_key_file: join(folder, 'key.pem') };
    copyFileSync(cert, files.ssl_cert_file);
    copyFileSync(key, files.ssl_key_file);
    chmodSync(files.ssl_key_file, 0o600);
    for (const file of Object.values(files)) own(file);
    return { ssl: 'on', ...files };
  };
  const data = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  const logFile = join(folder, 'log');
  try {
    writeFileSync(passwordFile, PASSWORD);
    own(passwordFile);
    // Not the collation that the product wants, so that a comparison that relies on the default is seen.
    const locale = ['--encoding=UTF8', '--locale=C.UTF-8', '--locale-provider=icu', '--icu-locale=en-US'];
    const login = ['--username=owner', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
    await run(...as('initdb', [`--pgdata=${data}`, ...locale, ...login, '--no-sync']), { cwd: folder });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  const [port = 0] = await freePorts(1);
  const url = `postgresql://owner:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/postgres`;
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    // What a crash of the machine would take is of no use to anybody here.
    fsync: 'off',
    full_page_writes: 'off',
    ...(tls === undefined ? {} : ownTls(tls)),
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  let current: GuardedProcess | undefined;
  const server: PostgresServer = {
    url,
    port,
    async halt(signal) {
      await current?.end(signal);
      current = undefined;
    },
    async resume() {
      const [command, args] = as('postgres', ['-D', data, ...options]);
      current = await startGuarded(command, args, { logFile, removeOnOrphaning: folder });
      const deadline = Date.now() + START_LIMIT_MS;
      while (!(await answers(url))) {
        if (current.ended() || Date.now() > deadline)
          throw new Error(`PostgreSQL did not start:\n${readFileSync(logFile, 'utf8').slice(-2000)}`);
        await sleep(50);
      }
    },
    async query(sql) {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(sql).finally(() => client.end());
    },
    async stop() {
      await server.halt('SIGINT');
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await server.resume();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/** Whether a client can log in there. */
export async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 });
  client.on('error', () => undefined);
  return client.connect().then(
    async () => {
      await client.end();
      return true;
    },
    () => false,
  );
}
