import type { BusLogger } from '../logger.js';
import { silentLogger } from '../logger.js';

export interface KafkaTls {
  /** PEM of the authority that signed the brokers' certificates. Default: Node's own list. */
  readonly ca?: string | Buffer;
  /** PEM of the client's certificate, for mutual TLS. */
  readonly cert?: string | Buffer;
  /** PEM of the client's key, for mutual TLS. */
  readonly key?: string | Buffer;
  /** Default true. */
  readonly rejectUnauthorized?: boolean;
}

export interface KafkaSasl {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  readonly password: string;
}

/** What can be measured from outside. Called on the hot path: must be cheap and must not throw. */
export interface KafkaBusMetrics {
  /** Messages that wait in a partition after a unit of work was committed. */
  lag?(topic: string, partition: number, messages: number): void;
  /** A partition that another member has now, or nobody: what it was behind says nothing any more. */
  released?(topic: string, partition: number): void;
  /** A unit of work failed and will be delivered again. */
  redelivery?(topic: string, partition: number): void;
  /** Records came that cannot be what was sent, and were asked for again. */
  damaged?(topic: string, partition: number): void;
  /** The consumer was given up and started anew. */
  restart?(reason: string): void;
}

export interface KafkaBusOptions {
  /** `host:port` of brokers to begin with. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** The consumer group that instances share. */
  readonly groupId: string;
  /** Topics are `${topicPrefix}.update` and so on. Default `state`. */
  readonly topicPrefix?: string;
  /** Partitions of topics that are made here, and the fewest that an existing one may have. Default 12. */
  readonly partitions?: number;
  /** Replicas of topics that are made here. Default −1: as the brokers are configured. */
  readonly replicationFactor?: number;
  /** Default false: plain text. */
  readonly ssl?: KafkaTls | boolean;
  readonly sasl?: KafkaSasl;
  /** How long connect() may take. Default 10 000. */
  readonly connectTimeoutMs?: number;
  /** Whether the compacted topic `update.documents` is needed. Default false. */
  readonly publishDocuments?: boolean;
  /** The most messages of one batch handed to a handler. Default 500. */
  readonly maxBatchCount?: number;
  /** The most bytes of one batch handed to a handler. Default 512 KiB. */
  readonly maxBatchBytes?: number;
  /** The most bytes sent to one partition in one request; must be under the topics' `max.message.bytes`. Default 900 000. */
  readonly maxRequestBytes?: number;
  /**
   * The most bytes that one output can have. Topics that are made here take messages of this size, and of Kafka's own
   * default of 1 048 588 in any case.
   */
  readonly maxOutputBytes?: number;
  /** How long request() waits for its reply. Default 10 000. */
  readonly requestTimeoutMs?: number;
  /** After how long without a heartbeat the group takes a member for dead. Default 30 000. */
  readonly sessionTimeoutMs?: number;
  /** How long stop() lets the batch in hand go on. Default 10 000. */
  readonly shutdownMs?: number;
  readonly logger?: BusLogger;
  readonly metrics?: KafkaBusMetrics;
}

export type ResolvedOptions = Required<Omit<KafkaBusOptions, 'sasl'>> & { readonly sasl?: KafkaSasl };

export function withDefaults(options: KafkaBusOptions): ResolvedOptions {
  return {
    topicPrefix: 'state',
    partitions: 12,
    replicationFactor: -1,
    ssl: false,
    connectTimeoutMs: 10_000,
    publishDocuments: false,
    maxBatchCount: 500,
    maxBatchBytes: 512 * 1024,
    maxRequestBytes: 900_000,
    maxOutputBytes: 0,
    requestTimeoutMs: 10_000,
    sessionTimeoutMs: 30_000,
    shutdownMs: 10_000,
    logger: silentLogger,
    metrics: {},
    ...withoutUndefined(options),
  };
}

/** An option given as undefined means its default. */
function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
