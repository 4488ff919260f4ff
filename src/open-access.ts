import { type Logger } from 'pino';
import { ApiKeys } from './adapters/access/api-keys.js';
import { Credentials } from './adapters/access/credentials.js';
import { type Authenticator } from './application/ports/authenticator.js';
import { type Settings, SettingsError } from './config/settings.js';

/** Null: whoever reaches the service may do everything. Throws `SettingsError`. */
export function openAccess(settings: Settings, logger: Logger): Authenticator | null {
  const { API_KEYS_FILE } = settings;
  if (API_KEYS_FILE === undefined) return null;
  return new Credentials(openKeys(API_KEYS_FILE, logger), null);
}

function openKeys(path: string, logger: Logger): ApiKeys {
  try {
    return new ApiKeys(path, logger);
  } catch (error) {
    throw new SettingsError(`API_KEYS_FILE: ${error instanceof Error ? error.message : String(error)}`);
  }
}
