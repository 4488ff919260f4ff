import { describe, expect, it } from '@jest/globals';
import { ConsumerGroup, ERRORS, type Joined } from './kafka/group.js';
import { Random } from './kernel/random.js';
import { Scheduler } from './kernel/scheduler.js';
import { Trace } from './kernel/trace.js';

const SESSION_MS = 1000;
const never = (): boolean => false;

/** A group, and members that join it and hear what it answers. */
class Bench {
  readonly scheduler = new Scheduler(new Random(1), new Trace());
  readonly group = new ConsumerGroup('g', this.scheduler, this.scheduler.world, 100);
  readonly answers: (Joined | number)[] = [];

  join(memberId = ''): void {
    const terms = { sessionTimeout: SESSION_MS, rebalanceTimeout: 5000 };
    const groupProtocols = [{ name: 'p', metadata: Buffer.from('m') }];
    this.group.join({ memberId, ...terms, groupProtocols }, (answer) => {
      this.answers.push('code' in answer ? answer.code : answer.value);
    });
  }

  async until(ms: number): Promise<void> {
    await this.scheduler.run(never, ms);
    this.scheduler.nowUs = ms * 1000;
  }

  /** The leader shares out: each member gets its own name. */
  share(): void {
    const [leader] = this.answers.filter((answer) => typeof answer !== 'number' && answer.members.length > 0);
    if (leader === undefined || typeof leader === 'number') throw new Error('nobody leads');
    const assignments = leader.members.map(({ memberId }) => ({
      memberId,
      memberAssignment: Buffer.from(memberId),
    }));
    this.group.sync(leader.memberId, leader.generationId, assignments, () => undefined);
  }
}

describe('a simulated consumer group', () => {
  it('waits for others at first, and gives each member its share', async () => {
    const bench = new Bench();
    bench.join();
    await bench.until(50);
    bench.join();
    await bench.until(200);

    expect(bench.answers).toMatchObject([
      { generationId: 1, memberId: 'g-m1', leaderId: 'g-m1' },
      { generationId: 1, memberId: 'g-m2', leaderId: 'g-m1' },
    ]);
    const shares: string[] = [];
    bench.group.sync('g-m2', 1, [], (answer) => {
      if ('value' in answer) shares.push(answer.value.memberAssignment.toString());
    });
    bench.share();
    expect(shares).toEqual(['g-m2']);
    expect(bench.group.heartbeat('g-m2', 1)).toBe(0);
  });

  it('is rebalanced when one comes, and fences the generation before', async () => {
    const bench = new Bench();
    bench.join();
    await bench.until(200);
    bench.share();
    expect(bench.group.mayCommit('g-m1', 1)).toBe(0);

    bench.join();
    expect(bench.group.heartbeat('g-m1', 1)).toBe(ERRORS.REBALANCE_IN_PROGRESS);
    // Until all have joined again the old generation may still commit what it has done.
    expect(bench.group.mayCommit('g-m1', 1)).toBe(0);
    bench.join('g-m1');
    await bench.until(300);

    expect(bench.group.generation).toBe(2);
    expect(bench.group.mayCommit('g-m1', 1)).toBe(ERRORS.ILLEGAL_GENERATION);
    expect(bench.group.mayCommit('g-m1', 2)).toBe(ERRORS.REBALANCE_IN_PROGRESS);
    bench.share();
    expect(bench.group.heartbeat('g-m1', 1)).toBe(ERRORS.ILLEGAL_GENERATION);
  });

  it('gives up a member that shows no sign of life, and knows it no more', async () => {
    const bench = new Bench();
    bench.join();
    await bench.until(50);
    bench.join();
    await bench.until(200);
    bench.share();
    for (let ms = 600; ms <= 1800; ms += 400) {
      await bench.until(ms);
      bench.group.heartbeat('g-m1', 1);
    }

    expect(bench.group.memberCount).toBe(1);
    expect(bench.group.heartbeat('g-m2', 1)).toBe(ERRORS.UNKNOWN_MEMBER_ID);
    expect(bench.group.mayCommit('g-m2', 1)).toBe(ERRORS.UNKNOWN_MEMBER_ID);
    expect(bench.group.heartbeat('g-m1', 1)).toBe(ERRORS.REBALANCE_IN_PROGRESS);
  });

  it('is left at once', async () => {
    const bench = new Bench();
    bench.join();
    await bench.until(200);
    bench.share();

    expect(bench.group.leave('g-m1')).toBe(0);

    expect(bench.group.memberCount).toBe(0);
    expect(bench.group.mayCommit('g-m1', 1)).toBe(ERRORS.UNKNOWN_MEMBER_ID);
  });
});
