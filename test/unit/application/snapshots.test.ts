import { describe, expect, it } from '@jest/globals';
import {
  DeviceSignals,
  followDevice,
  type Followed,
  type FollowPosition,
} from '../../../src/application/follow-device.js';
import { type SnapshotStore, type StoredSnapshot } from '../../../src/application/ports/snapshots.js';
import { MemorySnapshots } from '../../../src/adapters/snapshots/memory/memory-snapshots.js';
import { CommandLog } from '../../support/command-log.js';
import { answers, exact, recorded } from '../../support/outputs.js';
import { type ProcessSettings, ReplicaProcess, snapshotsBeside } from '../../support/replica-process.js';

const EVERY = 10;
const temp = (value: number) => ({ state: { reported: { temp: value } } });

/** A device `a` and its log, with a process that makes snapshots of it. */
class Device {
  readonly log = new CommandLog();
  service: ReplicaProcess;

  constructor(private readonly settings: ProcessSettings = { snapshotEveryCount: EVERY }) {
    this.service = new ReplicaProcess(settings);
  }

  /** Sends so many updates of one event each, one by one, and waits until their snapshots are saved. */
  async send(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      this.log.send('a', temp(this.log.messages.length));
      await this.service.deliver(this.log.batch(this.log.messages.length - 1));
    }
    await this.service.snapshots?.flush();
  }

  restart(settings: ProcessSettings = this.settings): ReplicaProcess {
    return (this.service = this.service.restarted(settings));
  }

  get kept(): StoredSnapshot[] {
    return snapshotsBeside(this.service.storage).get('a') ?? [];
  }

  get revisions(): number[] {
    return this.kept.map(({ revision }) => revision);
  }

  /** What a process without snapshots shows. */
  async truth(): Promise<unknown> {
    return shown(this.service.restarted({}));
  }
}

async function shown(service: ReplicaProcess): Promise<unknown> {
  const reading = await service.reader.get('a');
  if (reading === null) return null;
  const { timestamp: _, ...document } = JSON.parse(reading.document) as { timestamp: number };
  return document;
}

const loads = (service: ReplicaProcess): unknown[] => service.observer.of('loaded').flat();

describe('A snapshot is made', () => {
  it('at every so many events of a device, and not of another', async () => {
    const device = new Device();
    await device.send(EVERY - 1);
    expect(device.revisions).toEqual([]);
    await device.send(1);
    expect(device.revisions).toEqual([EVERY - 1]);
    await device.send(2 * EVERY - 1);
    expect(device.revisions).toEqual([2 * EVERY - 1, EVERY - 1]);
    expect(device.service.observer.of('snapshotsSaved')).toEqual([[1], [1]]);
  });

  it('once, after all of them, where many events are recorded together', async () => {
    const device = new Device();
    for (let n = 0; n < 35; n++) device.log.send('a', temp(n));
    await device.service.deliver(device.log.batch());
    await device.service.snapshots?.flush();
    expect(device.revisions).toEqual([34]);
  });

  it('never, where none is asked for', async () => {
    const device = new Device({});
    await device.send(3 * EVERY);
    device.restart();
    await device.service.reader.get('a');
    expect(device.revisions).toEqual([]);
    expect(loads(device.service)).toEqual(['start']);
  });

  it('by a load that took long, and by no other', async () => {
    const device = new Device({});
    await device.send(EVERY);
    const settings = { snapshotEveryCount: EVERY };
    await shown(device.restart(settings));
    await device.service.snapshots?.flush();
    expect(device.revisions).toEqual([]);
    await device.send(0);
    device.restart({});
    await device.send(3);
    await shown(device.restart(settings));
    await device.service.snapshots?.close();
    expect(device.revisions).toEqual([EVERY + 2]);
  });

  it('and the older ones are kept the further apart the older they are', async () => {
    const device = new Device({ snapshotEveryCount: 1 });
    await device.send(700);
    const distances = device.revisions.map((revision) => 699 - revision);
    expect(distances[0]).toBe(0);
    // However far back: what is next before it, a snapshot or the start, is not much further.
    for (let back = 1; back < 600; back++) {
      const next = distances.find((distance) => distance >= back) ?? 700;
      expect(next).toBeLessThan(back + 8);
    }
    expect(distances.length).toBeLessThanOrEqual(700 / 8 + 2);
  });
});

describe('A load', () => {
  it('begins at the latest snapshot', async () => {
    const device = new Device();
    await device.send(27);
    const service = device.restart();
    expect(await shown(service)).toEqual(await device.truth());
    expect(loads(service)).toEqual(['snapshot']);
  });

  it('goes on without one that cannot be read', async () => {
    const device = new Device();
    await device.send(27);
    for (const [index, text] of ['', '{"schema":999}'].entries()) {
      device.kept[index] = { ...(device.kept[index] as StoredSnapshot), text };
      const service = device.restart();
      expect(await shown(service)).toEqual(await device.truth());
      expect(loads(service)).toEqual([index === 0 ? 'snapshot' : 'start']);
      expect(service.observer.of('snapshotFailed')).toHaveLength(index + 1);
    }
  });

  it('does not believe a snapshot that is ahead of the store', async () => {
    const device = new Device();
    await device.send(45);
    const { streams } = device.service.storage;
    streams.get('deviceState-a')?.splice(25);
    const service = device.restart();
    expect(await shown(service)).toEqual(await device.truth());
    expect(service.observer.of('snapshotFailed')).toEqual([
      ['read', expect.any(Error)],
      ['read', expect.any(Error)],
    ]);
    expect(device.revisions).toEqual([]);
  });

  it('does not believe a snapshot of other events of the same revisions', async () => {
    const device = new Device();
    await device.send(25);
    const events = device.service.storage.streams.get('deviceState-a') ?? [];
    // A store restored from before, which then went another way.
    events.splice(15);
    const log = new CommandLog('update', 'second-life');
    const other = device.service.restarted({});
    for (let n = 0; n < 10; n++) log.send('a', temp(1000 + n));
    await other.deliver(log.batch());
    expect(events).toHaveLength(25);

    const service = device.restart();
    expect(await shown(service)).toEqual(await device.truth());
    expect(device.revisions).toEqual([9]);
    expect(loads(service)).toEqual(['snapshot']);
  });

  it('is refused where the event of the snapshot cannot be read', async () => {
    const device = new Device();
    await device.send(15);
    const service = device.restart();
    service.store.unreadable.set('deviceState-a', 'unavailable');
    await expect(service.reader.get('a')).rejects.toMatchObject({ code: 'unavailable' });
    expect(device.revisions).toEqual([9]);
  });
});

describe('A store of snapshots that fails', () => {
  const broken = (...names: (keyof SnapshotStore)[]): SnapshotStore => {
    const store = new MemorySnapshots();
    const fail = (): Promise<never> => Promise.reject(new Error('as the test asked'));
    return Object.assign(store, Object.fromEntries(names.map((name) => [name, fail])));
  };

  it('fails no command and no get, and is told', async () => {
    const snapshotStore = broken('find', 'save', 'remove', 'close');
    const device = new Device({ snapshotEveryCount: EVERY, snapshotStore });
    await device.send(25);
    expect(recorded(device.service.storage)).toHaveLength(25);
    expect(device.service.observer.of('failed')).toEqual([]);
    await device.service.snapshots?.close();
    const steps = device.service.observer.of('snapshotFailed').map(([step]) => step);
    expect(steps).toEqual(['read', 'save', 'close']);
    const service = device.restart();
    expect(await shown(service)).toEqual(await device.truth());
  });

  it('holds nobody up while it is slow', async () => {
    const snapshotStore = new MemorySnapshots();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const saved: number[] = [];
    snapshotStore.save = async (snapshots) => {
      await held;
      saved.push(...snapshots.map(({ revision }) => revision));
    };
    const device = new Device({ snapshotEveryCount: EVERY, snapshotStore });
    const { snapshots } = device.service;
    for (let n = 0; n < 3 * EVERY; n++) device.log.send('a', temp(n));
    for (let n = 0; n < 3; n++) {
      await device.service.deliver(device.log.batch(n * EVERY, (n + 1) * EVERY));
      void snapshots?.flush();
    }
    expect(saved).toEqual([]);
    release();
    await snapshots?.close();
    expect(saved).toEqual([9, 19, 29]);
  });
});

describe('A command that comes again after snapshots were made', () => {
  it('is answered as at first, wherever in the history it stands', async () => {
    const device = new Device();
    await device.send(0);
    for (let n = 0; n < 60; n++) {
      device.log.send('a', { ...temp(n), ...(n % 4 === 0 ? { version: 10_000 } : {}) });
    }
    const first: string[][] = [];
    for (let n = 0; n < 60; n++) {
      first.push((await device.service.deliver(device.log.batch(n, n + 1))).map(exact));
      await device.service.snapshots?.flush();
    }
    for (let n = 0; n < 60; n++) {
      expect((await device.restart().deliver(device.log.batch(n, n + 1))).map(exact)).toEqual(first[n]);
    }
    expect((await device.restart().deliver(device.log.batch())).map(exact)).toEqual(first.flat());
    expect(loads(device.service)).toContain('start');
  });

  it('is found near the end without its whole history', async () => {
    const device = new Device();
    await device.send(58);
    const first = await device.service.deliver(device.log.batch(55));
    const service = device.restart();
    expect((await service.deliver(device.log.batch(55))).map(exact)).toEqual(first.map(exact));
    expect(new Set(loads(service))).toEqual(new Set(['snapshot']));
  });

  it('is known by its message id alone', async () => {
    const device = new Device();
    const [first] = [device.log.send('a', { state: { desired: { temp: 99 } } }, { 'message-id': 'm1' })];
    const answer = await device.service.deliver([first]);
    await device.send(25);
    expect(device.revisions).not.toEqual([]);
    const again = device.log.send('a', { state: { desired: { temp: 99 } } }, { 'message-id': 'm1' });
    expect(answers(await device.restart().deliver([again]))).toEqual(answers(answer));
    expect(recorded(device.service.storage)).toHaveLength(26);
  });

  it('is refused by its message id where the body is another one', async () => {
    const device = new Device();
    await device.service.deliver([device.log.send('a', temp(1), { 'message-id': 'm1' })]);
    await device.send(25);
    const other = device.log.send('a', temp(2), { 'message-id': 'm1' });
    expect(answers(await device.restart().deliver([other]))).toEqual(['a update.rejected 409']);
  });
});

describe('A follower of a device with snapshots', () => {
  async function follow(
    service: ReplicaProcess,
    from: FollowPosition | null,
    count: number,
  ): Promise<Followed[]> {
    const signals = new DeviceSignals(service.store, () => undefined);
    const abort = new AbortController();
    const got: Followed[] = [];
    for await (const item of followDevice(
      service.store,
      service.replicas,
      signals,
      'a',
      from,
      abort.signal,
    )) {
      if (got.push(item) === count) abort.abort();
    }
    await signals.stop();
    return got;
  }

  it('gets from every place what it gets without snapshots', async () => {
    const device = new Device();
    device.log.send('a', { state: { desired: { temp: 5 } } });
    await device.service.deliver(device.log.batch());
    await device.send(33);
    const all = await follow(device.service.restarted({}), { revision: -1, part: 3 }, 34 * 3);
    for (const [index, { id }] of all.entries()) {
      const [revision = 0, part = 0] = id.split('.').map(Number);
      const rest = all.slice(index + 1);
      if (rest.length === 0) continue;
      expect(await follow(device.restart(), { revision, part }, rest.length)).toEqual(rest);
    }
    expect(loads(device.service)).toEqual(['snapshot']);
  });

  it('begins at the end from the latest snapshot', async () => {
    const device = new Device();
    await device.send(33);
    const service = device.restart();
    const following = follow(service, null, 3);
    while (loads(service).length === 0) await new Promise((resolve) => setImmediate(resolve));
    device.log.send('a', temp(1000));
    await service.deliver(device.log.batch(33));
    const got = await following;
    expect(got.map(({ id, channel }) => [id, channel])).toEqual([
      ['33.0', 'update.accepted'],
      ['33.1', 'update.delta'],
      ['33.2', 'update.documents'],
    ]);
    expect(JSON.parse(got[1]?.document ?? '')).toMatchObject({
      changed: { reported: { temp: 1000 } },
      version: 34,
    });
    expect(loads(service)[0]).toBe('snapshot');
  });
});
