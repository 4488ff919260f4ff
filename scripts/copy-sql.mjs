// The compiler copies no SQL: the migrations go into dist/ beside the modules that read them.
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

for (const name of readdirSync('src', { recursive: true })) {
  if (name.endsWith('.sql')) cpSync(join('src', name), join('dist', name));
}
