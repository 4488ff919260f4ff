import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BrokerClientOptions } from './adapters/mqtt/broker-client.js';
import { mqttGroupOf, type Settings, SettingsError } from './config/settings.js';
import { fileOf } from './setting-files.js';

const CLIENT_ID_FILE = 'mqtt-client-id';

/** How the settings say that the broker is reached. Throws {@link SettingsError} for a file that cannot be read. */
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
    clientId: settings.MQTT_CLIENT_ID ?? `${idIn(settings.DATA_DIR)}-${suffix}`,
    group,
    prefix: settings.TOPIC_PREFIX,
    withShadowTopics,
    maxRequestBytes: settings.MAX_REQUEST_BYTES,
    sessionMs: settings.MQTT_SESSION_MS,
    shutdownMs: settings.SHUTDOWN_TIMEOUT_MS,
  };
}

/** One of its own for each instance, and the same after a restart. */
function idIn(dataDir: string): string {
  const path = join(dataDir, CLIENT_ID_FILE);
  try {
    mkdirSync(dataDir, { recursive: true });
    const id = `replica-${randomBytes(6).toString('hex')}`;
    try {
      writeFileSync(path, `${id}\n`, { flag: 'wx' });
      return id;
    } catch {
      // There is one.
    }
    const kept = readFileSync(path, 'utf8').trim();
    if (kept === '') throw new Error('it is empty; delete it');
    return kept;
  } catch (error) {
    throw new SettingsError(
      `DATA_DIR: cannot keep the MQTT client id in '${path}': ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
