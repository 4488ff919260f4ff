import {
  type Checkpoint,
  type DeviceRow,
  type FleetCount,
  type FleetPage,
  type Generation,
  type OutOfSync,
  type ReadModel,
  ReadModelError,
  type RowsWritten,
  type SettledByHour,
  type SettledCount,
  type SettledSum,
} from '../../../src/application/ports/read-model.js';
import { type Line, type Server } from './line.js';

interface Stored {
  readonly id: number;
  readonly schema: number;
  checkpoint: Checkpoint | null;
  readonly rows: Map<string, DeviceRow>;
  readonly settled: Map<string, SettledCount>;
}

/** Told of what readers see, at the moment in which it is durable. */
export interface ReadModelWatcher {
  projected(generation: Stored, written: readonly DeviceRow[]): void;
}

/** The database that all instances share. */
export class ReadModelStorage {
  readonly generations = new Map<number, Stored>();
  activeId: number | null = null;
  buildingId: number | null = null;
  private nextId = 1;

  constructor(
    readonly server: Server,
    private readonly watcher: ReadModelWatcher,
  ) {}

  get active(): Stored | undefined {
    return this.activeId === null ? undefined : this.generations.get(this.activeId);
  }

  list(): Generation[] {
    return [this.activeId, this.buildingId].flatMap((id) => {
      const stored = id === null ? undefined : this.generations.get(id);
      return stored === undefined ? [] : [this.told(stored)];
    });
  }

  begin(schema: number): Generation {
    if (this.buildingId !== null) this.generations.delete(this.buildingId);
    const stored: Stored = {
      id: this.nextId++,
      schema,
      checkpoint: null,
      rows: new Map(),
      settled: new Map(),
    };
    this.generations.set(stored.id, stored);
    this.buildingId = stored.id;
    return this.told(stored);
  }

  activate(id: number, instead: number | null | undefined): boolean {
    const stored = this.of(id);
    if (instead !== undefined && this.activeId !== instead) return false;
    const { active } = this;
    const isFurther = (active?.checkpoint?.position ?? -1n) > (stored.checkpoint?.position ?? -1n);
    if (instead === undefined && isFurther) return false;
    if (this.activeId !== null && this.activeId !== id) this.generations.delete(this.activeId);
    this.activeId = id;
    if (this.buildingId === id) this.buildingId = null;
    this.watcher.projected(stored, [...stored.rows.values()]);
    return true;
  }

  load(id: number, deviceIds: readonly string[]): DeviceRow[] {
    const { rows } = this.of(id);
    return deviceIds.flatMap((deviceId) => rows.get(deviceId) ?? []);
  }

  write(id: number, { rows, settled = [], expected, checkpoint }: RowsWritten): void {
    const stored = this.of(id);
    if ((stored.checkpoint?.position ?? null) !== expected) {
      throw new ReadModelError('superseded', 'simulated: the checkpoint is another');
    }
    for (const row of rows) {
      const before = stored.rows.get(row.deviceId);
      const isNewer =
        before === undefined ||
        row.revision > before.revision ||
        (row.revision === before.revision && before.status === 'broken');
      if (isNewer) stored.rows.set(row.deviceId, row);
    }
    for (const count of settled) {
      const key = `${count.hour}/${count.outcome}/${count.bucket}`;
      const before = stored.settled.get(key);
      stored.settled.set(key, {
        ...count,
        count: count.count + (before?.count ?? 0),
        sumMs: count.sumMs + (before?.sumMs ?? 0),
      });
    }
    stored.checkpoint = checkpoint;
    if (this.activeId === id) this.watcher.projected(stored, rows);
  }

  private of(id: number): Stored {
    const stored = this.generations.get(id);
    if (stored === undefined) throw new ReadModelError('superseded', 'simulated: the generation is gone');
    return stored;
  }

  private told({ id, schema, checkpoint }: Stored): Generation {
    return { id, schema, checkpoint, isActive: id === this.activeId };
  }
}

/** One instance's connection to the read model: the part of the port that projections use. */
export class SimulatedReadModel implements ReadModel {
  constructor(
    private readonly storage: ReadModelStorage,
    private readonly line: Line,
  ) {}

  generations(): Promise<Generation[]> {
    return this.line.call('generations', () => this.storage.list());
  }

  begin(schema: number): Promise<Generation> {
    return this.line.call('begin generation', () => this.storage.begin(schema));
  }

  activate(id: number, options: { readonly instead?: number | null } = {}): Promise<boolean> {
    return this.line.call(`activate generation ${id}`, () => this.storage.activate(id, options.instead));
  }

  load(id: number, deviceIds: readonly string[]): Promise<DeviceRow[]> {
    return this.line.call(`load ${deviceIds.length} rows`, () => this.storage.load(id, deviceIds));
  }

  write(id: number, written: RowsWritten): Promise<void> {
    const label = `write ${written.rows.length} rows of generation ${id} to ${written.checkpoint.position}`;
    return this.line.call(label, () => this.storage.write(id, written));
  }

  async sweep(): Promise<boolean> {
    return false;
  }

  async close(): Promise<void> {}

  find(): Promise<DeviceRow | null> {
    throw notHere();
  }
  scan(): Promise<DeviceRow[]> {
    throw notHere();
  }
  list(): Promise<FleetPage> {
    throw notHere();
  }
  count(): Promise<FleetCount> {
    throw notHere();
  }
  settled(): Promise<SettledSum> {
    throw notHere();
  }
  settledByHour(): Promise<SettledByHour> {
    throw notHere();
  }
  outOfSync(): Promise<OutOfSync> {
    throw notHere();
  }
  presence(): Promise<null> {
    throw notHere();
  }
  connectedCount(): Promise<number> {
    throw notHere();
  }
  writePresence(): Promise<boolean> {
    throw notHere();
  }
}

export function readModelErrorOf(_outcome: string, label: string): ReadModelError {
  return new ReadModelError('unavailable', `simulated: ${label}`);
}

function notHere(): Error {
  return new Error('Nothing asks for lists here');
}
