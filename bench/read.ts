/**
 * npm run bench:read [-- --devices 300] [--connections 50] [--seconds 4] [--rounds 7] [--json FILE]
 *
 * `GET /state/{id}` a second of the service, embedded, as `npm start` runs it, against a bare node:http server that
 * answers the same paths with the same bytes and headers. The load comes over keep-alive connections. The two servers
 * share a core and take turns; the load has another core. One run, alternating rounds, medians.
 *
 * The requests a second are the servers' own where they are busy all the time, which is told, too; where something else
 * wants their core, the CPU time a request compares the two all the same.
 */
import { type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BareAnswer } from './bare-http.js';
import { end, untilLine } from './support/children.js';
import { loadWithGets } from './support/http-load.js';
import {
  cpuMicros,
  MEASURED_CORE,
  median,
  NODE_FLAGS,
  OTHER_CORE,
  pin,
  spawnPinned,
} from './support/machine.js';
import { readOptions } from './support/options.js';
import { announce, type Comparison, conclude, type Figure } from './support/report.js';
import { makeCommands } from './support/workload.js';

const { devices, connections, seconds, rounds, json } = readOptions({
  devices: 300,
  connections: 50,
  seconds: 4,
  rounds: 7,
});

/** Headers that Node sets by itself, on either side. */
const OF_NODE = new Set(['date', 'connection', 'keep-alive']);

interface Side {
  readonly name: string;
  readonly url: string;
  readonly child: ChildProcess;
  readonly perSecond: number[];
  readonly cpuMicrosPerRequest: number[];
  /** Share of the time in which the server worked. */
  readonly busy: number[];
}

interface Figures {
  readonly name: string;
  readonly requestsPerSecond: number;
  readonly cpuMicrosPerRequest: number;
  readonly busy: number;
  /** Requests a second in each round. */
  readonly rounds: readonly number[];
}

function sideOf(name: string, url: string, child: ChildProcess): Side {
  return { name, url, child, perSecond: [], cpuMicrosPerRequest: [], busy: [] };
}

async function startService(dataDir: string): Promise<Side> {
  const env = { DATA_DIR: dataDir, PORT: '0', LOG_LEVEL: 'info' };
  const child = spawnPinned(MEASURED_CORE, process.execPath, [...NODE_FLAGS, 'dist/main.js'], env);
  const line = await untilLine(child, (text) => text.includes('is ready'));
  return sideOf('service', (JSON.parse(line) as { url: string }).url, child);
}

async function startBare(answers: readonly BareAnswer[]): Promise<Side> {
  const args = [...NODE_FLAGS, '--import', 'tsx', 'bench/bare-http.ts'];
  const child = spawnPinned(MEASURED_CORE, process.execPath, args, {}, 'channel');
  child.send(answers);
  const line = await untilLine(child, (text) => text.startsWith('listening '));
  return sideOf('bare node:http', `http://127.0.0.1:${line.split(' ')[1] ?? ''}`, child);
}

/** Some updates for every device, so that each has both sections and most a delta. */
async function fill(url: string): Promise<string[]> {
  const commands = makeCommands(devices * 40, devices, 1);
  const paths = new Set<string>();
  for (let start = 0; start < commands.length; start += 100) {
    const part = commands.slice(start, start + 100);
    const statuses = await Promise.all(
      part.map(async ({ key, value }) => {
        paths.add(`/state/${key}`);
        const headers = { 'content-type': 'application/json' };
        const body = new Uint8Array(value);
        const answer = await fetch(`${url}/state/${key}/update`, { method: 'POST', headers, body });
        await answer.arrayBuffer();
        return answer.status;
      }),
    );
    const wrong = statuses.find((status) => status !== 200);
    if (wrong !== undefined) throw new Error(`An update was answered with ${wrong}`);
  }
  return [...paths];
}

async function answerOf(url: string, path: string): Promise<BareAnswer> {
  const answer = await fetch(`${url}${path}`);
  if (answer.status !== 200) throw new Error(`GET ${path} was answered with ${answer.status}`);
  const headers = Object.fromEntries([...answer.headers].filter(([name]) => !OF_NODE.has(name)));
  return { path, headers, body: await answer.text() };
}

/** But for the time of the answer, which the service tells. */
function withoutTime({ headers, body }: BareAnswer): string {
  return JSON.stringify([Object.entries(headers).sort(), body.replace(/"timestamp":\d+\}$/, '')]);
}

async function load(side: Side, paths: readonly string[]): Promise<void> {
  const pid = side.child.pid as number;
  const cpuBefore = cpuMicros(pid) ?? NaN;
  const options = { url: side.url, paths, connections, milliseconds: seconds * 1000 };
  const { count, milliseconds } = await loadWithGets(options);
  const cpu = (cpuMicros(pid) ?? NaN) - cpuBefore;
  side.perSecond.push((count * 1000) / milliseconds);
  side.cpuMicrosPerRequest.push(cpu / count);
  side.busy.push(cpu / milliseconds / 1000);
}

function figuresOf({ name, perSecond, cpuMicrosPerRequest, busy }: Side): Figures {
  return {
    name,
    requestsPerSecond: Math.round(median(perSecond)),
    cpuMicrosPerRequest: Number(median(cpuMicrosPerRequest).toFixed(2)),
    busy: Number(median(busy).toFixed(2)),
    rounds: perSecond.map(Math.round),
  };
}

function comparisonOf(
  one: Figures,
  other: Figures,
  key: 'requestsPerSecond' | 'cpuMicrosPerRequest',
  unit: string,
): Comparison {
  const figure = (side: Figures): Figure => ({ side: side.name, value: side[key], unit });
  return { sides: [figure(one), figure(other)], ratio: one[key] / other[key] };
}

function lineOf({ requestsPerSecond, cpuMicrosPerRequest, busy }: Omit<Figures, 'name' | 'rounds'>): string {
  return `${requestsPerSecond.toLocaleString('en')} requests/s, ${cpuMicrosPerRequest.toFixed(2)} CPU µs/request, server busy ${Math.round(busy * 100)} %`;
}

const dataDir = mkdtempSync(join(tmpdir(), 'bench-read-'));
const sides: Side[] = [];
try {
  pin(process.pid, OTHER_CORE);
  const service = await startService(dataDir);
  sides.push(service);
  const paths = await fill(service.url);
  const answers = await Promise.all(paths.map((path) => answerOf(service.url, path)));
  const bare = await startBare(answers);
  sides.push(bare);
  for (const answer of answers) {
    const [ours, theirs] = [
      await answerOf(service.url, answer.path),
      await answerOf(bare.url, answer.path),
    ].map(withoutTime);
    if (ours !== theirs) throw new Error(`The two sides differ: ${answer.path}`);
  }
  const sizes = answers.map(({ body }) => Buffer.byteLength(body));
  const method = `GET of ${paths.length} devices in turn, documents of ${Math.min(...sizes)} to ${Math.max(...sizes)} bytes (median ${median(sizes)}), ${connections} keep-alive connections; ${rounds} alternating rounds of ${seconds} s after one to warm up, medians`;
  announce(method);
  for (const side of sides) {
    await load(side, paths);
    for (const list of [side.perSecond, side.cpuMicrosPerRequest, side.busy]) list.length = 0;
  }
  for (let round = 1; round <= rounds; round++) {
    // Who is first takes turns, too.
    for (const side of round % 2 === 1 ? sides : [...sides].reverse()) {
      await load(side, paths);
      const [requestsPerSecond, cpuMicrosPerRequest, busy] = [
        Math.round(side.perSecond.at(-1) ?? NaN),
        side.cpuMicrosPerRequest.at(-1) ?? NaN,
        side.busy.at(-1) ?? NaN,
      ];
      console.log(`round ${round} ${side.name}: ${lineOf({ requestsPerSecond, cpuMicrosPerRequest, busy })}`);
    }
  }
  const [ours, theirs] = [figuresOf(service), figuresOf(bare)];
  for (const side of [ours, theirs]) console.log(`${side.name}: ${lineOf(side)} (medians)`);
  conclude({
    bench: 'read',
    method,
    comparisons: [
      comparisonOf(ours, theirs, 'requestsPerSecond', 'requests/s'),
      { name: 'by CPU time', ...comparisonOf(theirs, ours, 'cpuMicrosPerRequest', 'CPU µs/request') },
    ],
    details: { documentBytes: median(sizes), service: ours, bare: theirs },
    json,
  });
} finally {
  await Promise.all(sides.map(({ child }) => end(child)));
  rmSync(dataDir, { recursive: true, force: true });
}
