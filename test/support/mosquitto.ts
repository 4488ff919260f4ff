import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe } from '@jest/globals';
import { RestClient, until } from './http.js';
import { type Service, temporaryFolder } from './service.js';

/** Debian installs it where a user's path does not always lead. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin`;

/** A real Mosquitto, with a folder and a port of its own. */
export interface Mosquitto {
  /** `host:port`. */
  readonly address: string;
  readonly url: string;
  /** SIGKILL: what it has not written to its disk is lost. */
  kill(): Promise<void>;
  /** SIGTERM: it writes its sessions and retained messages to its disk. */
  end(): Promise<void>;
  /** SIGHUP: it reads its passwords and access list again. */
  reload(): void;
  /** On the same port, with what is on its disk. */
  restart(): Promise<void>;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

/** A suite that starts Mosquittos; skipped, or failing if REQUIRE_MOSQUITTO is 1, where Debian's mosquitto is missing. */
export function describeWithMosquitto(name: string, suite: () => void): void {
  const found = spawnSync('mosquitto', ['-h'], { env: { ...process.env, PATH } }).error === undefined;
  if (found || process.env['REQUIRE_MOSQUITTO'] === '1') describe(name, suite);
  else describe.skip(`${name} (skipped: Debian’s mosquitto is missing)`, suite);
}

/** Waits until the service takes commands from its broker. */
export async function untilBrokerIsUsed({ url }: Service): Promise<void> {
  await until('the broker is used', async () =>
    /^replica_mqtt_broker_up 1$/m.test((await new RestClient(url).get('/metrics')).text),
  );
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** @param extra lines of its configuration, in place of `allow_anonymous true` */
export function startMosquitto(
  extra: (folder: string) => readonly string[] = () => ['allow_anonymous true'],
): Promise<Mosquitto> {
  return runMosquitto((folder, port) =>
    [
      `listener ${port} 127.0.0.1`,
      'persistence true',
      `persistence_location ${folder}/`,
      ...extra(folder),
    ].join('\n'),
  );
}

/** @param configuration its text, for a folder of its own and a port that it must listen on */
export async function runMosquitto(
  configuration: (folder: string, port: number) => string,
): Promise<Mosquitto> {
  const folder = temporaryFolder();
  const port = await freePort();
  const config = join(folder.path, 'mosquitto.conf');
  // Started by root it would change to a user who may not read the folder.
  const user = process.getuid?.() === 0 ? 'user root\n' : '';
  writeFileSync(config, `${user}${configuration(folder.path, port)}\n`);
  let child: ChildProcess | null = null;
  let output = '';
  const start = async (): Promise<void> => {
    const started = spawn('mosquitto', ['-c', config], {
      env: { ...process.env, PATH },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child = started;
    started.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await until('Mosquitto listens', async () => {
      if (started.exitCode !== null) throw new Error(`Mosquitto ended:\n${output}`);
      return new Promise<boolean>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(false));
      });
    });
  };
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    const ending = child;
    if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill(name);
    await ended;
  };
  await start();
  return {
    address: `127.0.0.1:${port}`,
    url: `mqtt://127.0.0.1:${port}`,
    kill: () => signal('SIGKILL'),
    end: () => signal('SIGTERM'),
    reload: () => void child?.kill('SIGHUP'),
    restart: start,
    async remove() {
      await signal('SIGKILL');
      folder.remove();
    },
  };
}
