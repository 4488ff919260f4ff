import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { openSqliteReadModel } from '../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { openEventStore } from '../../src/open-event-store.js';
import { Histories, randomFrom } from '../support/histories.js';
import { rowsOfLog, rowsShown } from '../support/projections.js';

const dataDir = mkdtempSync(join(tmpdir(), 'projections-rebuild-'));
const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
afterAll(() => rmSync(dataDir, { recursive: true }));

function cli(...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, NODE_OPTIONS: '', DATA_DIR: dataDir };
    execFile(process.execPath, ['--import', 'tsx', CLI, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}

describe('projections rebuild', () => {
  it('makes the read model of a stopped service anew', async () => {
    const store = openEventStore({ kind: 'sqlite', dataDir });
    await new Histories(randomFrom(1), 20).append(store, 200);
    const wanted = await rowsOfLog(store);
    expect(await cli('projections', 'rebuild')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is in use by another process'),
    });
    await store.close();

    const done = await cli('projections', 'rebuild');
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Rebuilt and swapped: \d+ events\n$/),
    });
    expect(done.stderr).toMatch(/^Rebuilding: 100 %, \d+ events, [\d,]+\/s\n$/);
    const model = openSqliteReadModel(dataDir, { warn: () => undefined });
    expect(await rowsShown(model, wanted.keys())).toEqual(wanted);
    await model.close();
  });

  it('says in one line what is wrong with a call', async () => {
    expect(await cli('projections')).toMatchObject({ code: 2 });
    expect(await cli('projections', 'rebuild', '--to', 'sqlite:x')).toMatchObject({ code: 2 });
    expect(await cli('projections', 'rebuild', '--data-dir', join(dataDir, 'none'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^device-state-replica: there is no \S+\n$/),
    });
  });
});
