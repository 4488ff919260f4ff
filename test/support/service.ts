import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The service as a user starts it: the built program in a process of its own. */
export interface Service {
  readonly url: string;
  /** `host:port` of MQTT, or `off`. */
  readonly mqtt: string;
  readonly pid: number;
  readonly dataDir: string;
  /** What it has printed: standard output by line. */
  readonly lines: readonly string[];
  /** SIGTERM; resolves with the exit code when it has ended. */
  stop(): Promise<number | null>;
  /** SIGKILL; resolves when it has ended. */
  kill(): Promise<void>;
  /** Resolves with the exit code when it has ended, however that was; null: by a signal. */
  readonly ended: Promise<number | null>;
}

/** A point of the service's work, see `kill-at.mjs`, at which it gets a signal. */
export interface KillAt {
  readonly point: string;
  /** When it comes there for this time, from 1. */
  readonly nth: number;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

export interface ServiceExit {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const START_LIMIT_MS = 90_000;
const BUILT = 'dist/main.js';
const KILL_AT = fileURLToPath(new URL('./kill-at.mjs', import.meta.url));
const ANY_PORTS = { PORT: '0', MQTT_PORT: '0' };

/** Variables of the caller's own environment that would reach the service by accident. */
const OURS =
  /^(KAFKA_|TOPIC_PREFIX|DATA_DIR|PORT|HOST|EVENTSTORE_|DATABASE_URL|MQTT|API_KEYS_FILE|OIDC_|ALLOW_|LOG_LEVEL|HTTP_TLS|BATCH_|CACHE_|MAX_|PUBLISH_|UNCHANGED_|SNAPSHOT_|PROJECTION|FOLLOWER_|ARRIVAL_)/;

/** A temporary folder for a service's data. The caller removes it with the returned function. */
export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'replica-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Without credentials of the test's own everyone is let in, also where the service would not start so by itself. */
function launch(
  environment: Readonly<Record<string, string>>,
  killAt?: KillAt,
  program = BUILT,
): ChildProcess {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.test(name)));
  delete clean['NODE_OPTIONS'];
  const isOpen = environment['API_KEYS_FILE'] === undefined && environment['OIDC_ISSUER'] === undefined;
  const preloaded = killAt === undefined ? [] : ['--import', KILL_AT];
  return spawn(process.execPath, [...preloaded, program], {
    env: {
      ...clean,
      ...(isOpen ? { ALLOW_UNAUTHENTICATED: 'on' } : {}),
      ...environment,
      ...(killAt === undefined ? {} : { KILL_AT: JSON.stringify(killAt) }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/**
 * Starts the service and resolves when it says that it is ready. Rejects with what it printed where it ends first.
 * @param program the `main.js` of another version; default: what was built here
 */
export async function startService(
  environment: Readonly<Record<string, string>> & { DATA_DIR: string },
  killAt?: KillAt,
  program?: string,
): Promise<Service> {
  const child = launch({ ...ANY_PORTS, ...environment }, killAt, program);
  const lines: string[] = [];
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const { url, mqtt } = await new Promise<{ url: string; mqtt: string }>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`The service was not ready in time:\n${lines.slice(-20).join('\n')}\n${errors}`));
    }, START_LIMIT_MS);
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      act();
    };
    if (child.stdout === null) throw new Error('The service has no standard output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      if (!line.includes('is ready')) return;
      settle(() => resolve(JSON.parse(line) as { url: string; mqtt: string }));
    });
    void ended.then((code) => settle(() => reject(new Error(`The service ended with ${code}: ${errors}`))));
  });
  return {
    url,
    mqtt,
    pid: child.pid as number,
    dataDir: environment.DATA_DIR,
    lines,
    async stop() {
      child.kill('SIGTERM');
      return ended;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    ended,
  };
}

/** Starts the service where it is expected to end by itself. */
export async function runToExit(environment: Readonly<Record<string, string>>): Promise<ServiceExit> {
  const child = launch({ ...ANY_PORTS, ...environment });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), START_LIMIT_MS);
  const code = await new Promise<number | null>((resolve) => child.once('close', (exit) => resolve(exit)));
  clearTimeout(timer);
  return { code, stdout, stderr };
}
