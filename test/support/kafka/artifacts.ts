import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('.', import.meta.url));
const pom = join(folder, 'pom.xml');
const target = join(folder, 'target');
const OLDEST_JAVA = 17;
const ABANDONED_AFTER_MS = 3_600_000;

/** The path of a tool of the JDK: the one under JAVA_HOME where that is set, else the one on the PATH. */
export function jdkTool(name: 'java' | 'keytool'): string {
  const home = process.env.JAVA_HOME;
  return home ? join(home, 'bin', name) : name;
}

/** Why the broker cannot be started on this machine, or undefined when Java and Maven are there. */
export function whyNoStarter(): string | undefined {
  const java = spawnSync(jdkTool('java'), ['-version'], { encoding: 'utf8' });
  if (java.status !== 0) return 'Java is missing';
  const version = Number(/version "(\d+)/.exec(java.stderr)?.[1] ?? 0);
  if (version < OLDEST_JAVA) return `Java ${OLDEST_JAVA} or newer is needed, found ${version}`;
  if (existsSync(jarsFolder())) return undefined;
  const maven = spawnSync('mvn', ['-version'], { encoding: 'utf8' });
  return maven.status === 0 ? undefined : 'Maven is missing';
}

/**
 * The classpath of the broker, fetched from Maven Central at the first call. The folder is named by the pom's
 * content, filled under another name and renamed when complete: an interrupted fetch leaves nothing that looks
 * complete, a changed pom is fetched anew, and of two processes at once the later one takes the earlier's.
 * Rejects with Maven's own output when it fails twice.
 */
export async function kafkaClasspath(): Promise<string> {
  const name = jarsFolder();
  if (!existsSync(name)) {
    await mkdir(target, { recursive: true });
    await removeAbandoned();
    await fetchInto(name).catch(async (error: unknown) => {
      // Another process may have finished meanwhile, or the registry was slow for a moment.
      if (!existsSync(name)) await fetchInto(name).catch(() => Promise.reject(error as Error));
    });
  }
  return join(name, '*');
}

function jarsFolder(): string {
  const hash = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 12);
  return join(target, `jars-${hash}`);
}

async function fetchInto(name: string): Promise<void> {
  const partial = await mkdtemp(join(target, 'partial-'));
  try {
    const args = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', '-DincludeScope=runtime'];
    await run('mvn', [...args, `-DoutputDirectory=${partial}`], { maxBuffer: 16 * 1024 * 1024 });
    await rename(partial, name);
  } catch (error) {
    if (existsSync(name)) return;
    const output = (error as { stdout?: string }).stdout ?? '';
    throw new Error(`Maven could not fetch the Kafka broker: ${String(error)}\n${output}`, { cause: error });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function removeAbandoned(): Promise<void> {
  for (const entry of await readdir(target)) {
    if (!entry.startsWith('partial-')) continue;
    const path = join(target, entry);
    const info = await stat(path).catch(() => undefined);
    if (info && Date.now() - info.mtimeMs > ABANDONED_AFTER_MS) {
      await rm(path, { recursive: true, force: true });
    }
  }
}
