import type { Admin, ITopicConfig } from 'kafkajs';
import { BusError, COMMAND_CHANNELS, OUTPUT_CHANNELS } from '../../../application/ports/bus.js';
import { messageOf } from '../../../application/timing.js';
import { isKafkaError } from './errors.js';
import type { ResolvedOptions } from './options.js';
import { settled } from './settled.js';
import type { TopicNames } from './topic-names.js';

/** Replies are of no use after a while: their askers have given up. */
const REPLY_RETENTION_MS = 3_600_000;
/** Kafka's own limit of a message, where nothing else is set. */
const DEFAULT_MESSAGE_BYTES = 1_048_588;

interface NeededTopic {
  readonly config: ITopicConfig;
  /** Whether too few partitions matter: they decide how far the service can scale, and where a device's key goes. */
  readonly isKeyed: boolean;
}

/**
 * Makes the topics that are missing; another instance doing the same is no error.
 * Throws {@link BusError} `misconfigured` for a topic with fewer partitions than configured, or when not allowed.
 */
export async function ensureTopics(admin: Admin, names: TopicNames, options: ResolvedOptions): Promise<void> {
  const needed = neededTopics(names, options);
  const existing = new Set(await listTopics(admin));
  const missing = needed.filter(({ config }) => !existing.has(config.topic));
  if (missing.length > 0) {
    const topics = missing.map(({ config }) => config);
    options.logger.info({ topics: topics.map(({ topic }) => topic) }, 'Making missing topics');
    await createTopics(admin, topics, options);
  }
  await checkPartitions(admin, needed, options);
}

function neededTopics(names: TopicNames, options: ResolvedOptions): NeededTopic[] {
  const base = { numPartitions: options.partitions, replicationFactor: options.replicationFactor };
  const size =
    options.maxOutputBytes > DEFAULT_MESSAGE_BYTES
      ? [{ name: 'max.message.bytes', value: String(options.maxOutputBytes) }]
      : [];
  const outputs = OUTPUT_CHANNELS.filter(
    (channel) => channel !== 'update.documents' || options.publishDocuments,
  );
  return [
    ...COMMAND_CHANNELS.map((channel) => ({
      config: { ...base, topic: names.command(channel) },
      isKeyed: true,
    })),
    ...outputs.map((channel) => ({
      config: {
        ...base,
        topic: names.output(channel),
        configEntries:
          channel === 'update.documents' ? [...size, { name: 'cleanup.policy', value: 'compact' }] : size,
      },
      isKeyed: channel !== 'dead-letter',
    })),
    {
      config: {
        ...base,
        topic: names.replies,
        configEntries: [...size, { name: 'retention.ms', value: String(REPLY_RETENTION_MS) }],
      },
      isKeyed: false,
    },
  ];
}

/** Metadata of all topics fails while any topic of the cluster is being made or deleted: asked again until it settles. */
async function listTopics(admin: Admin): Promise<string[]> {
  return settled(() => admin.listTopics());
}

async function createTopics(admin: Admin, topics: ITopicConfig[], options: ResolvedOptions): Promise<void> {
  try {
    await admin.createTopics({ topics, waitForLeaders: true });
  } catch (error) {
    // Several topics fail as one error; those that another instance made meanwhile are fine, the rest is said.
    const failures = failuresOf(error).filter((failure) => !isKafkaError(failure, 'TOPIC_ALREADY_EXISTS'));
    if (failures.length === 0) return;
    const why = messageOf(failures[0]);
    const names = topics.map(({ topic }) => topic).join(', ');
    if (isKafkaError(failures[0], 'TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED')) {
      const message = `KAFKA_SASL_USERNAME: not allowed to create topics: grant Create, or create ${names} with ${options.partitions} partitions: ${why}`;
      throw new BusError('misconfigured', message, { cause: error });
    }
    if (isKafkaError(failures[0], 'INVALID_REPLICATION_FACTOR')) {
      const message = `KAFKA_REPLICATION_COUNT: ${options.replicationFactor} is more than the cluster has brokers: ${why}`;
      throw new BusError('misconfigured', message, { cause: error });
    }
    if (
      isKafkaError(
        failures[0],
        'INVALID_TOPIC_EXCEPTION',
        'POLICY_VIOLATION',
        'INVALID_CONFIG',
        'INVALID_PARTITIONS',
      )
    ) {
      throw new BusError('misconfigured', `Cannot create topics ${names}: ${why}`, { cause: error });
    }
    throw error;
  }
}

function failuresOf(error: unknown): unknown[] {
  const { errors } = error as { errors?: unknown };
  return Array.isArray(errors) ? (errors as unknown[]) : [error];
}

async function checkPartitions(
  admin: Admin,
  needed: readonly NeededTopic[],
  options: ResolvedOptions,
): Promise<void> {
  const metadata = await settled(() =>
    admin.fetchTopicMetadata({ topics: needed.map(({ config }) => config.topic) }),
  );
  for (const { config, isKeyed } of needed) {
    const count = metadata.topics.find(({ name }) => name === config.topic)?.partitions.length ?? 0;
    if (isKeyed && count < options.partitions) {
      throw new BusError(
        'misconfigured',
        `KAFKA_PARTITION_COUNT: topic ${config.topic} has ${count} partitions, ${options.partitions} are configured: ` +
          `set KAFKA_PARTITION_COUNT=${count}, or add partitions while no command waits (devices change their partition)`,
      );
    }
  }
}
