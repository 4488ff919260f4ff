/**
 * npm run bench:devices [-- --devices 1000] [--seconds 300] [--json FILE]
 *
 * So many simulated devices, each with an MQTT connection of its own and its delta subscribed, report once a second at
 * QoS 1 to the service, embedded, as `npm start` runs it. At the end every device's version must be the number of its
 * acknowledged reports: none was lost, none recorded twice. A fiftieth of the devices is asked for something each
 * second, over MQTT; the delta must come to the device.
 *
 * It prints what was sent and acknowledged, the latency of the acknowledgements, and the service's resident memory in
 * the second quarter of the run against the last one: their ratio says whether it is flat.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import mqtt, { type MqttClient } from 'mqtt';
import { end, untilLine } from './support/children.js';
import {
  machine,
  MEASURED_CORE,
  median,
  NODE_FLAGS,
  OTHER_CORE,
  pin,
  spawnPinned,
} from './support/machine.js';

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '300' },
    json: { type: 'string' },
  },
});
const count = Number(values.devices);
const seconds = Number(values.seconds);

interface Device {
  readonly id: string;
  readonly client: MqttClient;
  acknowledged: number;
  /** The latest value that was asked of it, and that a delta told it. */
  asked: number;
  told: number;
}

const dataDir = mkdtempSync(join(tmpdir(), 'bench-devices-'));
pin(process.pid, OTHER_CORE);
const service = spawnPinned(MEASURED_CORE, process.execPath, [...NODE_FLAGS, 'dist/main.js'], {
  DATA_DIR: dataDir,
  PORT: '0',
  MQTT: 'on',
  MQTT_PORT: '0',
});
try {
  const line = await untilLine(service, (text) => text.includes('is ready'));
  const { url, mqtt: address } = JSON.parse(line) as { url: string; mqtt: string };
  console.log(`machine: ${machine()}`);
  console.log(`method: ${count} MQTT devices, one report a second each at QoS 1, for ${seconds} s`);
  const devices: Device[] = [];
  for (let n = 0; n < count; n++) devices.push(await connect(address, `device-${n}`));
  const latencies: number[] = [];
  const memory: number[] = [];
  let sent = 0;
  let failed = 0;

  async function report(device: Device, n: number): Promise<void> {
    const start = performance.now();
    sent++;
    const state = { reported: { n, told: device.told, temperature: 20 + (n % 7), mode: 'auto' } };
    try {
      await device.client.publishAsync(`state/${device.id}/update`, JSON.stringify({ state }), { qos: 1 });
      device.acknowledged++;
      latencies.push(performance.now() - start);
    } catch {
      failed++;
    }
  }

  async function ask(device: Device, n: number): Promise<void> {
    const state = { desired: { told: n } };
    await device.client.publishAsync(`state/${device.id}/update`, JSON.stringify({ state }), { qos: 1 });
    device.asked = n;
    device.acknowledged++;
  }

  const work: Promise<void>[] = [];
  const begun = performance.now();
  for (let second = 0; second < seconds; second++) {
    // Spread over the second, as devices are.
    for (let part = 0; part < 20; part++) {
      const due = begun + second * 1000 + part * 50;
      await pause(Math.max(0, due - performance.now()));
      for (let n = part; n < count; n += 20) {
        const device = devices[n];
        if (device === undefined) continue;
        work.push(report(device, second));
        if ((n + second) % 50 === 0) work.push(ask(device, second + 1));
      }
    }
    memory.push(await residentMib(url));
  }
  await Promise.all(work);
  const took = (performance.now() - begun) / 1000;
  const late = async (): Promise<Device[]> => {
    // The last deltas are on their way.
    for (let wait = 0; wait < 100 && devices.some((one) => one.told !== one.asked); wait++) await pause(100);
    return devices.filter((one) => one.told !== one.asked);
  };
  const untold = await late();
  const wrong: string[] = [];
  for (const { id, acknowledged } of devices) {
    const shown = (await (await fetch(`${url}/state/${id}`)).json()) as { version: number };
    if (shown.version !== acknowledged)
      wrong.push(`${id}: ${acknowledged} acknowledged, version ${shown.version}`);
  }
  for (const { client } of devices) client.end(true);

  latencies.sort((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(latencies[Math.floor(share * (latencies.length - 1))] ?? 0);
  const quarter = Math.max(1, memory.length >> 2);
  const [early, last] = [median(memory.slice(quarter, 2 * quarter)), median(memory.slice(-quarter))];
  const figures = {
    bench: 'devices',
    machine: machine(),
    devices: count,
    seconds: Math.round(took),
    sent,
    failed,
    wrong: wrong.length,
    untold: untold.length,
    latencyMs: { p50: at(0.5), p99: at(0.99), max: at(1) },
    memoryMib: { secondQuarter: early, lastQuarter: last, ratio: last / early },
  };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  for (const one of wrong.slice(0, 10)) console.log(`wrong: ${one}`);
  for (const { id, asked, told } of untold.slice(0, 10)) console.log(`untold: ${id}: ${asked}, told ${told}`);
  console.log(`reports: ${sent} sent in ${Math.round(took)} s, ${failed} failed`);
  console.log(`acknowledged after: median ${at(0.5)} ms, 99 % ${at(0.99)} ms, at most ${at(1)} ms`);
  console.log(`memory: ${Math.round(early)} MiB in the second quarter, ${Math.round(last)} MiB in the last`);
  console.log(`lost or recorded twice: ${wrong.length} devices; deltas that did not come: ${untold.length}`);
  console.log(`memory ratio: ${(last / early).toFixed(2)}`);
  process.exitCode = wrong.length + untold.length + failed === 0 ? 0 : 1;
} finally {
  await end(service);
  rmSync(dataDir, { recursive: true });
}

async function connect(address: string, id: string): Promise<Device> {
  const client = await mqtt.connectAsync(`mqtt://${address}`, { clientId: id, protocolVersion: 4 });
  const device: Device = { id, client, acknowledged: 0, asked: 0, told: 0 };
  client.on('message', (_, payload) => {
    const { state } = JSON.parse(payload.toString()) as { state: { told?: number } };
    if (state.told !== undefined) device.told = state.told;
  });
  await client.subscribeAsync(`state/${id}/update/delta`, { qos: 1 });
  return device;
}

async function residentMib(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)/m.exec(text)?.[1] ?? 0) / 2 ** 20;
}
