import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteReadModel } from '../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { readModelContract } from './read-model.contract.js';

readModelContract('sqlite', () => {
  const root = mkdtempSync(join(tmpdir(), 'read-model-'));
  const logger = { warn: () => undefined };
  let dataDir = root;
  let count = 0;
  return {
    open: async () => openSqliteReadModel((dataDir = join(root, String(count++), 'made')), logger),
    reopen: async () => openSqliteReadModel(dataDir, logger),
    dispose: () => rmSync(root, { recursive: true }),
  };
});
