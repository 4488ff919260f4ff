import { type Logger } from 'pino';
import { ApiKeys } from './adapters/access/api-keys.js';
import { Credentials } from './adapters/access/credentials.js';
import { Tokens } from './adapters/access/tokens.js';
import { type Authenticator } from './application/ports/authenticator.js';
import { isAuthenticated, type Settings, SettingsError } from './config/settings.js';

/** Null: whoever reaches the service may do everything. Throws `SettingsError`. */
export function openAccess(settings: Settings, logger: Logger): Authenticator | null {
  if (!isAuthenticated(settings)) return null;
  const { API_KEYS_FILE } = settings;
  const keys = API_KEYS_FILE === undefined ? null : openKeys(API_KEYS_FILE, logger);
  return new Credentials(keys, openTokens(settings, logger));
}

function openTokens(settings: Settings, logger: Logger): Tokens | null {
  const { OIDC_ISSUER: issuer, OIDC_AUDIENCE: audience } = settings;
  if (issuer === undefined || audience === undefined) return null;
  const {
    OIDC_ROLE_CLAIM: roleClaim,
    OIDC_DEVICES_CLAIM: devicesClaim,
    OIDC_TIMEOUT_MS: timeoutMs,
  } = settings;
  return new Tokens({ issuer, audience, roleClaim, devicesClaim, timeoutMs }, logger);
}

function openKeys(path: string, logger: Logger): ApiKeys {
  try {
    return new ApiKeys(path, logger);
  } catch (error) {
    throw new SettingsError(`API_KEYS_FILE: ${error instanceof Error ? error.message : String(error)}`);
  }
}
