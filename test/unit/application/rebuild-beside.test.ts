import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openSqliteReadModel } from '../../../src/adapters/read-model/sqlite/sqlite-read-model.js';
import { firstOf } from '../../../src/application/copy-events.js';
import { type EventStore } from '../../../src/application/ports/event-store.js';
import { type ReadModel } from '../../../src/application/ports/read-model.js';
import { rebuildBeside } from '../../../src/application/rebuild-beside.js';
import { rebuild } from '../../../src/application/rebuild.js';
import { openEventStore } from '../../../src/open-event-store.js';
import { Histories, randomFrom } from '../../support/histories.js';
import { dependenciesOf, rowsOfLog, rowsShown } from '../../support/projections.js';

const NEVER = new AbortController().signal;

describe('A rebuild beside a process that goes on with its generation', () => {
  let dataDir: string;
  let store: EventStore;
  let model: ReadModel;
  beforeEach(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'rebuild-beside-'));
    store = openEventStore({ kind: 'sqlite', dataDir });
    model = openSqliteReadModel(dataDir, { warn: () => undefined });
    await new Histories(randomFrom(1), 10).append(store, 100);
  });
  afterEach(async () => {
    await model.close();
    await store.close();
    rmSync(dataDir, { recursive: true });
  });

  /** The same read model, before whose first write this is done. */
  const before = (work: (id: number) => Promise<void>): ReadModel => {
    const other = openSqliteReadModel(dataDir, { warn: () => undefined });
    let isFirst = true;
    const write = other.write.bind(other);
    other.write = async (id, written) => {
      if (isFirst) {
        isFirst = false;
        await work(id);
      }
      return write(id, written);
    };
    return other;
  };
  const expectWhole = async (): Promise<void> => {
    const wanted = await rowsOfLog(store);
    expect(await rowsShown(model, wanted.keys())).toEqual(wanted);
    expect((await model.generations()).map(({ isActive }) => isActive)).toEqual([true]);
  };

  it('leaves the work to the other and says so', async () => {
    const mine = before(async () => {
      await rebuild(dependenciesOf(store, model), NEVER);
    });
    let taken = 0;
    const hooks = { onTakenOver: () => (taken += 1) };
    expect(await rebuildBeside(dependenciesOf(store, mine), NEVER, hooks)).toBe('elsewhere');
    expect(taken).toBe(1);
    await expectWhole();
    await mine.close();
  });

  it('goes on itself where the other has stopped', async () => {
    const mine = before(async (id) => {
      const first = await firstOf(store);
      const checkpoint = { position: (first?.position ?? 0n) - 1n, proof: null };
      await model.write(id, { rows: [], expected: null, checkpoint });
    });
    const options = { pollMs: 5, patienceMs: 50 };
    const rebuilt = await rebuildBeside(dependenciesOf(store, mine), NEVER, {}, options);
    expect(rebuilt).toMatchObject({ resumed: true });
    await expectWhole();
    await mine.close();
  });

  it('goes on itself where the other has begun another one and stopped', async () => {
    const mine = before(async () => {
      await model.begin(1);
    });
    const options = { pollMs: 5, patienceMs: 50 };
    expect(await rebuildBeside(dependenciesOf(store, mine), NEVER, {}, options)).not.toBeNull();
    await expectWhole();
    await mine.close();
  });

  it('ends while it waits when it is told to', async () => {
    const stopping = new AbortController();
    const mine = before(async () => {
      await model.begin(1);
    });
    const hooks = { onTakenOver: () => stopping.abort() };
    expect(await rebuildBeside(dependenciesOf(store, mine), stopping.signal, hooks)).toBeNull();
    await mine.close();
  });
});
