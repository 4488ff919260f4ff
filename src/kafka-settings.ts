import { type KafkaBusOptions } from './adapters/bus/kafka/options.js';
import { type Settings } from './config/settings.js';
import { fileOf } from './setting-files.js';

/** How the settings say that Kafka is reached. Throws `SettingsError` for a file that cannot be read. */
export function kafkaConnectionOf(
  settings: Settings & { readonly KAFKA_BROKERS: string },
): Pick<KafkaBusOptions, 'brokers' | 'clientId' | 'ssl' | 'sasl' | 'connectTimeoutMs'> {
  return {
    brokers: settings.KAFKA_BROKERS.split(',').map((broker) => broker.trim()),
    clientId: settings.KAFKA_CLIENT_ID,
    connectTimeoutMs: settings.KAFKA_CONNECT_TIMEOUT_MS,
    ssl: tlsOf(settings),
    ...saslOf(settings),
  };
}

function tlsOf(settings: Settings): boolean | { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  if (settings.KAFKA_TLS === 'off') return false;
  const ca = fileOf(settings, 'KAFKA_TLS_CA_FILE');
  const cert = fileOf(settings, 'KAFKA_TLS_CERT_FILE');
  const key = fileOf(settings, 'KAFKA_TLS_KEY_FILE');
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

function saslOf(settings: Settings) {
  const {
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_SASL_USERNAME: username,
    KAFKA_SASL_PASSWORD: password,
  } = settings;
  if (mechanism === undefined || username === undefined || password === undefined) return {};
  return {
    sasl: { mechanism: mechanism as 'plain' | 'scram-sha-256' | 'scram-sha-512', username, password },
  };
}
