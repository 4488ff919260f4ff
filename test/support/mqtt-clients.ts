import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll } from '@jest/globals';
import { until } from './http.js';
import { MqttPeer, Received } from './mqtt.js';

export interface ClientOptions {
  readonly clientId: string;
  /** 4: 3.1.1. */
  readonly version: 4 | 5;
  /** Whether it wants a session of before to be forgotten. */
  readonly clean: boolean;
  /** What it subscribes to, each time it connects. */
  readonly topics: readonly string[];
  /** Of its subscriptions. */
  readonly qos: 0 | 1;
}

/** A client that is connected, and whose subscriptions are acknowledged. */
export interface ConnectedClient extends Pick<Received, 'got' | 'of' | 'has'> {
  /** Publishes at QoS 1, and resolves when it is acknowledged. */
  send(topic: string, body: object | string): Promise<void>;
  /** Leaves with DISCONNECT. */
  leave(): Promise<void>;
}

/** An implementation of MQTT. */
export interface MqttClientKind {
  readonly name: string;
  /** Why it cannot be tried here; null: it can. */
  readonly missing: string | null;
  connect(address: string, options: ClientOptions): Promise<ConnectedClient>;
}

const PYTHON = process.env['DEVICE_PYTHON'] ?? 'python3';
const PAHO_PEER = fileURLToPath(new URL('paho_peer.py', import.meta.url));
const hasPaho =
  spawnSync(PYTHON, ['-c', 'import paho.mqtt.client as m; m.CallbackAPIVersion.VERSION2']).status === 0;
const hasMosquittoClients = spawnSync('mosquitto_sub', ['--help']).error === undefined;

const mqttJs: MqttClientKind = {
  name: 'MQTT.js',
  missing: null,
  async connect(address, { clientId, version, clean, topics, qos }) {
    const peer = await MqttPeer.connect(address, {
      clientId,
      clean,
      protocolVersion: version,
      ...(version === 5 && !clean ? { properties: { sessionExpiryInterval: 3600 } } : {}),
    });
    if (topics.length > 0) await peer.client.subscribeAsync([...topics], { qos });
    return peer;
  },
};

const children = new Set<ChildProcess>();

afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** A process of which each line of standard output is told. */
class Told extends Received {
  readonly child: ChildProcess;
  private readonly ended: Promise<void>;
  private errors = '';

  constructor(program: string, args: readonly string[], onLine: (line: string, told: Received) => void) {
    super();
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    children.add(this.child);
    this.ended = new Promise((resolve) => this.child.once('close', () => resolve()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    if (this.child.stdout !== null)
      createInterface({ input: this.child.stdout }).on('line', (line) => onLine(line, this));
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    await until(what, () => {
      if (this.child.exitCode !== null) throw new Error(`${what}: it ended: ${this.errors}`);
      return isSo();
    });
  }

  async end(signal: () => void): Promise<void> {
    signal();
    await this.ended;
    children.delete(this.child);
  }
}

const paho: MqttClientKind = {
  name: 'Paho for Python',
  missing: hasPaho ? null : 'DEVICE_PYTHON, or python3, has no paho-mqtt 2',
  async connect(address, options) {
    const [host, port] = address.split(':');
    let isReady = false;
    let acknowledged = 0;
    let sent = 0;
    const told = new Told(
      PYTHON,
      [PAHO_PEER, JSON.stringify({ ...options, host, port: Number(port) })],
      (line, { got }) => {
        const { event, ...rest } = JSON.parse(line) as { event: string; [name: string]: unknown };
        if (event === 'ready') isReady = true;
        if (event === 'acknowledged') acknowledged = Number(rest['number']);
        if (event === 'message') got.push(rest as unknown as (typeof got)[number]);
      },
    );
    await told.until('Paho is connected', () => isReady);
    return Object.assign(told, {
      async send(topic: string, body: object | string) {
        const text = typeof body === 'string' ? body : JSON.stringify(body);
        const number = ++sent;
        told.child.stdin?.write(`${JSON.stringify({ number, topic, text })}\n`);
        await told.until('Paho has an acknowledgement', () => acknowledged >= number);
      },
      leave: () => told.end(() => told.child.stdin?.end()),
    });
  },
};

/** `mosquitto_sub` for what it subscribes to, and `mosquitto_pub`, a connection of its own, for each publish. */
const mosquitto: MqttClientKind = {
  name: 'mosquitto_pub and mosquitto_sub',
  missing: hasMosquittoClients ? null : 'Debian’s mosquitto-clients is missing',
  async connect(address, { clientId, version, clean, topics, qos }) {
    const [host = '', port = ''] = address.split(':');
    const common = ['-h', host, '-p', port, '-V', version === 5 ? 'mqttv5' : 'mqttv311'];
    const session = clean ? [] : ['-c', ...(version === 5 ? ['-x', '3600'] : [])];
    const subscriptions = topics.flatMap((topic) => ['-t', topic]);
    let isReady = false;
    const told =
      topics.length === 0
        ? null
        : new Told(
            // By itself it keeps what it says for a later line.
            'stdbuf',
            [
              '-oL',
              'mosquitto_sub',
              ...common,
              '-i',
              clientId,
              ...session,
              '-d',
              '-v',
              '-q',
              String(qos),
              ...subscriptions,
            ],
            (line, { got }) => {
              if (line.startsWith('Subscribed ')) isReady = true;
              const [, topic, text] = /^((?:state|\$aws)\/\S+) (.*)$/.exec(line) ?? [];
              if (topic !== undefined && text !== undefined) got.push({ topic, text, retain: false });
            },
          );
    await told?.until('mosquitto_sub has subscribed', () => isReady);
    return Object.assign(told ?? new Received(), {
      send: (topic: string, body: object | string) =>
        new Promise<void>((resolve, reject) => {
          const text = typeof body === 'string' ? body : JSON.stringify(body);
          const args = [...common, '-q', '1', '-t', topic, ...(text === '' ? ['-n'] : ['-m', text])];
          execFile('mosquitto_pub', args, { timeout: 90_000 }, (error) =>
            error === null ? resolve() : reject(new Error(error.message)),
          );
        }),
      leave: async () => told?.end(() => told.child.kill('SIGTERM')),
    });
  },
};

export const MQTT_CLIENTS: readonly MqttClientKind[] = [mqttJs, paho, mosquitto];
