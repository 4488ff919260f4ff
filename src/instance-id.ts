import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SettingsError } from './config/settings.js';

/** By which a broker knew the service first. */
const FILE = 'mqtt-client-id';

/** One of its own for each instance, and the same after a restart. Throws {@link SettingsError} where it cannot be kept. */
export function instanceIdIn(dataDir: string): string {
  const path = join(dataDir, FILE);
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
