import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { type DeviceRow, type ReadModel } from '../../src/application/ports/read-model.js';
import { Projections } from '../../src/application/projections.js';
import { rebuild } from '../../src/application/rebuild.js';
import { openEventStore } from '../../src/open-event-store.js';
import { openReadModel, type ReadModelAddress } from '../../src/open-read-model.js';
import { until } from '../support/http.js';
import { dependenciesOf, foldOfLog, hoursOf, rowsShown, settledShown } from '../support/projections.js';

const logger = { warn: (_: unknown, message: string) => expect(message).toBeUndefined() };
const CHILD = fileURLToPath(new URL('./projection-killed.ts', import.meta.url));

/** Lets a process project and rebuild, and kills it after some time. */
async function projectAndKill(dataDir: string, address: ReadModelAddress, seed: number): Promise<void> {
  const args = [dataDir, String(seed), JSON.stringify(address)];
  const child = spawn(process.execPath, ['--import', 'tsx', CHILD, ...args], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), ended]);
  await pause(Math.random() * 400);
  child.kill('SIGKILL');
  expect((await ended)[1]).toBe('SIGKILL');
}

/**
 * Kills so many processes, one after the other, that project into this read model and rebuild it; then what it shows is
 * what the log folds to, and a fresh rebuild shows the same bytes.
 *
 * @param addressOf the read model of this temporary folder
 */
export async function surviveKills(
  kills: number,
  addressOf: (dataDir: string) => ReadModelAddress,
): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'read-model-kills-'));
  const address = addressOf(dataDir);
  const open = (): Promise<ReadModel> => openReadModel(address, logger);
  try {
    let interrupted = 0;
    for (let seed = 1; seed <= kills; seed++) {
      await projectAndKill(dataDir, address, seed);
      const model = await open();
      const generations = await model.generations();
      interrupted += generations.some(({ isActive }) => !isActive) ? 1 : 0;
      expect(generations.filter(({ isActive }) => isActive)).toHaveLength(1);
      await model.close();
    }
    // Otherwise the kills have hit nothing.
    expect(interrupted).toBeGreaterThan(0);

    const store = openEventStore({ kind: 'sqlite', dataDir });
    const model = await open();
    const dependencies = dependenciesOf(store, model);
    const { rows: wanted, settled } = await foldOfLog(store);
    const shown = async (): Promise<Map<string, DeviceRow>> => rowsShown(model, wanted.keys());
    const projections = new Projections(dependencies);
    projections.start();
    await until('it has caught up', () => {
      const { lagMs, rebuild: running } = projections.status();
      return lagMs === 0 && running === null;
    });
    await projections.stop();
    const goneOnWith = await shown();
    expect(goneOnWith.size).toBeGreaterThan(50);
    expect(goneOnWith).toEqual(wanted);
    expect(settled.length).toBeGreaterThan(3);
    expect(await settledShown(model, hoursOf(settled))).toEqual(settled);

    await rebuild(dependencies, new AbortController().signal);
    expect(JSON.stringify([...(await shown())])).toBe(JSON.stringify([...goneOnWith]));
    expect(await settledShown(model, hoursOf(settled))).toEqual(settled);
    expect(dependencies.observer.broken).toEqual([]);
    await model.close();
    await store.close();
  } finally {
    rmSync(dataDir, { recursive: true });
  }
}
