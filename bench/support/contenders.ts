import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { jdkTool } from '../../test/support/kafka/artifacts.js';
import { untilLine } from './children.js';
import { type KafkaBench, PARTITIONS } from './kafka-bench.js';
import { MEASURED_CORE, NODE_FLAGS, pin, spawnPinned } from './machine.js';

/** A program that takes commands from `{prefix}.update` and sends its outputs to other topics of that prefix. */
export interface Contender {
  readonly name: string;
  readonly prefix: string;
  readonly process: ChildProcess;
  /** Topics of the outputs that are counted. */
  readonly outputs: readonly string[];
}

/** A script in this folder, on the measured core, when it says that it is ready. */
export async function startScript(
  script: string,
  env: Record<string, string>,
  flags: readonly string[] = [],
): Promise<ChildProcess> {
  const args = [...NODE_FLAGS, ...flags, '--import', 'tsx', script];
  const child = spawnPinned(MEASURED_CORE, process.execPath, args, env);
  await untilLine(child, (line) => line === 'ready');
  return child;
}

/** The bare kafkajs program. @param unit messages that it sends at once */
export async function startBare(bench: KafkaBench, unit: number): Promise<Contender> {
  const prefix = `bare-${process.pid}`;
  await createTopics(bench, prefix);
  const child = await startScript('bench/bare.ts', environment(bench, prefix, { UNIT: String(unit) }));
  return contender('bare kafkajs', prefix, child);
}

/** The plain Nest service, with a store in a new folder. */
export async function startNaive(bench: KafkaBench): Promise<Contender> {
  const prefix = `naive-${process.pid}`;
  await createTopics(bench, prefix);
  const env = environment(bench, prefix, { DATA_DIR: bench.newFolder() });
  const child = await startScript('bench/naive/main.ts', env);
  return contender('plain Nest service', prefix, child);
}

/** The Kafka Streams application, built by Maven where it has changed, with its state in a new folder. */
export async function startStreams(bench: KafkaBench): Promise<Contender> {
  execFileSync('mvn', ['-q', '-B', '-f', 'bench/streams/pom.xml', 'package'], { stdio: 'inherit' });
  const prefix = `streams-${process.pid}`;
  await createTopics(bench, prefix);
  const logging = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error';
  const args = [logging, '-cp', 'bench/streams/target/jars/*', 'replica.StreamsApp'];
  const env = { ...process.env, ...environment(bench, prefix, { DATA_DIR: bench.newFolder() }) };
  const child = spawn(jdkTool('java'), args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  await untilLine(child, (line) => line === 'ready');
  // Only now: the JVM chooses its garbage collector by the cores that it sees at its start.
  if (child.pid !== undefined) pin(child.pid, MEASURED_CORE);
  return contender('Kafka Streams', prefix, child);
}

export interface ServiceOptions {
  /** Of what is started; default `service`. */
  readonly name?: string;
  /** Besides the broker, topics of its own and a new folder. */
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  readonly channel?: 'channel';
}

/** The service as `npm start` runs it, on a Kafka, with a store in a new folder. */
export async function startService(bench: KafkaBench, options: ServiceOptions = {}): Promise<Contender> {
  const { name = 'service', env = {}, flags = [], channel } = options;
  const prefix = `${name.replaceAll(/[^a-z]+/g, '-')}-${process.pid}`;
  const args = [...NODE_FLAGS, ...flags, 'dist/main.js'];
  const settings = environment(bench, prefix, {
    KAFKA_GROUP_ID: prefix,
    KAFKA_PARTITION_COUNT: String(PARTITIONS),
    DATA_DIR: bench.newFolder(),
    PORT: '0',
    ALLOW_UNAUTHENTICATED: 'on',
    LOG_LEVEL: 'info',
    PROJECTIONS: serviceProjections,
    ...env,
  });
  const child = spawnPinned(MEASURED_CORE, process.execPath, args, settings, channel);
  await untilLine(child, (line) => line.includes('is ready'));
  return contender(name, prefix, child, ['update.rejected', 'dead-letter']);
}

/**
 * Whether the service keeps its read model meanwhile. By itself it does not: it would project on into the rounds of the
 * other side, on the one core that both have. What it costs commands is seen by setting it to `on`.
 */
export const serviceProjections = process.env['PROJECTIONS'] ?? 'off';

const OUTPUTS = ['update.accepted', 'update.delta'];

function environment(
  { brokers }: KafkaBench,
  prefix: string,
  more: Readonly<Record<string, string>>,
): Record<string, string> {
  return { KAFKA_BROKERS: brokers, TOPIC_PREFIX: prefix, ...more };
}

/** Of the programs that make none. */
async function createTopics({ admin }: KafkaBench, prefix: string): Promise<void> {
  const topics = ['update', ...OUTPUTS].map((name) => `${prefix}.${name}`);
  await admin.createTopics({
    waitForLeaders: true,
    topics: topics.map((topic) => ({ topic, numPartitions: PARTITIONS })),
  });
}

function contender(
  name: string,
  prefix: string,
  process: ChildProcess,
  more: readonly string[] = [],
): Contender {
  return { name, prefix, process, outputs: [...OUTPUTS, ...more].map((topic) => `${prefix}.${topic}`) };
}
