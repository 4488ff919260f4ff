import { describe, expect, it } from '@jest/globals';
import { Random } from './kernel/random.js';
import { Actor, Scheduler } from './kernel/scheduler.js';
import { Trace } from './kernel/trace.js';

const never = (): boolean => false;

function scheduler(seed = 1, trace = new Trace()): Scheduler {
  return new Scheduler(new Random(seed), trace);
}

describe('the scheduler', () => {
  it('lets things happen in the order of virtual time, and waits for none of it', async () => {
    const virtual = scheduler();
    const seen: string[] = [];
    const actor = new Actor('a');
    for (const ms of [3_600_000, 5, 70, 5.5]) {
      virtual.after(ms, actor, '', () => seen.push(`${ms} at ${virtual.nowMs}`));
    }

    expect(await virtual.run(never, Infinity)).toBe('idle');

    expect(seen).toEqual(['5 at 5', '5.5 at 5.5', '70 at 70', '3600000 at 3600000']);
  });

  it('follows all promises to their end before anything else happens', async () => {
    const virtual = scheduler();
    const seen: string[] = [];
    const actor = new Actor('a');
    virtual.after(1, actor, '', () => {
      void (async () => {
        for (let step = 0; step < 100; step++) await Promise.resolve();
        seen.push(`promises of ${virtual.current.name}`);
      })();
    });
    virtual.after(1.001, new Actor('b'), '', () => seen.push('next'));

    await virtual.run(never, Infinity);

    expect(seen).toEqual(['promises of a', 'next']);
  });

  it('lets nothing of the dead happen, and what is frozen later', async () => {
    const virtual = scheduler();
    const seen: string[] = [];
    const [dead, frozen] = [new Actor('dead'), new Actor('frozen')];
    virtual.after(1, dead, '', () => seen.push('dead'));
    virtual.after(2, frozen, '', () => seen.push(`frozen at ${virtual.nowMs}`));
    dead.isDead = true;
    frozen.frozenUntilUs = 9000;

    await virtual.run(never, Infinity);

    expect(seen).toEqual(['frozen at 9']);
  });

  it('stops at what is asked for, and when virtual time is over', async () => {
    const virtual = scheduler();
    let count = 0;
    const again = (): void => {
      count++;
      virtual.after(10, virtual.world, '', again);
    };
    again();

    expect(await virtual.run(() => count === 5, Infinity)).toBe('done');
    expect(await virtual.run(never, 95)).toBe('late');

    expect(count).toBe(10);
    expect(virtual.nowMs).toBe(90);
  });

  it('decides by the seed what comes first of the same moment, the same each time', async () => {
    const orderOf = async (seed: number): Promise<[string, string]> => {
      const trace = new Trace();
      const virtual = scheduler(seed, trace);
      let order = '';
      for (const name of 'abcdefgh') virtual.after(1, new Actor(name), name, () => (order += name));
      await virtual.run(never, Infinity);
      return [order, trace.hash];
    };
    const runs = await Promise.all([orderOf(1), orderOf(1), orderOf(2)]);

    expect(runs[0]).toEqual(runs[1]);
    expect(runs[2][0]).not.toBe(runs[0][0]);
    expect(runs[2][1]).not.toBe(runs[0][1]);
  });
});
