import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { openSqliteReadModel } from '../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { type Checkpoint, type Generation } from '../../src/application/ports/read-model.js';
import { openEventStore } from '../../src/open-event-store.js';
import { startCli } from '../support/cli.js';
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

  it('ends by Ctrl-C with what it has, and goes on there', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'projections-rebuild-'));
    const store = openEventStore({ kind: 'sqlite', dataDir: folder });
    await new Histories(randomFrom(2), 500).append(store, 60_000);
    const wanted = await rowsOfLog(store);
    let eventCount = 0;
    for await (const _ of store.readAll()) eventCount++;
    await store.close();

    // It may come to its end, or not have begun to write, before the signal: then it is tried again.
    let checkpoint: Checkpoint | null = null;
    for (let attempt = 0; checkpoint === null && attempt < 50; attempt++) {
      const running = startCli({ DATA_DIR: folder }, ['projections', 'rebuild']);
      const reader = openSqliteReadModel(folder, { warn: () => undefined });
      const building = async (): Promise<Generation | undefined> =>
        (await reader.generations()).find(({ isActive }) => !isActive);
      const ended = running.exit.then(() => true);
      while ((await building()) === undefined) {
        if (await Promise.race([ended, pause(5).then(() => false)])) break;
      }
      await pause(attempt * 50);
      running.child.kill('SIGINT');
      const { code, stdout, stderr } = await running.exit;
      if (code === 130) {
        expect(stdout).toBe('\nInterrupted; run it again to go on where it was\n');
        checkpoint = (await building())?.checkpoint ?? null;
      } else {
        // SIGINT: it came before the program did.
        expect({ isExpected: code === 0 || code === 'SIGINT', stderr }).toMatchObject({ isExpected: true });
      }
      await reader.close();
    }
    expect(checkpoint).not.toBeNull();

    const log = openEventStore({ kind: 'sqlite', dataDir: folder });
    let left = 0;
    for await (const _ of log.readAll({ after: checkpoint?.position ?? 0n })) left++;
    await log.close();
    expect(left).toBeLessThan(eventCount);
    const { code, stdout, stderr } = await startCli({ DATA_DIR: folder }, ['projections', 'rebuild']).exit;
    expect(stdout).toBe(`Rebuilt and swapped: ${left} events (an earlier run was gone on with)\n`);
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Rebuilding: 100 %/m) });
    const model = openSqliteReadModel(folder, { warn: () => undefined });
    expect(await rowsShown(model, wanted.keys())).toEqual(wanted);
    await model.close();
    rmSync(folder, { recursive: true });
  }, 600_000);

  it('says in one line what is wrong with a call', async () => {
    expect(await cli('projections')).toMatchObject({ code: 2 });
    expect(await cli('projections', 'rebuild', '--to', 'sqlite:x')).toMatchObject({ code: 2 });
    expect(await cli('projections', 'rebuild', '--data-dir', join(dataDir, 'none'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^device-state-replica: there is no \S+\n$/),
    });
  });
});
