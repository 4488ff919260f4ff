import { type Logger } from 'pino';
import { DeviceCertificates } from './adapters/access/device-certificates.js';
import { type TlsFile, TlsFiles } from './adapters/access/tls-files.js';
import { type CertificateAuthenticator } from './application/ports/authenticator.js';
import { type ServerTls } from './application/ports/server-tls.js';
import { messageOf } from './application/timing.js';
import { isMqttTls, type Settings, SettingsError } from './config/settings.js';
import { type FileSetting } from './setting-files.js';

/** Null: REST is HTTP. Throws `SettingsError`. */
export function openHttpTls(settings: Settings, logger: Logger): ServerTls | null {
  return openFiles(settings, 'HTTP', logger);
}

export interface MqttTls {
  readonly tls: ServerTls;
  /** Null: no client certificates are asked for. */
  readonly certificates: CertificateAuthenticator | null;
}

/** Null: the service's own broker speaks MQTT in the clear. Throws `SettingsError`. */
export function openMqttTls(settings: Settings, logger: Logger): MqttTls | null {
  const tls = isMqttTls(settings) ? openFiles(settings, 'MQTT', logger) : null;
  if (tls === null) return null;
  return { tls, certificates: tls.asksForCertificates ? new DeviceCertificates(tls, logger) : null };
}

function openFiles(settings: Settings, protocol: 'HTTP' | 'MQTT', logger: Logger): TlsFiles | null {
  const file = (setting: FileSetting): TlsFile | null => {
    const path = settings[setting];
    return path === undefined ? null : { setting, path };
  };
  const cert = file(`${protocol}_TLS_CERT_FILE`);
  const key = file(`${protocol}_TLS_KEY_FILE`);
  if (cert === null || key === null) return null;
  const isMqtt = protocol === 'MQTT';
  const ca = isMqtt ? file('MQTT_TLS_CA_FILE') : null;
  const crl = isMqtt ? file('MQTT_TLS_CRL_FILE') : null;
  try {
    return new TlsFiles({ cert, key, ca, crl }, logger);
  } catch (error) {
    throw new SettingsError(messageOf(error));
  }
}
