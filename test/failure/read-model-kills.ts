import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { type EventStore } from '../../src/application/ports/event-store.js';
import { type ReadModel } from '../../src/application/ports/read-model.js';
import { Projections } from '../../src/application/projections.js';
import { lastOf } from '../../src/application/copy-events.js';
import { rebuild, sweepAll } from '../../src/application/rebuild.js';
import { openEventStore } from '../../src/open-event-store.js';
import { openReadModel, type ReadModelAddress } from '../../src/open-read-model.js';
import { Histories, randomFrom } from '../support/histories.js';
import { until } from '../support/http.js';
import { dependenciesOf, foldOfLog, hoursOf, settledShown } from '../support/projections.js';

/** What a process that projects does; each is hit by a fifth of the kills, and another fifth comes at any moment. */
const PHASES = ['projecting', 'rebuilding', 'swapping', 'sweeping'] as const;
type Phase = (typeof PHASES)[number];
/** By how many statements a step of SQLite writes, roughly, with `BEGIN` and `COMMIT`. */
const STATEMENTS: Readonly<Record<Phase, number>> = {
  projecting: 20,
  rebuilding: 20,
  swapping: 4,
  sweeping: 3,
};

/** Where a process kills itself. */
interface Aim {
  readonly phase: Phase;
  /** The how manieth step of the phase, from 1. */
  readonly nth: number;
  /** How long after the step began, or where it ends before, after its end. */
  readonly afterMs: number;
  /** Before this one of the statements of SQLite by which the step writes, from 0: 0 is `BEGIN`. Null: at any moment. */
  readonly statement: number | null;
}

export interface KillOptions {
  readonly killCount: number;
  /** @param dataDir a temporary folder */
  readonly addressOf: (dataDir: string) => ReadModelAddress;
  /** The longest that a step of SQLite or PostgreSQL usually takes, roughly. */
  readonly stepMs: number;
  /** Resolves when nothing more is done on behalf of a process that is gone. A server may still be committing. */
  readonly isOver?: () => Promise<void>;
  /** All that is stored for the readers, in the order of its keys, without the generation. */
  readonly dump?: (dataDir: string) => string;
}

/** A bound for what hangs. */
const LIMIT_MS = 120_000;
const COMMANDS_PER_KILL = 60;
const DEVICE_COUNT = 300;
const logger = { warn: (_: unknown, message: string) => expect(message).toBeUndefined() };
const CHILD = fileURLToPath(new URL('./projection-killed.mjs', import.meta.url));

/** Lets a process project and rebuild until it is killed. Resolves with what it did last, as it says. */
async function projectAndKill(
  dataDir: string,
  address: ReadModelAddress,
  aim: Aim | null,
  random: () => number,
): Promise<string> {
  const args = [dataDir, JSON.stringify(address), JSON.stringify(aim)];
  const child = spawn(process.execPath, ['--no-warnings', CHILD, ...args], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let steps = '';
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const ended = new Promise<string | null>((resolve) => child.once('close', (_, signal) => resolve(signal)));
  const begun = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      steps += chunk.toString();
      resolve();
    });
  });
  let hasHung = false;
  const bound = setTimeout(() => {
    hasHung = true;
    child.kill('SIGKILL');
  }, LIMIT_MS);
  if (aim === null) {
    await Promise.race([begun, ended]);
    await pause(random() * 300);
    child.kill('SIGKILL');
  }
  const signal = await ended;
  clearTimeout(bound);
  const last = steps.trimEnd().split('\n').at(-1) ?? '';
  if (hasHung) {
    const waited = `Nothing came of ${JSON.stringify(aim)} within ${LIMIT_MS} ms`;
    throw new Error(`${waited}; the process did last: ${last || 'nothing'}\n${errors}`);
  }
  expect({ signal, errors }).toEqual({ signal: 'SIGKILL', errors: '' });
  return last;
}

function aimOf(kill: number, random: () => number, stepMs: number, hasStatements: boolean): Aim | null {
  const phase = PHASES[kill % (PHASES.length + 1)];
  if (phase === undefined) return null;
  const statement = random() < 0.6 ? Math.floor(random() * STATEMENTS[phase]) : null;
  return {
    phase,
    nth: 1 + Math.floor(random() * 2),
    // Rather earlier than later.
    afterMs: random() ** 2 * stepMs,
    statement: hasStatements ? statement : null,
  };
}

/** What readers see is what the events up to its checkpoint fold to. Resolves with how much that is. */
async function expectFold(
  store: EventStore,
  model: ReadModel,
  position: bigint | null,
): Promise<{ deviceCount: number; settledCount: number }> {
  const { rows, settled } = await foldOfLog(store, position ?? -1n);
  const shown = await model.scan('', rows.size + 1);
  expect(new Map(shown.map((row) => [row.deviceId, row]))).toEqual(rows);
  expect(await settledShown(model, hoursOf(settled))).toEqual(settled);
  return { deviceCount: rows.size, settledCount: settled.length };
}

/**
 * Kills so many processes, one after the other, that project into this read model and rebuild it. After each, readers
 * see exactly what the events up to the checkpoint fold to; at the end, a fresh rebuild shows the same bytes.
 */
export async function surviveKills({
  killCount,
  addressOf,
  stepMs,
  isOver,
  dump,
}: KillOptions): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'read-model-kills-'));
  const address = addressOf(dataDir);
  const seed = Number(process.env['KILL_SEED'] ?? Date.now() % 2 ** 31);
  const random = randomFrom(seed);
  const histories = new Histories(random, DEVICE_COUNT);
  const hits = new Map<string, number>();
  const positionOf = async (model: ReadModel): Promise<bigint | null> => {
    const active = (await model.generations()).filter(({ isActive }) => isActive);
    expect(active).toHaveLength(1);
    return active[0]?.checkpoint?.position ?? null;
  };
  try {
    for (let kill = 0; kill < killCount; kill++) {
      const log = openEventStore({ kind: 'sqlite', dataDir });
      await histories.append(log, COMMANDS_PER_KILL);
      const last = await projectAndKill(
        dataDir,
        address,
        aimOf(kill, random, stepMs, address.kind === 'sqlite'),
        random,
      );
      hits.set(last, (hits.get(last) ?? 0) + 1);
      await isOver?.();
      const model = await openReadModel(address, logger);
      await expectFold(log, model, await positionOf(model));
      await model.close();
      await log.close();
    }
    // Otherwise the kills have missed it.
    for (const phase of PHASES) {
      const count = (hits.get(phase) ?? 0) + (hits.get(`${phase} done`) ?? 0);
      expect({ phase, isHit: count >= killCount / 12 }).toEqual({ phase, isHit: true });
    }

    const store = openEventStore({ kind: 'sqlite', dataDir });
    const model = await openReadModel(address, logger);
    const dependencies = dependenciesOf(store, model);
    const signal = new AbortController().signal;
    const projections = new Projections(dependencies);
    projections.start();
    await until('it has caught up', () => {
      const { lagMs, rebuild: running } = projections.status();
      return lagMs === 0 && running === null;
    });
    await projections.stop();
    const { deviceCount, settledCount } = await expectFold(store, model, await lastPositionOf(store));
    expect(deviceCount).toBeGreaterThan(50);
    expect(settledCount).toBeGreaterThan(3);
    const goneOnWith = await shownBy(model);
    await sweepAll(model, signal, async () => undefined);
    const dumped = dump?.(dataDir);

    await rebuild(dependencies, signal);
    await sweepAll(model, signal, async () => undefined);
    expect(await shownBy(model)).toBe(goneOnWith);
    expect(dump?.(dataDir)).toBe(dumped);
    await expectFold(store, model, await lastPositionOf(store));
    expect(dependencies.observer.broken).toEqual([]);
    await model.close();
    await store.close();
  } finally {
    console.log(`KILL_SEED=${seed}; last, the processes did: ${JSON.stringify(Object.fromEntries(hits))}`);
    rmSync(dataDir, { recursive: true });
  }
}

async function shownBy(model: ReadModel): Promise<string> {
  return JSON.stringify(await model.scan('', DEVICE_COUNT + 1));
}

async function lastPositionOf(store: EventStore): Promise<bigint> {
  return (await lastOf(store))?.position ?? -1n;
}
