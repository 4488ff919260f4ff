import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteSnapshots } from '../../src/adapters/snapshots/sqlite/sqlite-snapshots.js';
import { snapshotsContract } from './snapshots.contract.js';

snapshotsContract('sqlite', () => {
  const root = mkdtempSync(join(tmpdir(), 'snapshots-'));
  let dataDir = root;
  let count = 0;
  return {
    open: async () => openSqliteSnapshots((dataDir = join(root, String(count++), 'made'))),
    reopen: async () => openSqliteSnapshots(dataDir),
    dispose: () => rmSync(root, { recursive: true }),
  };
});
