import { createHash } from 'node:crypto';
import { type BrokerClientOptions } from './adapters/mqtt/broker-client.js';
import { mqttGroupOf, type Settings } from './config/settings.js';
import { instanceIdIn } from './instance-id.js';
import { fileOf } from './setting-files.js';

/** How the settings say that the broker is reached. Throws `SettingsError` for a file that cannot be read. */
export function brokerOptionsOf(
  settings: Settings & { readonly MQTT_URL: string },
): Omit<BrokerClientOptions, 'isAlone'> {
  const { protocol, hostname, port, username: user, password: word } = new URL(settings.MQTT_URL);
  const username = settings.MQTT_USERNAME ?? (user === '' ? undefined : decodeURIComponent(user));
  const password = settings.MQTT_PASSWORD ?? (word === '' ? undefined : decodeURIComponent(word));
  const group = mqttGroupOf(settings);
  const withShadowTopics = settings.AWS_SHADOW_TOPICS === 'on';
  // Of the subscriptions, since a session of before would go on with those that it had.
  const suffix = createHash('sha256')
    .update(JSON.stringify([group, settings.TOPIC_PREFIX, ...(withShadowTopics ? ['$aws'] : [])]))
    .digest('hex')
    .slice(0, 6);
  const ca = fileOf(settings, 'MQTT_TLS_CA_FILE');
  const cert = fileOf(settings, 'MQTT_TLS_CERT_FILE');
  const key = fileOf(settings, 'MQTT_TLS_KEY_FILE');
  return {
    url: `${protocol}//${hostname}:${port === '' ? (protocol === 'mqtts:' ? '8883' : '1883') : port}`,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    clientId: settings.MQTT_CLIENT_ID ?? `${instanceIdIn(settings.DATA_DIR)}-${suffix}`,
    group,
    prefix: settings.TOPIC_PREFIX,
    withShadowTopics,
    maxRequestBytes: settings.MAX_REQUEST_BYTES,
    sessionMs: settings.MQTT_SESSION_MS,
    shutdownMs: settings.SHUTDOWN_TIMEOUT_MS,
  };
}
