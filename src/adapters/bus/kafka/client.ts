import kafkajs, {
  type Admin,
  type Kafka,
  type KafkaConfig,
  type logCreator,
  type RetryOptions,
  type SASLOptions,
} from 'kafkajs';
import { settlesWithin } from '../../../application/timing.js';
import { Sockets } from './sockets.js';
import { installConnectionGuard } from './connection-guard.js';
import { installFetchDecoder } from './fetch-decoder.js';
import { installIdleTimerFix } from './idle-timer.js';
import { installEncoder } from './encoder.js';
import { installProduceEncoder } from './produce-encoder.js';
import type { KafkaSasl, ResolvedOptions } from './options.js';
import { installStoppedFetchers } from './stopped-fetchers.js';
import { installTopicIds } from './topic-ids.js';
import { installCodecs } from './unfolding.js';

/** How kafkajs tries again, in milliseconds, with all that decides it. */
export type Retry = Required<Omit<RetryOptions, 'restartOnFailure'>>;

/** Short: this adapter does the long retrying itself, where it can say so in health(). */
export const RETRY: Retry = {
  initialRetryTime: 100,
  maxRetryTime: 2_000,
  factor: 0.2,
  multiplier: 2,
  retries: 4,
};

/** The most that one attempt at a connection takes, in milliseconds. */
const CONNECTION_TIMEOUT_MS = 3_000;
/** How long an orderly end may take before connections are cut. */
export const CLOSE_MS = 5_000;

export interface KafkaClient {
  readonly kafka: Kafka;
  /** Cuts what connections are left: kafkajs waits for requests under way, and connects again to retry them. */
  readonly cutConnections: () => void;
}

/**
 * A kafkajs client. Each user of the bus (producer, consumer, reader) takes one of its own, since the clients share
 * state in places where one that was given up can harm the next.
 *
 * @param retry how kafkajs itself tries again; default {@link RETRY}
 */
export function createKafka(options: ResolvedOptions, retry: RetryOptions = RETRY): KafkaClient {
  installIdleTimerFix();
  installConnectionGuard();
  installEncoder();
  installProduceEncoder();
  installTopicIds();
  installCodecs();
  installFetchDecoder();
  installStoppedFetchers();
  const sockets = new Sockets();
  const config: KafkaConfig = {
    brokers: [...options.brokers],
    clientId: options.clientId,
    ssl: typeof options.ssl === 'boolean' ? options.ssl : { ...options.ssl },
    connectionTimeout: Math.min(CONNECTION_TIMEOUT_MS, options.connectTimeoutMs),
    authenticationTimeout: Math.min(CONNECTION_TIMEOUT_MS, options.connectTimeoutMs),
    requestTimeout: 30_000,
    retry,
    socketFactory: sockets.open,
    logLevel: kafkajs.logLevel.WARN,
    logCreator: logTo(options),
  };
  if (options.sasl !== undefined) config.sasl = saslOptions(options.sasl);
  return { kafka: new kafkajs.Kafka(config), cutConnections: () => sockets.cut() };
}

/** Lends an admin client that is connected, and closed afterwards. */
export async function withAdmin<T>(options: ResolvedOptions, work: (admin: Admin) => Promise<T>): Promise<T> {
  const { kafka, cutConnections } = createKafka(options);
  const admin = kafka.admin({ retry: RETRY });
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    await settlesWithin(admin.disconnect(), CLOSE_MS);
    cutConnections();
  }
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
