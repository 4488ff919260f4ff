import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RestClient, until } from '../support/http.js';
import { describeWithMosquitto, type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { type Service, startService, temporaryFolder } from '../support/service.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/devices.md'), 'utf8');
const PYTHON = process.env['DEVICE_PYTHON'] ?? 'python3';
const works = (program: string, ...args: string[]): boolean => spawnSync(program, args).status === 0;

/** The page's program in a language. */
function programIn(language: string): string {
  const match = new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(PAGE);
  if (match?.[1] === undefined) throw new Error(`The page has no program in ${language}`);
  return match[1];
}

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
    const path = write('device.mjs', programIn('js'));
    const device = await isDevice('in-js', () => start(process.execPath, path, 'in-js'));
    await hasWill('in-js', device);
  });

  const hasPaho = works(PYTHON, '-c', 'import paho.mqtt.client as m; m.CallbackAPIVersion.VERSION2');
  const itPython = hasPaho || process.env['REQUIRE_DEVICE_TOOLS'] === '1' ? it : it.skip;
  itPython(
    'in Python does what it says (skipped where DEVICE_PYTHON, or python3, has no paho-mqtt 2)',
    async () => {
      const path = write('device.py', programIn('python'));
      const device = await isDevice('in-python', () => start(PYTHON, path, 'in-python'));
      await hasWill('in-python', device);
    },
  );

  const hasC = works('sh', '-c', 'echo "#include <mosquitto.h>" | cc -fsyntax-only -xc -');
  const itC = hasC || process.env['REQUIRE_DEVICE_TOOLS'] === '1' ? it : it.skip;
  itC('in C does what it says (skipped where cc or libmosquitto’s header is missing)', async () => {
    const path = write('device.c', programIn('c'));
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
