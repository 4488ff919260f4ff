import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { jdkTool } from './artifacts.js';

const run = promisify(execFile);
const STORE_PASSWORD = 'test-only';

export interface Credentials {
  username: string;
  password: string;
}

/** The ports of the listeners; a listener without a port is left out. */
export interface ListenerPorts {
  plaintext: number;
  controller: number;
  sasl?: number;
  ssl?: number;
  saslSsl?: number;
  proxied?: readonly ProxiedListener[];
}

/** A listener behind a proxy: clients that come through it are sent to the proxy's port, whatever they ask. */
export interface ProxiedListener {
  readonly protocol: 'PLAINTEXT' | 'SSL';
  readonly port: number;
  readonly proxyPort: number;
}

export interface BrokerSettings {
  dataDir: string;
  ports: ListenerPorts;
  credentials?: Credentials;
  /** Win over everything that is set here. */
  properties?: Record<string, string>;
}

const keyStore = (dataDir: string): string => join(dataDir, 'tls', 'broker.p12');
export const caFile = (dataDir: string): string => join(dataDir, 'tls', 'ca.pem');

/** Makes the broker's key and its self-signed certificate for 127.0.0.1 and localhost, unless they are there. */
export async function makeCertificate(dataDir: string): Promise<void> {
  if (existsSync(caFile(dataDir))) return;
  await mkdir(join(dataDir, 'tls'), { recursive: true });
  await rm(keyStore(dataDir), { force: true });
  const store = ['-alias', 'broker', '-keystore', keyStore(dataDir), '-storetype', 'PKCS12'];
  const password = ['-storepass', STORE_PASSWORD];
  const key = ['-keyalg', 'EC', '-groupname', 'secp256r1', '-validity', '30', '-dname', 'CN=localhost'];
  const extensions = ['-ext', 'SAN=IP:127.0.0.1,DNS:localhost', '-ext', 'BC=ca:true'];
  await run(jdkTool('keytool'), ['-genkeypair', ...store, ...password, ...key, ...extensions]);
  await run(jdkTool('keytool'), ['-exportcert', '-rfc', '-file', caFile(dataDir), ...store, ...password]);
}

export async function writeServerProperties(settings: BrokerSettings): Promise<string> {
  const file = join(settings.dataDir, 'server.properties');
  const lines = Object.entries(serverProperties(settings)).map(([key, value]) => `${key}=${value}`);
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}

function serverProperties({
  dataDir,
  ports,
  credentials,
  properties,
}: BrokerSettings): Record<string, string> {
  const listeners: [name: string, protocol: string, port: number | undefined][] = [
    ['PLAINTEXT', 'PLAINTEXT', ports.plaintext],
    ['SASL', 'SASL_PLAINTEXT', ports.sasl],
    ['SSL', 'SSL', ports.ssl],
    ['SASLSSL', 'SASL_SSL', ports.saslSsl],
    ['CONTROLLER', 'PLAINTEXT', ports.controller],
  ];
  const used = listeners.filter(([, , port]) => port !== undefined);
  const proxied = (ports.proxied ?? []).map((listener, n) => ({ name: `PROXIED${n}`, ...listener }));
  const addresses = used.map(([name, , port]) => `${name}://127.0.0.1:${port}`);
  const behind = proxied.map(({ name, port }) => `${name}://127.0.0.1:${port}`);
  const before = proxied.map(({ name, proxyPort }) => `${name}://127.0.0.1:${proxyPort}`);
  const protocols = [
    ...used.map(([name, protocol]) => `${name}:${protocol}`),
    ...proxied.map(({ name, protocol }) => `${name}:${protocol}`),
  ];
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    listeners: [...addresses, ...behind].join(','),
    'advertised.listeners': [
      ...addresses.filter((address) => !address.startsWith('CONTROLLER')),
      ...before,
    ].join(','),
    'listener.security.protocol.map': protocols.join(','),
    'log.dirs': join(dataDir, 'log'),
    'num.partitions': '4',
    'auto.create.topics.enable': 'false',
    'delete.topic.enable': 'true',
    'group.initial.rebalance.delay.ms': '0',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '4',
    // The default of 128 MiB is a quarter of this broker's heap.
    'log.cleaner.dedupe.buffer.size': '16777216',
    // After a SIGKILL the controller refuses the broker's new registration until the old session has run out.
    'broker.session.timeout.ms': '6000',
    'broker.heartbeat.interval.ms': '1000',
    ...(credentials && (ports.sasl ?? ports.saslSsl) !== undefined ? saslProperties(credentials) : {}),
    ...((ports.ssl ?? ports.saslSsl) !== undefined ? tlsProperties(dataDir) : {}),
    ...properties,
  };
}

function saslProperties({ username, password }: Credentials): Record<string, string> {
  const mechanisms = 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512';
  const plain = `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`;
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
  const result: Record<string, string> = { 'sasl.enabled.mechanisms': mechanisms };
  for (const listener of ['sasl', 'saslssl']) {
    result[`listener.name.${listener}.plain.sasl.jaas.config`] = plain;
    result[`listener.name.${listener}.scram-sha-256.sasl.jaas.config`] = scram;
    result[`listener.name.${listener}.scram-sha-512.sasl.jaas.config`] = scram;
  }
  return result;
}

function tlsProperties(dataDir: string): Record<string, string> {
  return {
    'ssl.keystore.type': 'PKCS12',
    'ssl.keystore.location': keyStore(dataDir),
    'ssl.keystore.password': STORE_PASSWORD,
    'ssl.key.password': STORE_PASSWORD,
  };
}

/** The arguments with which the storage tool writes the users of SCRAM into a new broker's metadata. */
export function scramArguments({ username, password }: Credentials): string[] {
  return ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${username},password=${password}]`,
  ]);
}
