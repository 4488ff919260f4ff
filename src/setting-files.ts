import { readFileSync } from 'node:fs';
import { type Settings, SettingsError } from './config/settings.js';

export type FileSetting = Extract<keyof Settings, `${string}_TLS_${string}_FILE`>;

/** What is in the file that a setting names; undefined: it names none. Throws `SettingsError` where it cannot be read. */
export function fileOf(settings: Settings, name: FileSetting): Buffer | undefined {
  const path = settings[name];
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw new SettingsError(
      `${name}: cannot read '${path}': ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
