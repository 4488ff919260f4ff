import { describe, expect, it } from '@jest/globals';
import { DeviceLocks } from '../../../src/application/device-locks.js';

/** Work that ends when it is told to, and notes what happens in which order. */
function gatedWork(log: string[], name: string) {
  let end: (error?: Error) => void = () => undefined;
  const gate = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  const work = async (): Promise<string> => {
    log.push(`${name} begins`);
    await gate;
    log.push(`${name} ends`);
    return name;
  };
  return { work, end };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('DeviceLocks', () => {
  it('let work on one device wait, first come, first served, and that on another pass', async () => {
    const locks = new DeviceLocks();
    const log: string[] = [];
    const [one, two, three, other] = ['one', 'two', 'three', 'other'].map((name) => gatedWork(log, name));
    if (!one || !two || !three || !other) throw new Error('four pieces of work');
    const runs = [
      locks.run(['a'], one.work),
      locks.run(['a'], two.work),
      locks.run(['a'], three.work),
      locks.run(['b'], other.work),
    ];
    for (const { end } of [other, three, two, one]) {
      end();
      await turn();
    }

    expect(await Promise.all(runs)).toEqual(['one', 'two', 'three', 'other']);
    expect(log.filter((line) => !line.startsWith('other'))).toEqual([
      'one begins',
      'one ends',
      'two begins',
      'two ends',
      'three begins',
      'three ends',
    ]);
    expect(log.slice(0, 2)).toEqual(['one begins', 'other begins']);
  });

  it('take several devices at one moment, so that nobody waits for each other', async () => {
    const locks = new DeviceLocks();
    const held = new Set<string>();
    const work = (ids: readonly string[]) => async (): Promise<void> => {
      for (const id of ids) {
        if (held.has(id)) throw new Error(`${id} is held twice`);
        held.add(id);
      }
      await turn();
      ids.forEach((id) => held.delete(id));
    };
    const groups = [['a', 'b'], ['b', 'a'], ['c', 'a'], ['b', 'c'], ['a'], ['c', 'b', 'a'], []];
    const runs = Array.from({ length: 70 }, (_, n) => groups[n % groups.length] ?? []);

    await Promise.all(runs.map((ids) => locks.run(ids, work(ids))));

    expect(held.size).toBe(0);
  });

  it('are free again after work that failed', async () => {
    const locks = new DeviceLocks();
    const failing = locks.run(['a'], () => Promise.reject(new Error('no luck')));
    const next = locks.run(['a'], async () => 'done');

    await expect(failing).rejects.toThrow('no luck');
    expect(await next).toBe('done');
  });

  it('may be asked for the same device twice in one call', async () => {
    expect(await new DeviceLocks().run(['a', 'a'], async () => 'done')).toBe('done');
  });

  it('let go of one who does not want to wait longer, and keep those behind in line', async () => {
    const locks = new DeviceLocks();
    const log: string[] = [];
    const first = gatedWork(log, 'first');
    const holding = locks.run(['a'], first.work);
    const impatient = locks.runWithin(
      1,
      'a',
      async () => 'locked',
      async () => 'unlocked',
    );
    const last = gatedWork(log, 'last');
    last.end();
    const behind = locks.run(['a'], last.work);

    expect(await impatient).toBe('unlocked');
    expect(log).toEqual(['first begins']);
    first.end();
    await Promise.all([holding, behind]);
    expect(log).toEqual(['first begins', 'first ends', 'last begins', 'last ends']);
    expect(
      await locks.runWithin(
        1,
        'a',
        async () => 'locked',
        async () => 'unlocked',
      ),
    ).toBe('locked');
  });
});
