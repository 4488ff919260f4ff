import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { lineOf, newApiKey } from '../../src/adapters/access/api-keys.js';
import { RestClient, until } from '../support/http.js';
import { describeWithMosquitto, type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { programIn, shownOn } from '../support/page.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/devices.md'), 'utf8');
const AWS_PAGE = readFileSync(join(ROOT, 'docs/aws.md'), 'utf8');
const PYTHON = process.env['DEVICE_PYTHON'] ?? 'python3';
const works = (program: string, ...args: string[]): boolean => spawnSync(program, args).status === 0;

/** The programs of docs/devices.md, as they stand there. */
function devicesOfThePage(isWithMosquitto: boolean): void {
  const folder = temporaryFolder();
  let mosquitto: Mosquitto | null = null;
  let service: Service;
  let rest: RestClient;
  const running: ChildProcess[] = [];

  beforeAll(async () => {
    mosquitto = isWithMosquitto ? await startMosquitto() : null;
    service = await startService({
      DATA_DIR: join(folder.path, 'data'),
      ...(mosquitto === null ? {} : { MQTT_URL: mosquitto.url }),
    });
    rest = new RestClient(service.url);
    symlinkSync(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
  });
  afterAll(async () => {
    for (const child of running) child.kill('SIGKILL');
    await service.stop();
    await mosquitto?.remove();
    folder.remove();
  });

  function start(program: string, ...args: string[]): ChildProcess {
    const address = mosquitto?.address ?? service.mqtt;
    const env = { ...process.env, NODE_OPTIONS: '', MQTT_PORT: address.split(':')[1] };
    const child = spawn(program, args, { cwd: folder.path, env, stdio: ['ignore', 'ignore', 'inherit'] });
    running.push(child);
    return child;
  }

  function write(name: string, text: string): string {
    const path = join(folder.path, name);
    writeFileSync(path, text);
    return path;
  }

  async function sees(deviceId: string, state: object): Promise<void> {
    await until(`${deviceId} is ${JSON.stringify(state)}`, async () => {
      const { body } = await rest.get(`/state/${deviceId}`);
      try {
        expect(body).toMatchObject({ state });
        return true;
      } catch {
        return false;
      }
    });
  }

  async function desire(deviceId: string, desired: object): Promise<void> {
    await fetch(`${service.url}/state/${deviceId}/update`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ state: { desired } }),
    });
  }

  /** Both flows: what it reports is seen, and what is desired comes about, also what was asked for while it was away. */
  async function isDevice(deviceId: string, begin: () => ChildProcess): Promise<ChildProcess> {
    const first = begin();
    await sees(deviceId, { reported: { power: 'off', level: 1 } });
    await desire(deviceId, { power: 'on' });
    await sees(deviceId, { reported: { power: 'on', level: 1 } });
    first.kill('SIGKILL');
    await new Promise((resolve) => first.once('close', resolve));
    await desire(deviceId, { level: 2 });
    await desire(deviceId, { level: 3 });
    const second = begin();
    await sees(deviceId, { reported: { level: 3 }, desired: { level: 3 } });
    return second;
  }

  async function hasWill(deviceId: string, device: ChildProcess): Promise<void> {
    await sees(deviceId, { reported: { online: true } });
    device.kill('SIGKILL');
    await sees(deviceId, { reported: { online: false } });
  }

  it('in JavaScript does what it says', async () => {
    const path = write('device.mjs', programIn(PAGE, 'js'));
    const device = await isDevice('in-js', () => start(process.execPath, path, 'in-js'));
    await hasWill('in-js', device);
  });

  const hasPaho = works(PYTHON, '-c', 'import paho.mqtt.client as m; m.CallbackAPIVersion.VERSION2');
  const itPython = hasPaho || process.env['REQUIRE_DEVICE_TOOLS'] === '1' ? it : it.skip;
  itPython(
    'in Python does what it says (skipped where DEVICE_PYTHON, or python3, has no paho-mqtt 2)',
    async () => {
      const path = write('device.py', programIn(PAGE, 'python'));
      const device = await isDevice('in-python', () => start(PYTHON, path, 'in-python'));
      await hasWill('in-python', device);
    },
  );

  const hasC = works('sh', '-c', 'echo "#include <mosquitto.h>" | cc -fsyntax-only -xc -');
  const itC = hasC || process.env['REQUIRE_DEVICE_TOOLS'] === '1' ? it : it.skip;
  itC('in C does what it says (skipped where cc or libmosquitto’s header is missing)', async () => {
    const path = write('device.c', programIn(PAGE, 'c'));
    const built = spawnSync('cc', ['-o', 'device', path, '-lmosquitto'], {
      cwd: folder.path,
      encoding: 'utf8',
    });
    expect(built).toMatchObject({ status: 0, stderr: '' });
    await isDevice('in-c', () => start(join(folder.path, 'device'), 'in-c'));
  });
}

describe('the devices of docs/devices.md', () => devicesOfThePage(false));
describeWithMosquitto('the devices of docs/devices.md, by Mosquitto', () => devicesOfThePage(true));

const CLIENTS = ['mosquitto_pub', 'mosquitto_sub', 'mosquitto_rr'];
const hasClients = CLIENTS.every((name) => spawnSync(name, ['--help']).error === undefined);
const describeWithClients = hasClients || process.env['REQUIRE_MOSQUITTO'] === '1' ? describe : describe.skip;

/** As they stand there, but for the port, which Mosquitto's clients have from files of theirs. */
describeWithClients('the commands of the pages (skipped where Debian’s mosquitto-clients is missing)', () => {
  const folder = temporaryFolder();
  let service: Service;

  beforeAll(async () => {
    service = await startService({ DATA_DIR: join(folder.path, 'data'), AWS_SHADOW_TOPICS: 'on' });
    const port = service.mqtt.split(':')[1] ?? '';
    for (const name of CLIENTS) writeFileSync(join(folder.path, name), `-p ${port}\n`);
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  /** The same whenever it is, and in whatever order the members of an object come. */
  const timeless = (text: string): unknown =>
    text === ''
      ? ''
      : JSON.parse(text.replaceAll(/"timestamp":\d+/g, (time) => `"timestamp":${time.length}`));

  const shown = [...shownOn(PAGE), ...shownOn(AWS_PAGE)].map(({ command, output }) => [command, output]);

  it('are some', () => expect(shown.length).toBeGreaterThanOrEqual(7));

  it.each(shown)('print what is shown: %s', (command = '', output = '') => {
    const env = { PATH: process.env['PATH'], XDG_CONFIG_HOME: folder.path };
    const { stdout, stderr } = spawnSync('sh', ['-c', command], { env, encoding: 'utf8', timeout: 90_000 });
    expect({ stdout: timeless(stdout), stderr }).toEqual({ stdout: timeless(output), stderr: '' });
  });
});

describe('the program of docs/aws.md', () => {
  const folder = temporaryFolder();
  let service: Service;
  const key = newApiKey();
  const foreign = newApiKey();

  beforeAll(async () => {
    const keys = join(folder.path, 'keys');
    const lines = [
      lineOf({ id: 'panel', role: 'component', devices: ['lamp-*'] }, key),
      lineOf({ id: 'pumps', role: 'component', devices: ['pump-*'] }, foreign),
    ];
    writeFileSync(keys, lines.join('\n'));
    service = await startService({
      DATA_DIR: join(folder.path, 'data'),
      AWS_SHADOW_TOPICS: 'on',
      API_KEYS_FILE: keys,
    });
    symlinkSync(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
    writeFileSync(join(folder.path, 'shadows.mjs'), programIn(AWS_PAGE, 'js'));
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  const run = (environment: Record<string, string>): { stdout: string; stderr: string } => {
    // On an older Node.js it says that it will leave it.
    const quiet = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' };
    const env = { PATH: process.env['PATH'], ENDPOINT: service.url, ...quiet, ...environment };
    return spawnSync(process.execPath, ['shadows.mjs'], { cwd: folder.path, env, encoding: 'utf8' });
  };

  it('changes and reads a shadow with AWS’s own client', () => {
    const { stdout, stderr } = run({ API_KEY: key });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({
      state: { desired: { power: 'on' }, delta: { power: 'on' } },
      version: 1,
    });
  });

  it('is told what it may not do as AWS’s client is told', () => {
    expect(run({ API_KEY: foreign }).stderr).toContain('UnauthorizedException');
  });
});
