import kafkajs, {
  type Kafka,
  type KafkaConfig,
  type logCreator,
  type RetryOptions,
  type SASLOptions,
} from 'kafkajs';
import { installCodecs } from './codecs.js';
import { installIdleTimerFix } from './idle-timer.js';
import { installRecordBatchEncoder } from './record-batch-encoder.js';
import { installRecordEncoder } from './record-encoder.js';
import type { KafkaSasl, ResolvedOptions } from './options.js';
import { installTopicIds } from './topic-ids.js';

/** Short: this adapter does the long retrying itself, where it can say so in health(). */
export const RETRY: RetryOptions = {
  initialRetryTime: 100,
  maxRetryTime: 2_000,
  factor: 0.2,
  multiplier: 2,
  retries: 4,
};

/** The most that one attempt at a connection takes, in milliseconds. */
const CONNECTION_TIMEOUT_MS = 3_000;

/**
 * A kafkajs client. Each user of the bus (producer, consumer, admin) takes one of its own, since the clients share
 * state in places where one that was given up can harm the next.
 */
export function createKafka(options: ResolvedOptions): Kafka {
  installIdleTimerFix();
  installRecordEncoder();
  installRecordBatchEncoder();
  installTopicIds();
  installCodecs();
  const config: KafkaConfig = {
    brokers: [...options.brokers],
    clientId: options.clientId,
    ssl: typeof options.ssl === 'boolean' ? options.ssl : { ...options.ssl },
    connectionTimeout: Math.min(CONNECTION_TIMEOUT_MS, options.connectTimeoutMs),
    authenticationTimeout: Math.min(CONNECTION_TIMEOUT_MS, options.connectTimeoutMs),
    requestTimeout: 30_000,
    retry: RETRY,
    logLevel: process.env.KDBG ? kafkajs.logLevel.DEBUG : kafkajs.logLevel.WARN,
    logCreator: logTo(options),
  };
  if (options.sasl !== undefined) config.sasl = saslOptions(options.sasl);
  return new kafkajs.Kafka(config);
}

function saslOptions({ mechanism, username, password }: KafkaSasl): SASLOptions {
  return { mechanism, username, password };
}

/** kafkajs calls every retry of a lost connection an error; what deserves the name is logged where it is handled. */
function logTo({ logger }: ResolvedOptions): logCreator {
  return () =>
    ({ namespace, log }) => {
      const { message, timestamp: _timestamp, logger: _logger, stack: _stack, ...fields } = log;
      logger.debug({ ...fields, kafkajs: namespace }, message);
    };
}
