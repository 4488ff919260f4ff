import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MAIN = join(ROOT, 'dist', 'main.js');
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

export interface Service {
  readonly url: string;
  /** Rejects, in one line, when the service ends without having been asked to; never resolves. */
  readonly broken: Promise<never>;
  stop(): Promise<void>;
}

/**
 * Starts the built service as a process of its own, with a data folder of its own that goes when it stops, on a free
 * port of the loopback address.
 *
 * @throws with the service's own line where it does not start
 */
export async function startService(environment: Readonly<Record<string, string>>): Promise<Service> {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: npm run build makes it`);
  const dataDir = mkdtempSync(join(tmpdir(), 'device-state-replica-demo-'));
  const child = spawn(process.execPath, [MAIN], {
    cwd: ROOT,
    env: {
      ...process.env,
      ...environment,
      // On the loopback address, and on data and topics of the demo's own.
      ALLOW_UNAUTHENTICATED: 'on',
      API_KEYS_FILE: '',
      OIDC_ISSUER: '',
      OIDC_AUDIENCE: '',
      PORT: '0',
      HOST: '127.0.0.1',
      DATA_DIR: dataDir,
      LOG_LEVEL: 'info',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = (): void => void child.kill('SIGKILL');
  const removeFolder = (): void => rmSync(dataDir, { recursive: true, force: true });
  const abandon = (): void => {
    kill();
    removeFolder();
  };
  process.once('exit', abandon);
  let lastWords = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    lastWords = (lastWords + text).slice(-2000);
  });
  let stopping = false;
  const closed = once(child, 'close').then(() => {
    process.removeListener('exit', abandon);
    removeFolder();
  });
  const broken = closed.then((): Promise<never> => {
    if (stopping) return new Promise<never>(() => undefined);
    const how = child.signalCode ?? `code ${child.exitCode}`;
    throw new Error(`The service ended (${how}): ${lastWords.trim() || 'it said nothing'}`);
  });
  broken.catch(() => undefined);

  const stop = async (): Promise<void> => {
    stopping = true;
    child.kill('SIGTERM');
    const late = setTimeout(kill, STOP_TIMEOUT_MS);
    await closed;
    clearTimeout(late);
  };
  try {
    const url = await Promise.race([broken, addressOf(createInterface({ input: child.stdout }))]);
    return { url, broken, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The address that the service logs when it is ready. Reads on, so that the pipe never fills up. */
function addressOf(lines: NodeJS.EventEmitter): Promise<string> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`The service was not ready within ${START_TIMEOUT_MS} ms`)),
      START_TIMEOUT_MS,
    );
    lines.on('line', (line: string) => {
      const url = urlIn(line);
      if (url === undefined) return;
      clearTimeout(late);
      resolve(url);
    });
    lines.on('close', () => clearTimeout(late));
  });
}

function urlIn(line: string): string | undefined {
  try {
    const { url } = JSON.parse(line) as { url?: unknown };
    return typeof url === 'string' ? url : undefined;
  } catch {
    return undefined;
  }
}
