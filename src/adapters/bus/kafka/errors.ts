import { BusError } from '../../../application/ports/bus.js';
import { messageOf } from '../../../application/timing.js';
import { NO_ANSWER_OF_KAFKA } from './connection-guard.js';

/** What of kafkajs's errors is looked at. Its classes are matched by name: a wrapped one keeps it, an instance does not. */
interface KafkaError {
  readonly name?: string;
  readonly type?: string;
  readonly code?: string;
  readonly broker?: string;
  readonly cause?: unknown;
  readonly errors?: readonly unknown[];
}

/** The error, what caused it, and so on to the first cause. */
export function causesOf(error: unknown): KafkaError[] {
  const causes: KafkaError[] = [];
  for (let next: unknown = error; typeof next === 'object' && next !== null && causes.length < 10;) {
    const current = next as KafkaError;
    causes.push(current);
    if (Array.isArray(current.errors)) causes.push(...(current.errors as KafkaError[]));
    next = current.cause;
  }
  return causes;
}

/** Whether Kafka's error of this type (such as `UNKNOWN_TOPIC_OR_PARTITION`) is at the bottom of the error. */
export function isKafkaError(error: unknown, ...types: string[]): boolean {
  return causesOf(error).some(({ type }) => type !== undefined && types.includes(type));
}

const UNAUTHORIZED = [
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
];
const TLS_TRUST = /certificate|CERT_|self.signed|ALTNAME|UNABLE_TO_VERIFY/i;

/** One of the closed list, in one line that names the variable to look at. */
export function toBusError(error: unknown, brokers: readonly string[]): BusError {
  if (error instanceof BusError) return error;
  const causes = causesOf(error);
  const text = oneLine(error);
  if (causes.some(({ name }) => name === 'KafkaJSSASLAuthenticationError')) {
    return new BusError(
      'misconfigured',
      `KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD: refused by the broker: ${text}`,
      { cause: error },
    );
  }
  if (isKafkaError(error, 'UNSUPPORTED_SASL_MECHANISM')) {
    return new BusError('misconfigured', `KAFKA_SASL_MECHANISM: not offered by the broker: ${text}`, {
      cause: error,
    });
  }
  if (isKafkaError(error, ...UNAUTHORIZED)) {
    return new BusError('misconfigured', `KAFKA_SASL_USERNAME: not allowed to do this: ${text}`, {
      cause: error,
    });
  }
  if (
    causes.some(({ code }) => typeof code === 'string' && TLS_TRUST.test(code)) ||
    /self-signed certificate/.test(text)
  ) {
    return new BusError(
      'misconfigured',
      `KAFKA_TLS_CA_FILE: the broker's certificate is not trusted: ${text}`,
      {
        cause: error,
      },
    );
  }
  const broker = causes.find((cause) => typeof cause.broker === 'string')?.broker ?? brokers.join(',');
  const hint = causes.some(
    ({ name, code }) => name === 'KafkaJSConnectionClosedError' || code === NO_ANSWER_OF_KAFKA,
  )
    ? ' (does this listener want KAFKA_TLS or KAFKA_SASL_MECHANISM?)'
    : '';
  return new BusError('unavailable', `KAFKA_BROKERS: cannot reach ${broker}: ${text}${hint}`, {
    cause: error,
  });
}

const NETWORK = /^KafkaJS(Connection\w*|RequestTimeout|BrokerNotFound|NoBrokerAvailable)/;

/** Why something failed, in one line: with the variable to look at where the brokers could not be reached. */
export function reasonOf(error: unknown, brokers: readonly string[]): string {
  const isNetwork = causesOf(error).some(({ name }) => name !== undefined && NETWORK.test(name));
  return isNetwork ? toBusError(error, brokers).message : oneLine(error);
}

/** The first cause's message without kafkajs's own words around it. */
function oneLine(error: unknown): string {
  const causes = causesOf(error);
  const deepest = causes[causes.length - 1] ?? error;
  return messageOf(deepest)
    .replace(/^(KafkaJS\w+: )?(Connection error|Failed to connect): /, '')
    .replace(/\s+/g, ' ')
    .trim();
}
