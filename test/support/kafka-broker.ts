import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import { startGuarded, type GuardedProcess } from './guarded-process.js';
import { jdkTool, kafkaClasspath } from './kafka/artifacts.js';
import {
  caFile,
  makeCertificate,
  scramArguments,
  writeServerProperties,
  type BrokerSettings,
  type Credentials,
  type ListenerPorts,
} from './kafka/settings.js';
import { freePorts } from './ports.js';

const run = promisify(execFile);
const START_TIMEOUT_MS = 120_000;
const LOG_TAIL_LINES = 40;
const PORT_TRIES = 3;

export interface KafkaBrokerOptions {
  /** Port of the plaintext listener. Default: a free one. */
  port?: number;
  /** Kept when the broker stops. Default: a new temporary folder, removed when it stops. */
  dataDir?: string;
  /** Added to the broker's settings and stronger than them. */
  properties?: Record<string, string>;
  /** Adds a listener with SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512) for this user. Default: none. */
  sasl?: Credentials;
  /** Adds a TLS listener with a self-signed certificate; with `sasl`, one with both as well. Default: none. */
  ssl?: boolean;
  /** Worth it where the broker lives long and has much to do. Default: its code is compiled once, and lightly. */
  optimized?: boolean;
  /** Ports of proxies, each of which gets a listener of its own behind it. TLS needs `ssl`. Default: none. */
  proxies?: readonly { readonly port: number; readonly tls?: boolean }[];
}

export interface KafkaBroker {
  /** host:port of the plaintext listener. */
  readonly brokers: string;
  readonly port: number;
  readonly dataDir: string;
  /** Of the Java process; another one after each restart. */
  readonly pid: number;
  readonly saslBrokers?: string;
  readonly sslBrokers?: string;
  readonly saslSslBrokers?: string;
  /** Of the listeners behind the proxies, in their order: what a proxy has to connect to. */
  readonly proxiedPorts: readonly number[];
  /** The certificate that a TLS client has to trust. */
  readonly caPath?: string;
  /** Ends the broker in an orderly way and removes the folder if the broker made it. May be called again. */
  stop(): Promise<void>;
  /** SIGKILL; the data stay for `restart`. */
  kill(): Promise<void>;
  /** Starts it again on the same ports and data, after stopping it in an orderly way if it still runs. */
  restart(): Promise<void>;
}

/**
 * Starts a real Apache Kafka broker (KRaft, one node that is also the controller) on loopback ports and
 * resolves when it answers a client. It ends with the process that started it, however that ends.
 * Rejects with the end of the broker's log if it dies or is not ready within 120 s.
 */
export async function startKafkaBroker(options: KafkaBrokerOptions = {}): Promise<KafkaBroker> {
  const classpath = await kafkaClasspath();
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'kafka-broker-'));
  mkdirSync(dataDir, { recursive: true });
  const removeFolder = (): void => {
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    if (options.ssl) await makeCertificate(dataDir);
    for (let tries = 1; ; tries += 1) {
      const ports = await choosePorts(options);
      try {
        return await startOn(ports, dataDir, classpath, options, removeFolder);
      } catch (error) {
        // Another process may take a port between its choice and its use.
        const taken = String(error).includes('Address already in use');
        if (!taken || options.port !== undefined || tries === PORT_TRIES) throw error;
      }
    }
  } catch (error) {
    removeFolder();
    throw error;
  }
}

async function choosePorts(options: KafkaBrokerOptions): Promise<ListenerPorts> {
  const { proxies = [] } = options;
  const [plaintext = 0, controller = 0, sasl, ssl, saslSsl, ...behind] = await freePorts(5 + proxies.length);
  return {
    plaintext: options.port ?? plaintext,
    controller,
    sasl: options.sasl ? sasl : undefined,
    ssl: options.ssl ? ssl : undefined,
    saslSsl: options.sasl && options.ssl ? saslSsl : undefined,
    proxied: proxies.map(({ port, tls = false }, n) => ({
      protocol: tls ? 'SSL' : 'PLAINTEXT',
      port: behind[n] ?? 0,
      proxyPort: port,
    })),
  };
}

async function startOn(
  ports: ListenerPorts,
  dataDir: string,
  classpath: string,
  options: KafkaBrokerOptions,
  removeFolder: () => void,
): Promise<KafkaBroker> {
  const settings: BrokerSettings = {
    dataDir,
    ports,
    credentials: options.sasl,
    properties: options.properties,
  };
  const propertiesFile = await writeServerProperties(settings);
  await formatStorage(settings, propertiesFile, classpath);
  const brokers = address(ports.plaintext);
  const start = (): Promise<GuardedProcess> => launch(propertiesFile, classpath, dataDir, brokers, options);
  let current = await start();
  let stopped = false;
  return {
    brokers,
    port: ports.plaintext,
    dataDir,
    get pid() {
      return current.pid;
    },
    saslBrokers: ports.sasl === undefined ? undefined : address(ports.sasl),
    sslBrokers: ports.ssl === undefined ? undefined : address(ports.ssl),
    saslSslBrokers: ports.saslSsl === undefined ? undefined : address(ports.saslSsl),
    proxiedPorts: (ports.proxied ?? []).map(({ port }) => port),
    caPath: options.ssl ? caFile(dataDir) : undefined,
    async stop() {
      stopped = true;
      await current.end('SIGTERM');
      removeFolder();
    },
    async kill() {
      await current.end('SIGKILL');
    },
    async restart() {
      if (stopped) throw new Error('This broker was stopped for good; kill it to restart it later.');
      await current.end('SIGTERM');
      current = await start();
    },
  };
}

const address = (port: number): string => `127.0.0.1:${port}`;

async function formatStorage(
  { dataDir, credentials }: BrokerSettings,
  propertiesFile: string,
  classpath: string,
): Promise<void> {
  if (existsSync(join(dataDir, 'log', 'meta.properties'))) return;
  const clusterId = randomBytes(16);
  // A leading dash in its base64 form would be read as an option.
  clusterId.writeUInt8(clusterId.readUInt8(0) & 0x7f, 0);
  const jvm = ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
  const args = ['format', '-t', clusterId.toString('base64url'), '-c', propertiesFile];
  if (credentials) args.push(...scramArguments(credentials));
  await run(jdkTool('java'), [...jvm, '-cp', classpath, 'kafka.tools.StorageTool', ...args]);
}

async function launch(
  propertiesFile: string,
  classpath: string,
  dataDir: string,
  brokers: string,
  { dataDir: givenDataDir, optimized = false }: KafkaBrokerOptions,
): Promise<GuardedProcess> {
  const logFile = join(dataDir, 'broker.log');
  const light = optimized ? [] : ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
  const jvm = ['-Xms256m', '-Xmx512m', '-Djava.awt.headless=true', ...light];
  const logging = [
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=info',
    '-Dorg.slf4j.simpleLogger.showDateTime=true',
    '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS',
    '-Dlog4j2.level=OFF',
  ];
  const broker = await startGuarded(
    jdkTool('java'),
    [...jvm, ...logging, '-cp', classpath, 'kafka.Kafka', propertiesFile],
    { logFile, removeOnOrphaning: givenDataDir === undefined ? dataDir : undefined },
  );
  try {
    await untilReady(brokers, broker);
  } catch (error) {
    await broker.end('SIGKILL');
    const tail = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    throw new Error(`${(error as Error).message} The end of its log:\n${tail}`, { cause: error });
  }
  return broker;
}

async function untilReady(brokers: string, broker: GuardedProcess): Promise<void> {
  const kafka = new Kafka({
    clientId: 'broker-starter',
    brokers: [brokers],
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (broker.ended()) throw new Error('The Kafka broker ended before it was ready.');
    const admin = kafka.admin();
    try {
      await admin.connect();
      const cluster = await admin.describeCluster();
      if (cluster.brokers.length > 0) return;
    } catch {
      // Not yet: it neither listens nor has it registered with its controller at first.
    } finally {
      await admin.disconnect();
    }
    await sleep(200);
  }
  throw new Error(`The Kafka broker was not ready within ${START_TIMEOUT_MS / 1000} s.`);
}

async function main(): Promise<void> {
  const broker = await startKafkaBroker({ optimized: true });
  console.log(`KAFKA_BROKERS=${broker.brokers}`);
  const stop = (): void => {
    void broker.stop();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
